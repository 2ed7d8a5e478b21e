"""Alerts tried by Prometheus' own tool: each fires when it should and not before; a network that is well is silent.

The cases are `tests/rules/alerts/*.yml`. Where `promtool` is not installed (Debian: package `prometheus`), only that
each alert has its cases is checked.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from node.api.endpoints import ENDPOINTS
from node.meters import Requests
from node.metrics.exposition import read_all, render
from node.metrics.readings import Readings
from tests.rules import tree

PROMETHEUS: Final = tree.ROOT / "docker" / "prometheus"
CASES: Final = sorted((tree.ROOT / "tests" / "rules" / "alerts").glob("*.yml"))
NODES: Final = ("lender1", "observer")
WELL: Final = {
    "disk_free_bytes": 50e9,
    "disk_size_bytes": 100e9,
    "last_block_age_seconds": 9,
    "peers_connected": 4,
    "peers_known": 4,
    "pool_transactions_max": 50_000,
    "validators": 4,
    "height_finalised": 7,
}
"""What is not zero at a node that is well and does nothing."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: alerts are not tried by Prometheus' own tool"
)


def promtool(*words: str | Path) -> str:
    """What the tool says; it must find nothing wrong."""
    answer = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def list_alerts() -> list[str]:
    """Names, as they stand in the rules."""
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text("utf-8"))
    return [rule["alert"] for group in rules["groups"] for rule in group["rules"]]


def test_every_alert_has_a_case_in_which_it_fires_and_one_before_in_which_it_is_silent() -> None:
    """An alert that nobody saw firing may never do so."""
    fires: dict[str, bool] = {}
    silent: dict[str, bool] = {}
    for path in CASES:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for asked in case["alert_rule_test"]:
                seen = fires if asked["exp_alerts"] else silent
                seen[asked["alertname"]] = True
    assert sorted(fires) == sorted(list_alerts())
    assert sorted(silent) == sorted(list_alerts())


@needs_promtool
def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    """`promtool check config` reads the rules with it."""
    assert f"{len(list_alerts())} rules found" in promtool("check", "rules", PROMETHEUS / "rules.yml")
    assert "valid prometheus config" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


@needs_promtool
@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_each_alert_fires_when_it_should_and_says_what_it_should(path: Path) -> None:
    """Its time, its labels, its sentence and its runbook."""
    assert promtool("test", "rules", path).count("SUCCESS") == 1


def make_silence(target: Path, well: dict[str, float]) -> None:
    """A case of nodes that show a fresh node's figures for five hours, as far as rules read them: no alert may fire."""
    rules = (PROMETHEUS / "rules.yml").read_text("utf-8")
    readings = Readings()
    for name, value in well.items():
        readings.put(name, value)
    readings.put("sync_state", 1, "participating")
    text = render(read_all(tuple(dict.fromkeys(one.path for one in ENDPOINTS)), readings, Requests()), readings)
    series = [{"series": f'up{{job="liushui",node="{node}"}}', "values": "1+0x60"} for node in NODES]
    for family in text_string_to_metric_families(text.decode()):
        for sample in (one for one in family.samples if re.search(rf"\b{one.name}\b", rules)):
            labels = "".join(f',{name}="{value}"' for name, value in sample.labels.items())
            for node in NODES:
                shown = f'{sample.name}{{node="{node}"{labels}}}'
                series.append({"series": shown, "values": f"{sample.value:.0f}+0x60"})
    asked: list[dict[str, Any]] = [
        {"alertname": alert, "eval_time": after, "exp_alerts": []} for alert in list_alerts() for after in ("30m", "5h")
    ]
    case = {"interval": "5m", "input_series": series, "alert_rule_test": asked}
    whole = {"rule_files": [str(PROMETHEUS / "rules.yml")], "evaluation_interval": "5m", "tests": [case]}
    target.write_text(yaml.safe_dump(whole), "utf-8")


@needs_promtool
def test_a_network_that_is_well_and_idle_raises_no_alert(tmp_path: Path) -> None:
    """What rules read of two nodes as it stands at a first scrape, for five hours: zeros are no signal."""
    make_silence(tmp_path / "silence.yml", WELL)
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "silence.yml")


@needs_promtool
def test_the_silence_would_be_broken(tmp_path: Path) -> None:
    """The check above can fail: one link less, and an alert is there that was not expected."""
    make_silence(tmp_path / "silence.yml", {**WELL, "peers_connected": 3})
    answer = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "silence.yml"], capture_output=True, text=True, check=False
    )
    assert answer.returncode != 0
    assert set(re.findall(r'alertname="(\w+)"', answer.stdout + answer.stderr)) == {"LiushuiPeerMissing"}
