"""Dashboards, alerts and runbooks speak of what is there: every metric exists, every label has that value, every alert
has its runbook, and every section of the runbooks its alert.
"""

import json
import re
from typing import Any

import pytest
import yaml

from node.api.endpoints import ENDPOINTS
from node.metrics.catalog import Metric, make_catalog
from tests.rules import metrictable, tree

RULES = yaml.safe_load((tree.ROOT / "docker" / "prometheus" / "rules.yml").read_text("utf-8"))
SCRAPES = yaml.safe_load((tree.ROOT / "docker" / "prometheus" / "prometheus.yml").read_text("utf-8"))
COMPOSE = yaml.safe_load((tree.ROOT / "docker" / "compose.yaml").read_text("utf-8"))
DASHBOARD = json.loads((tree.ROOT / "docker" / "grafana" / "dashboards" / "liushui.json").read_text("utf-8"))
RUNBOOKS = (tree.ROOT / "docs" / "runbooks.md").read_text("utf-8")
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
CATALOG = {one.full_name: one for one in make_catalog(tuple(dict.fromkeys(one.path for one in ENDPOINTS)))}
OF_THE_PROCESS = {
    f"liushui_process_{name}"
    for name in ("open_fds", "max_fds", "start_time_seconds", "cpu_seconds_total", "resident_memory_bytes")
}
"""Of prometheus-client's own collector."""
OF_PROMETHEUS = {"job", "node", "role", "instance", "le"}
"""Labels that a scrape adds, or a histogram has."""


def find_metric(name: str) -> Metric | None:
    """The metric that a series belongs to."""
    whole = CATALOG.get(re.sub("_(bucket|sum|count)$", "", name)) or CATALOG.get(name)
    is_histogram = whole is not None and whole.kind == "histogram"
    return whole if whole is None or is_histogram == bool(re.search("_(bucket|sum|count)$", name)) else None


def list_queries() -> list[tuple[str, str]]:
    """(where, expression) of every alert and panel."""
    found = [(rule["alert"], rule["expr"]) for rule in ALERTS]
    for panel in DASHBOARD["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return found


def find_faults(expression: str) -> list[str]:
    """Series and label values of an expression that no node shows; brackets that do not match."""
    faults = [f"{a}{b} unbalanced" for a, b in ("()", "{}", "[]") if expression.count(a) != expression.count(b)]
    for name, chosen in re.findall(r"(liushui_\w+|up)(\{[^}]*\})?", expression):
        metric = find_metric(name)
        if metric is None and name not in OF_THE_PROCESS | {"up"}:
            faults.append(f"no series {name}")
            continue
        labels = {} if metric is None else {one.name: one.values for one in metric.labels}
        for label, value in re.findall(r'(\w+)[=!]~?"([^"]*)"', chosen):
            if label in OF_PROMETHEUS:
                continue
            if label not in labels:
                faults.append(f"{name} has no label {label}")
            elif unknown := [one for one in value.split("|") if one not in labels[label]]:
                faults.append(f"{name}: {label} is never {unknown}")
    return faults


def test_every_query_asks_for_what_a_node_shows() -> None:
    """A panel or an alert over a name that nobody exports is silent for ever."""
    queries = list_queries()
    assert len(queries) > 40
    assert {where: faults for where, expression in queries if (faults := find_faults(expression))} == {}


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("liushui_hight_finalised > 1", "no series liushui_hight_finalised"),
        ("rate(liushui_block_finality_seconds[5m])", "no series liushui_block_finality_seconds"),
        ("liushui_height_finalised_bucket", "no series liushui_height_finalised_bucket"),
        ('liushui_sync_state{state="lost"}', "liushui_sync_state: state is never ['lost']"),
        ('liushui_view{reason="late"}', "liushui_view has no label reason"),
        ("sum(liushui_view", "() unbalanced"),
    ],
)
def test_a_query_over_nothing_would_be_found(expression: str, fault: str) -> None:
    """The check above can fail."""
    assert find_faults(expression) == [fault]


