"""The plots of a model card as PNG: ROC, calibration, score distribution, stability over time. Needs the extra.

Drawn to be read in grey and by anyone: what differs, differs in line, hatch or marker too, and axes name their unit.
Never a figure that the report does not hold, or that cannot be drawn again from the same evidence.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator, PercentFormatter

from scoring.points import PointsModel
from scoring.train.curves import calculate_roc, calculate_roc_band
from scoring.train.measures import calculate_auc, calculate_interval
from scoring.train.validate import Evidence

INK: Final = "#1d2733"
BLUE: Final = "#14508c"
RUST: Final = "#b8501e"
MIST: Final = "#c9d6e4"
QUIET: Final = "#6b7683"
DPI: Final = 144
STYLE: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "hatch.linewidth": 0.7,
}
RATE_TICKS: Final = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
BINS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One picture of the card."""

    name: str
    section: str
    """Title of the card's section that it belongs to."""
    caption: str
    """What it shows, for whoever cannot see it."""
    png: bytes


def draw_plots(model: PointsModel, report: Mapping[str, Any], evidence: Evidence) -> tuple[Plot, ...]:
    """The four plots of a model whose training run gave `report` and `evidence`."""
    with rc_context(STYLE):
        return (
            _draw_roc(evidence),
            _draw_calibration(report),
            _draw_scores(model, evidence),
            _draw_stability(report),
        )


def _begin(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes


def _finish(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _tell_auc(risk: Sequence[float], bad: Sequence[bool]) -> str:
    auc, error = calculate_auc(risk, bad)
    low, high = calculate_interval(auc, error)
    return f"AUC {auc:.3f} (95 % {low:.3f} to {high:.3f})"


def _draw_roc(evidence: Evidence) -> Plot:
    figure, axes = _begin(6.0, 5.6, "Bad loans caught against good loans turned away")
    grid, low, high = calculate_roc_band(evidence.chances, evidence.bad)
    axes.fill_between(grid, low, high, color=MIST, linewidth=0, label="95 % band, cross-validated (bootstrap)")
    told = _tell_auc(evidence.chances, evidence.bad)
    axes.plot(*calculate_roc(evidence.chances, evidence.bad), color=BLUE, linewidth=2, label=f"cross-validated, {told}")
    later = _tell_auc(evidence.later_risk, evidence.later_bad)
    axes.plot(
        *calculate_roc(evidence.later_risk, evidence.later_bad),
        color=RUST,
        linewidth=1.8,
        linestyle=(0, (5, 2)),
        label=f"later 40 % of loans, {later}",
    )
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":", label="chance, AUC 0.500")
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="good loans turned away (%)", ylabel="bad loans caught (%)")
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.legend(loc="lower right")
    caption = f"ROC curve. Cross-validated: {told}. Trained on the earlier 60 %, measured on the later loans: {later}."
    return Plot(name="roc", section="Discrimination", caption=caption, png=_finish(figure))


def _draw_calibration(report: Mapping[str, Any]) -> Plot:
    figure, axes = _begin(6.0, 5.6, "What the model says, and what happened")
    bands = [item for item in report["calibration_by_band"] if item["loans"]]
    said = np.array([item["pd_mean"] for item in bands])
    happened = np.array([item["bad_rate"] for item in bands])
    limits = np.array([item["bad_rate_ci95"] for item in bands])
    for axis in ("x", "y"):
        # Square roots give the low bands room and still reach zero.
        getattr(axes, f"set_{axis}scale")("function", functions=(_root, np.square))
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":", label="said = happened")
    spread = np.clip(np.stack([happened - limits[:, 0], limits[:, 1] - happened]), 0, None)
    axes.errorbar(said, happened, yerr=spread, fmt="none", ecolor=BLUE, elinewidth=1.3, capsize=4, clip_on=False)
    label = "band by number, with 95 % interval (Wilson)"
    axes.scatter(said, happened, s=150, color=BLUE, edgecolor="white", zorder=3, clip_on=False, label=label)
    for item, x, y in zip(bands, said, happened, strict=True):
        place = {"ha": "center", "va": "center_baseline", "zorder": 4}
        axes.text(x, y, str(item["band"]), color="white", fontsize=8, fontweight="bold", **place)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean PD of the band (%)", ylabel="loans that went bad (%)")
    for rate_axis in (axes.xaxis, axes.yaxis):
        rate_axis.set_major_locator(FixedLocator(RATE_TICKS))
        rate_axis.set_major_formatter(FixedFormatter([f"{100 * tick:.0f}" for tick in RATE_TICKS]))
        rate_axis.set_minor_locator(NullLocator())
    axes.set_aspect("equal")
    axes.legend(loc="lower right")
    caption = "Calibration out of fold, both axes by square root: mean PD of each band against the share that went bad."
    return Plot(name="calibration", section="Calibration (out of fold)", caption=caption, png=_finish(figure))


