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
