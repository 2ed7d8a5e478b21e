"""A node's settings: one TOML file, overridden by environment (LIUSHUI_*) and then by flags. Unknown keys are errors.

Never put a secret here: keys are files of their own (`node.keystore`).
"""

import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from protocol.limits import API_UNITS_PER_S, CORS_ORIGINS_MAX, HISTORY_BLOCKS, SNAPSHOT_BEHIND, SNAPSHOT_INTERVAL

CONFIG_FILE = "config.toml"
ENVIRONMENT_PREFIX = "LIUSHUI_"

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class ConfigError(Exception):
    """A setting that cannot be used; the sentence names its path in the file."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.code = "config_invalid"
        self.sentence = sentence


class PeerAddress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where another member's node listens."""

    name: str
    node_key: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """Its node key in lower-case hex, as the genesis names it."""
    url: Annotated[str, msgspec.Meta(pattern="^wss://")]
    """For example wss://127.0.0.1:7300/gossip; links are always encrypted."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where early warnings are posted to (docs/alerts.md)."""

    url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    """https, or http on this machine alone: alerts speak of people."""
    secret_file: str | None = None
    """Shared secret of 32 bytes or more, readable by the owner alone; relative to the config file. None: the node's own
    key signs."""
    severity_min: Literal["watch", "act", "urgent"] = "watch"


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their defaults."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    role: Literal["validator", "observer"]
    data_dir: str = "."
    """Where ledger.sqlite, vault.sqlite, votes.wal, payload.log and keys/ lie; relative to the config file."""
    genesis: str = "genesis.json"
    """Relative to the config file."""
    listen_host: str = "127.0.0.1"
    listen_port: Port = 7300
    api_host: str = "127.0.0.1"
    api_port: Port = 7400
    peers: tuple[PeerAddress, ...] = ()
    status_for: Literal["everybody", "tokens"] = "everybody"
    """Who may read /v1/status and /metrics: whoever reaches the API's port, or only bearer tokens with the scope
    `monitor` (node.tokens). /livez and /readyz answer everybody."""
    cors_origins: Annotated[tuple[str, ...], msgspec.Meta(max_length=CORS_ORIGINS_MAX)] = ()
    """Pages of other origins that a browser lets read the API, like https://desk.bank.example; none unless listed."""
    api_units_per_s: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = API_UNITS_PER_S
    """What one address, or one token, may ask of the API in the long run, in plain reads; heavier ones count several
    times, submissions not at all. Behind a proxy everybody is one address. 0: no limit."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = True
    verify_processes: Annotated[int, msgspec.Meta(ge=-1, le=32)] = -1
    """Processes that verify signatures beside the node's own. -1: by the machine's cores, none on one or two, cores
    less two on more, four at most. 0: none; right where several nodes share a machine, so a local network has it."""
    snapshot_interval: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = SNAPSHOT_INTERVAL
    """Blocks between two snapshots of the books, which newcomers fetch; equal on all nodes, so that theirs are equal.
    0: this node makes none. The newest two are kept, each as large as the books."""
    history: Literal["archive", "pruned"] = "archive"
    """`pruned`: batches, receipts and events of old blocks are forgotten; headers, finalizations and books stay."""
    history_blocks: Annotated[int, msgspec.Meta(ge=1_024, le=2**53 - 1)] = HISTORY_BLOCKS
    """So many of the last blocks a pruned node keeps whole."""
    snapshot_behind: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = SNAPSHOT_BEHIND
    """So many blocks behind, this node fetches a snapshot instead of executing the blocks. What it had of the chain
    before goes, and its history begins there. 0: never, for a node that is to keep the whole history."""
    observers: Literal["listed", "open"] = "listed"
    """Who may read from this node: members alone, or any node that proves its key, in few places and without the bins
    of applications. `open` shows everybody the books, so members agree on it before anybody sets it."""
    allow_unsealed_keys: bool = False
    """Take keys that no passphrase seals. Right for throw-away networks on one machine; a local network has it."""

    webhooks: tuple[Webhook, ...] = ()


TABLES = ("peers", "webhooks")
_LISTS = ("cors_origins",)
"""In the environment, words with spaces or commas between them."""


def load_config(
    directory: Path, *, environment: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> NodeConfig:
    """Settings of the node in `directory`; `data_dir` and `genesis` come back as absolute paths.

    Raises ConfigError naming the key's path for anything unreadable, unknown or out of range.
    """
    path = directory / CONFIG_FILE
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: create the node with liushui init or liushui testnet.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    simple = {field.name for field in msgspec.structs.fields(NodeConfig)} - set(TABLES)
    for name in sorted(simple):
        if (given := environment.get(ENVIRONMENT_PREFIX + name.upper())) is not None:
            values[name] = given.replace(",", " ").split() if name in _LISTS else given
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        config = msgspec.convert(values, NodeConfig, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}.") from error
    try:
        places = {name: str((directory / getattr(config, name)).resolve()) for name in ("data_dir", "genesis")}
        webhooks = tuple(_place_webhook(one, directory) for one in config.webhooks)
    except (OSError, ValueError) as error:  # a name with a zero byte, or a circle of links
        raise ConfigError(f"{path}: data_dir, genesis or secret_file names no place: {error}.") from error
    for number, origin in enumerate(config.cors_origins):
        if reason := _check_origin(origin):
            raise ConfigError(f"{path}: {origin!r} is no page's origin: {reason} - at `$.cors_origins[{number}]`.")
    for number, hook in enumerate(webhooks):
        if reason := _check_webhook(hook.url):
            raise ConfigError(f"{path}: {reason} - at `$.webhooks[{number}].url`.")
    return msgspec.structs.replace(config, webhooks=webhooks, **places)


def _place_webhook(hook: Webhook, directory: Path) -> Webhook:
    if hook.secret_file is None:
        return hook
    return msgspec.structs.replace(hook, secret_file=str((directory / hook.secret_file).resolve()))


def _check_webhook(url: str) -> str | None:
    """Why alerts cannot be posted to an address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "the address cannot be read"
    if not host or parts.username is not None or parts.fragment:
        return "an address is a host with a path, without a user name or a fragment"
    if parts.scheme == "https" or host == "localhost":
        return None
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = False
    return None if local else "plain http goes to this machine alone: use https"


