"""The text that Prometheus reads: the catalogue filled with readings, zeros where nothing happened yet.

The one place that knows prometheus-client; imported at the first scrape, since it costs a tenth of a second.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from node.meters import Buckets, Requests
from node.metrics.catalog import PREFIX, Metric, make_catalog
from node.metrics.readings import Readings, read_requests

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class _NodeCollector(Collector):
    """One scrape."""

    def __init__(self, catalog: Sequence[Metric], readings: Readings) -> None:
        self._catalog = catalog
        self._readings = readings

    def collect(self) -> Iterator[Family]:
        """Every family of the catalogue."""
        for metric in self._catalog:
            yield _make_family(metric, self._readings)


def read_all(routes: tuple[str, ...], readings: Readings, requests: Requests) -> tuple[Metric, ...]:
    """The catalogue of a node whose API has these addresses; what the API counted is added to the readings."""
    read_requests(requests, readings)
    return make_catalog(routes)


def render(catalog: Sequence[Metric], readings: Readings) -> bytes:
    """The text of all metrics; takes some milliseconds, best in a thread.

    A reading that the catalogue does not know is a fault of ours.
    """
    known = {metric.name for metric in catalog}
    assert known.issuperset(readings.values), sorted(set(readings.values) - known)
    assert known.issuperset(readings.buckets), sorted(set(readings.buckets) - known)
    registry = CollectorRegistry()
    registry.register(_NodeCollector(catalog, readings))
    ProcessCollector(namespace=PREFIX, registry=registry)
    return generate_latest(registry)


def _make_family(metric: Metric, readings: Readings) -> Family:
    name = f"{PREFIX}_{metric.name}"
    if metric.kind == "histogram":
        buckets = readings.buckets.get(metric.name, Buckets(metric.bounds))
        assert buckets.bounds == metric.bounds, f"{metric.name} is measured in other bounds than it is shown"
        return HistogramMetricFamily(name, metric.text, buckets=list(_accumulate(buckets)), sum_value=buckets.total)
    labels = [label.name for label in metric.labels]
    values = readings.values.get(metric.name, {})
    if metric.kind == "info":
        info = GaugeMetricFamily(f"{name}_info", metric.text, labels=labels)
        for chosen, value in values.items():
            info.add_metric(chosen, value)
        return info
    family: CounterMetricFamily | GaugeMetricFamily = (
        CounterMetricFamily(name, metric.text, labels=labels)
        if metric.kind == "counter"
        else GaugeMetricFamily(name, metric.text, labels=labels)
    )
    _add(family, metric, values)
    return family


def _add(
    family: CounterMetricFamily | GaugeMetricFamily, metric: Metric, values: Mapping[tuple[str, ...], float]
) -> None:
    combinations = list(product(*(label.values for label in metric.labels)))
    assert set(values).issubset(combinations), f"{metric.name}: {sorted(set(values).difference(combinations))}"
    for chosen in combinations:
        family.add_metric(chosen, values.get(chosen, 0))


def _accumulate(buckets: Buckets) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip([*map(str, buckets.bounds), "+Inf"], buckets.counts, strict=True):
        total += count
        yield bound, total
