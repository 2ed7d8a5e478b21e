"""Settings: one TOML file, environment over file, flags over environment; mistakes are named."""

from pathlib import Path

import pytest

from node.config import ConfigError, NodeConfig, PeerAddress, format_config, load_config

PEER = PeerAddress(name="beta", node_key="ab" * 32, url="wss://127.0.0.1:7302/gossip")


def write(directory: Path, text: str) -> Path:
    """A node directory with this config."""
    (directory / "config.toml").write_text(text, encoding="utf-8")
    return directory


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """format_config and load_config are inverse."""
    config = NodeConfig(name='al"pha', role="validator", peers=(PEER,), listen_port=0, log_json=False)
    loaded = load_config(write(tmp_path, format_config(config)), environment={})
    assert loaded.name == 'al"pha'
    assert loaded.peers == (PEER,)
    assert loaded.log_json is False
    assert loaded.genesis == str(tmp_path / "genesis.json")


def test_environment_beats_file_and_flags_beat_environment(tmp_path: Path) -> None:
    """Later sources win."""
    write(tmp_path, 'name = "a"\nrole = "observer"\napi_port = 1\nlog_level = "info"\n')
    loaded = load_config(
        tmp_path,
        environment={"LIUSHUI_API_PORT": "2", "LIUSHUI_LOG_LEVEL": "debug"},
        overrides={"api_port": 3, "log_level": None},
    )
    assert (loaded.api_port, loaded.log_level) == (3, "debug")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name = "a"\nrole = "observer"\nspeed = 9\n', "speed"),
        ('name = "a"\nrole = "king"\n', "role"),
        ('name = "a"\nrole = "observer"\nlisten_port = 70000\n', "listen_port"),
        ('name = "a"\nrole = "observer"\n[[peers]]\nname = "b"\nnode_key = "zz"\nurl = "wss://x"\n', "node_key"),
        ("name = \n", "TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, words: str) -> None:
    """An unknown key, a wrong value or broken TOML is one sentence that names the place."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), environment={})
    assert words in caught.value.sentence


def test_a_missing_file_names_the_fix(tmp_path: Path) -> None:
    """No config: the sentence says which command makes one."""
    with pytest.raises(ConfigError, match="liushui init"):
        load_config(tmp_path, environment={})


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "*",
            "null",
            "desk.bank.example",
            "https://desk.bank.example/",
            "https://Desk.bank.example",
            "ftp://a.example",
        ),
        *(
            "https://desk.bank.example:443",
            "http://a.example:80",
            "https://u@a.example",
            "https://a.example:x",
            "https://",
        ),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(tmp_path: Path, origin: str) -> None:
    """Anything else would never match, or match too much: it is an error that names the place and the fix."""
    write(tmp_path, f'name = "a"\nrole = "observer"\ncors_origins = ["http://[::1]:5173", "{origin}"]\n')
    with pytest.raises(ConfigError, match=r"\$\.cors_origins\[1\]"):
        load_config(tmp_path, environment={})


def test_origins_come_from_the_file_or_the_environment(tmp_path: Path) -> None:
    """None by default; a list in the file, words in the environment; what is written reads back the same."""
    config = NodeConfig(name="a", role="observer", cors_origins=("https://desk.bank.example", "http://localhost:5173"))
    (tmp_path / "config.toml").write_text(format_config(config))
    assert load_config(tmp_path, environment={}).cors_origins == config.cors_origins
    given = {"LIUSHUI_CORS_ORIGINS": "https://a.example, http://[::1]:5173"}
    assert load_config(tmp_path, environment=given).cors_origins == ("https://a.example", "http://[::1]:5173")
    assert load_config(tmp_path, environment={"LIUSHUI_CORS_ORIGINS": ""}).cors_origins == ()
    assert NodeConfig(name="a", role="observer").cors_origins == ()