def _root(values: Any) -> Any:
    return np.sqrt(np.clip(values, 0, None))


def _draw_scores(model: PointsModel, evidence: Evidence) -> Plot:
    figure, axes = _begin(7.6, 4.4, "Points of good and of bad loans")
    points, bad = np.array(evidence.points), np.array(evidence.bad)
    edges = np.linspace(points.min(), points.max(), BINS + 1)
    for held, colour, hatch, name in ((~bad, MIST, "", "good"), (bad, RUST, "////", "bad")):
        share = np.full(int(held.sum()), 100 / held.sum())
        axes.hist(
            points[held],
            bins=edges,
            weights=share,
            color=colour,
            alpha=1.0 if name == "good" else 0.55,
            edgecolor=BLUE if name == "good" else RUST,
            linewidth=0.8,
            hatch=hatch,
            label=f"{name} ({int(held.sum())} loans)",
        )
    _, top = axes.get_ylim()
    axes.set_ylim(0, top * 1.12)
    for band, least in enumerate(model.bands):
        if edges[0] < least < edges[-1]:
            axes.axvline(least, color=INK, linewidth=0.8, linestyle=(0, (2, 3)))
            axes.text(least, top * 1.115, f" {band}" if band else " band 0", va="top", ha="left", fontsize=8, color=INK)
    axes.text(edges[0], top * 1.115, f"band {len(model.bands)}", va="top", ha="left", fontsize=8, color=INK)
    axes.set(xlabel="points, out of fold (higher is safer; 40 points halve the odds)", ylabel="share of the group (%)")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.995), ncols=2)
    caption = (
        "Distribution of points, out of fold. Dotted lines part the bands; the number right of a line is its band."
    )
    return Plot(name="scores", section="Calibration (out of fold)", caption=caption, png=_finish(figure))


def _draw_stability(report: Mapping[str, Any]) -> Plot:
    figure, axes = _begin(7.6, 4.0, "Drift of the scores: each half-year against all others")
    periods = [item for item in report["by_period"] if item["psi"] is not None]
    places = np.arange(len(periods))
    heights = np.array([item["psi"] for item in periods])
    chance = np.array([item["psi_by_chance"] for item in periods])
    axes.bar(places, heights, width=0.6, color=MIST, edgecolor=BLUE, linewidth=0.9, label="PSI of the bands")
    axes.plot(places, chance, color=RUST, marker="D", markersize=5, linestyle="none", label="to expect by chance alone")
    for level, words in ((0.10, "watch above .10"), (0.25, "act above .25")):
        axes.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(words, (len(periods) - 0.45, level), (0, 3), textcoords="offset points", ha="left", fontsize=8)
    axes.set_xticks(places, [f"{item['period']}\n{item['loans']} loans" for item in periods])
    axes.grid(visible=False, axis="x")
    top = max(0.3, float(max(heights.max(initial=0.0), chance.max(initial=0.0))) * 1.25)
    axes.set(
        xlim=(-0.5, len(periods) + 0.35), ylim=(0, top), xlabel="loans granted in", ylabel="population stability index"
    )
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0))
    caption = "Population stability index of each half-year against all others; diamonds mark what chance alone gives."
    return Plot(name="psi", section="Stability", caption=caption, png=_finish(figure))
