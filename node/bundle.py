"""A support bundle: what somebody who helps needs to know of a node, and nothing that is anybody's secret.

    about.json      version, Python, libraries, platform
    settings.json   the settings a start would use, with addresses of webhooks cut to their host
    doctor.json     findings
    files.json      names, sizes and modes of what lies in the data directory
    inspect.json    what `liushui inspect` tells: heights, roots, counts, the schema's version, why it does not vote
    status.json, ready.json, metrics.txt   of the node, when it answers
    log.txt         the last lines of a log that was named, with secrets blacked out

An allow list: keys, the vault and statements are never opened. It is all text, to be read before it is sent.
"""

import io
import json
import os
import platform
import stat
import tarfile
import time
from collections import deque
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from node.checkup.directory import check_directory
from node.checkup.machine import check_machine
from node.config import ConfigError, NodeConfig, load_config
from node.examine import examine
from node.keystore import KEYS_DIRECTORY
from node.redaction import BLACKED_OUT, redact, redact_line

LOG_LINES_MAX: Final = 5_000
LINE_CHARS_MAX: Final = 8_192
FILES_MAX: Final = 2_000
NODE_TIMEOUT_S: Final = 5.0
ANSWER_BYTES_MAX: Final = 4_194_304
ASKED: Final = {"status.json": "/v1/status", "ready.json": "/readyz", "metrics.txt": "/metrics"}


def make_bundle(directory: Path, *, node_url: str, log: Path | None, token: str | None = None) -> dict[str, bytes]:
    """The files of a bundle by name; `token` is shown to the node. Raises OSError for a log that cannot be read."""
    files: dict[str, Any] = {"about.json": describe_program()}
    try:
        config = load_config(directory, environment=os.environ)
        files["settings.json"] = describe_settings(config)
        files["files.json"] = describe_files(Path(config.data_dir))
        told = examine(Path(config.data_dir))
        files["inspect.json"] = {name: part for name, part in told.items() if name not in ("settings", "files")}
    except ConfigError as error:
        files["settings.json"] = {"error": error.sentence}
    findings = [*check_machine(), *check_directory(directory)]
    files["doctor.json"] = [one._asdict() | {"ok": one.ok} for one in findings]
    made = {name: _encode(value) for name, value in files.items()}
    for name, path in ASKED.items():
        made[name] = ask_node(node_url + path, token)
    if log is not None:
        made["log.txt"] = read_log(log)
    return made


def write_bundle(path: Path, files: Mapping[str, bytes], *, time_s: int) -> None:
    """A tar.gz of the files, readable by its owner alone. Raises FileExistsError, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"liushui-debug/{name}")
            entry.size, entry.mtime, entry.mode = len(content), time_s, 0o600
            archive.addfile(entry, io.BytesIO(content))


def _encode(value: Any) -> bytes:
    return (json.dumps(redact(value), ensure_ascii=False, indent=2) + "\n").encode()


def describe_program() -> dict[str, Any]:
    """What runs on what."""
    found = {str(one.metadata["Name"]): one.version for one in distributions()}
    return {
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "liushui": found.get("liushui", "not installed"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "libraries": dict(sorted(found.items(), key=lambda one: one[0].lower())),
    }


def describe_settings(config: NodeConfig) -> dict[str, Any]:
    """Settings hold no secret; an address of a webhook may, in its path."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    for hook in plain.get("webhooks", ()):
        parts = urlsplit(hook["url"])
        hook["url"] = f"{parts.scheme}://{parts.hostname}/{BLACKED_OUT}"
    return plain


def describe_files(place: Path) -> dict[str, Any]:
    """Names, sizes and modes; of keys, which ones there are. No file is opened."""
    rows = []
    for path in sorted(place.rglob("*"))[:FILES_MAX]:
        try:
            found = path.lstat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            size = found.st_size if path.parent.name != KEYS_DIRECTORY else None
            rows.append({"name": str(path.relative_to(place)), "bytes": size, "mode": oct(stat.S_IMODE(found.st_mode))})
    return {"files": rows}


def ask_node(url: str, token: str | None = None) -> bytes:
    """What the node's own API says, or why it says nothing."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=NODE_TIMEOUT_S)
        try:
            connection.request("GET", parts.path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
            return connection.getresponse().read(ANSWER_BYTES_MAX)
        finally:
            connection.close()
    except (OSError, HTTPException, ValueError) as error:
        return f"no answer: {error}\n".encode()


def read_log(path: Path) -> bytes:
    """The last lines, with secrets blacked out. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = deque(file, maxlen=LOG_LINES_MAX)
    return "".join(redact_line(line.rstrip("\n")[:LINE_CHARS_MAX]) + "\n" for line in lines).encode()