def _check_origin(text: str) -> str | None:
    """Why a text is no origin of a page as browsers send it; None when it is one."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it cannot be read"
    if parts.scheme not in ("http", "https") or not host:
        return "an origin is http:// or https:// and a host, like https://desk.bank.example"
    if port == {"http": 80, "https": 443}[parts.scheme]:
        return "browsers leave the usual port out"
    shown = f"[{host}]" if ":" in host else host
    plain = f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")
    return None if text == plain and text.isascii() else f"browsers send {plain!r}: no path, no capitals"


def format_config(config: NodeConfig) -> str:
    """The TOML text of a config, as `liushui init` and `liushui testnet` write it."""
    lines: list[str] = []
    for field in msgspec.structs.fields(NodeConfig):
        value = getattr(config, field.name)
        if field.name in TABLES:
            continue
        lines.append(f"{field.name} = {_format(value)}")
    for peer in config.peers:
        lines += ["", "[[peers]]"]
        lines += [f"{name} = {_quote(getattr(peer, name))}" for name in ("name", "node_key", "url")]
    for hook in config.webhooks:
        lines += ["", "[[webhooks]]"]
        given = ((name, getattr(hook, name)) for name in ("url", "secret_file", "severity_min"))
        lines += [f"{name} = {_quote(value)}" for name, value in given if value is not None]
    return "\n".join(lines) + "\n"


def _format(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quote, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else _quote(value)


def _quote(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's."""
    return msgspec.json.encode(text).decode()