def test_legends_name_labels_that_the_query_keeps() -> None:
    """A legend over a label that `sum by` dropped shows an empty name."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            kept = re.findall(r"by \(([^)]*)\)", expression)
            for label in re.findall(r"\{\{ *(\w+) *\}\}", target["legendFormat"]):
                names = set(re.split(", *", ",".join(kept))) if kept else None
                metric = find_metric(re.findall(r"liushui_\w+", expression)[0])
                own = {"node"} | ({one.name for one in metric.labels} if metric is not None else set())
                assert label in (own if names is None else names), (panel["title"], label)


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    """Severity, a sentence, and a section that says what it means, what to check and what to do."""
    sections = dict(re.findall(r"^## (\w+)\n\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
    assert [rule["alert"] for rule in ALERTS] == sorted(sections, key=[rule["alert"] for rule in ALERTS].index)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
        text = sections[rule["alert"]]
        assert [word for word in ("**Means.**", "**Check.**", "**Fix.**") if word not in text] == [], rule["alert"]


def test_the_table_of_metrics_is_what_a_node_shows() -> None:
    """docs/operations.md lists every series with its labels; `python -m tests.rules.metrictable` makes it anew."""
    page = metrictable.PAGE.read_text("utf-8")
    assert page == metrictable.put_table(page)


def make_anchor(title: str) -> str:
    """The anchor of a heading, as renderers of Markdown make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", ["runbooks.md", "operations.md", "threat-model.md", "upgrade.md"])
def test_every_link_of_these_pages_leads_somewhere(name: str) -> None:
    """Pages that a person opens in trouble must not lead into nothing."""
    text = (tree.ROOT / "docs" / name).read_text("utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith("http"):
            continue
        page, _, anchor = link.partition("#")
        path = tree.ROOT / "docs" / (page or name)
        assert path.exists(), f"{name}: {link}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            assert anchor in [make_anchor(one) for one in titles], f"{name}: {link}"


def test_each_node_of_the_trial_network_is_scraped() -> None:
    """Four validators and the observer, at the ports that the network was laid out with."""
    targets = {one["labels"]["node"]: one["targets"][0] for one in SCRAPES["scrape_configs"][0]["static_configs"]}
    started = {
        name: one["healthcheck"]["test"][-1].rpartition(":")[2]
        for name, one in COMPOSE["services"].items()
        if one.get("command", [""])[0] == "start"
    }
    assert len(started) == 5
    assert {name: target.rpartition(":")[2] for name, target in targets.items()} == started
    assert SCRAPES["rule_files"] == ["rules.yml"]


def test_the_trial_network_mounts_what_is_there_and_pins_its_images() -> None:
    """Every bind mount exists, every named volume is declared, and no image floats."""
    services = COMPOSE["services"]
    assert {"found", "lender1", "lender2", "lender3", "lender4", "observer", "prometheus", "grafana"} == set(services)
    for name, one in services.items():
        assert one["image"] == "liushui" or re.search(r":v?\d+\.\d+\.\d+$", one["image"]), name
        assert one["cap_drop"] == ["ALL"], name
        assert one["read_only"] is True, name
        for volume in one["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (tree.ROOT / "docker" / source).is_dir(), volume
            else:
                assert source in COMPOSE["volumes"], volume


def test_the_dashboard_is_provisioned_with_its_source() -> None:
    """The data source that panels name is the one provisioned, and the dashboard lies where it is looked for."""
    place = tree.ROOT / "docker" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((place / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"]
    (provider,) = yaml.safe_load((place / "dashboards" / "liushui.yaml").read_text("utf-8"))["providers"]
    used = {target["datasource"]["uid"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())}
    assert used == {source["uid"]}
    mounts = [one.split(":")[1] for one in COMPOSE["services"]["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
