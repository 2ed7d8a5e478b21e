"""Signals of a portfolio: figures by hand, alerts once and with hysteresis, pictures that rolls are measured from."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.monitor import signals
from node.monitor.portfolio import PICTURE_EVERY_DAYS
from node.monitor.signals import (
    BUCKETS,
    CONCENTRATED,
    ROLLING_WORSE,
    SCORE_DRIFT,
    Concentration,
    Drift,
    PictureRow,
    Roll,
    Signals,
    VintageFigures,
    advance_portfolio,
    calculate_psi_ppm,
    calculate_rolls,
)
from protocol.ids import AccountId, Day, Height, ObjectId, TimeMs
from scoring.train.evaluate import calculate_psi
from tests.node.monitor.scene import Scene, open_scene

LENDER = AccountId(bytes([9]) * 32)
DAY = Day(739_010)


def make_signals(**changes: object) -> Signals:
    """A portfolio in which nothing stands out."""
    quiet = Signals(
        day=DAY,
        height=Height(5),
        time_ms=TimeMs(6),
        principal=100,
        loans=50,
        vintages=(VintageFigures("2026-09", 10, 1_000, 0, 0),),
        rolled_from=Day(DAY - 30),
        rolls=(),
        late_rolled_ppm=0,
        drifts=(Drift(bytes(32), "m", 50, 0, (1, 1), (25, 25)),),
        concentration=Concentration(borrowers=20, largest_ppm=60_000, top_ten_ppm=390_000, hhi_ppm=50_000),
    )
    return quiet._replace(**changes)  # type: ignore[arg-type]


def test_the_stability_index_is_that_of_the_models_card() -> None:
    """Equal shares give nothing; any other counts what training measures with, to the millionth."""
    assert calculate_psi_ppm((10, 30), (100, 300)) == pytest.approx(0, abs=30)
    chance = random.Random(4)
    for _ in range(50):
        reference = [chance.randrange(200) for _ in range(5)]
        counts = [chance.randrange(200) for _ in range(5)]
        assert abs(calculate_psi_ppm(reference, counts) - 1_000_000 * calculate_psi(reference, counts)) <= 1


def test_rolls_follow_the_principal_as_it_stood() -> None:
    """Better, same, worse and gone by the part held then; late is what was early and is not any more."""
    rows = [PictureRow(loan=ObjectId(bytes([n]) * 32), step=0, principal=10) for n in range(10)]
    rows.append(PictureRow(loan=ObjectId(b"x" * 32), step=3, principal=7))
    now: dict[bytes, int | None] = {bytes([n]) * 32: 0 for n in range(6)}
    now |= {bytes([6]) * 32: 1, bytes([7]) * 32: 2, bytes([8]) * 32: 4, b"x" * 32: 0}
    rolls, late = calculate_rolls(rows, now)
    assert [one.bucket for one in rolls] == list(BUCKETS)
    assert rolls[0] == Roll("current", 10, 100, 0, 600_000, 300_000, 100_000)
    assert rolls[3] == Roll("to_90", 1, 7, 1_000_000, 0, 0, 0)
    assert late == 200_000
    assert calculate_rolls(rows[1:], now)[1] is None


def test_what_stands_out_is_told_once_until_it_has_passed() -> None:
    """Raised from the threshold on, standing between the two, told again only after it fell below the lower one."""
    assert advance_portfolio((), make_signals(), LENDER) == ((), ())
    standing, alerts = advance_portfolio((), make_signals(late_rolled_ppm=50_000), LENDER)
    assert (standing, [one.rule for one in alerts]) == ((ROLLING_WORSE.number,), ["rolling_worse"])
    assert advance_portfolio(standing, make_signals(late_rolled_ppm=90_000), LENDER) == (standing, ())
    assert advance_portfolio(standing, make_signals(late_rolled_ppm=30_000), LENDER) == (standing, ())
    assert advance_portfolio(standing, make_signals(late_rolled_ppm=29_999), LENDER) == ((), ())
    assert advance_portfolio((), make_signals(late_rolled_ppm=None), LENDER) == ((), ())


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"drifts": (Drift(bytes(32), "m", 50, 250_000, (1,), (50,)),)}, ["score_drift"]),
        ({"drifts": (Drift(bytes(32), "m", 49, 900_000, (1,), (49,)),)}, []),
        ({"concentration": Concentration(20, 100_000, 500_000, 90_000)}, ["concentrated"]),
        ({"concentration": Concentration(19, 100_000, 900_000, 90_000)}, []),
        ({"vintages": (VintageFigures("2026-08", 10, 100, 1, 50_000),)}, ["vintage_late"]),
        ({"vintages": (VintageFigures("2026-08", 9, 100, 1, 90_000),)}, []),
        ({"vintages": (VintageFigures("2026-08", 10, 100, 1, 49_999),)}, []),
    ],
)
def test_each_rule_has_its_threshold_and_its_least_number(changes: dict[str, object], rules: list[str]) -> None:
    """At the threshold, never below it, and never on a handful of loans, borrowers or decisions."""
    _, alerts = advance_portfolio((), make_signals(**changes), LENDER)
    assert [one.rule for one in alerts] == rules
    assert all((one.kind, one.subject, one.public) == ("portfolio", LENDER, True) for one in alerts)


def test_each_vintage_has_a_window_of_its_own() -> None:
    """Two bad months are two alerts, and the months number their windows."""
    bad = tuple(VintageFigures(month, 10, 100, 5, 60_000) for month in ("2026-08", "2026-09"))
    _, alerts = advance_portfolio((), make_signals(vintages=bad), LENDER)
    assert [one.window for one in alerts] == [12 * 2026 + 7, 12 * 2026 + 8]


def test_the_table_is_whole() -> None:
    """Numbers and keys differ, thresholds leave room between them, both languages are there."""
    rules = signals.PORTFOLIO_RULES
    assert len({one.number for one in rules}) == len({one.key for one in rules}) == len(rules)
    assert all(one.cleared_below < one.raised_from and one.text_en and one.text_zh for one in rules)
    assert {SCORE_DRIFT, CONCENTRATED, ROLLING_WORSE} < set(rules)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A running loan."""
    async with open_scene(tmp_path) as made:
        yield made


async def test_a_node_measures_its_own_portfolio_and_tells_of_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one loan grows late: its month goes bad, and it rolls from the picture of a month before. Told once."""
    monkeypatch.setattr(signals, "LOANS_MIN", 1)
    monitor, lender = scene.make_monitor(), scene.node.make_officer("harbour").account
    await monitor.portfolio.look(lender)
    found = await monitor.portfolio.get(lender)
    assert (found.loans, found.principal, found.rolled_from) == (1, 2_000_000, None)
    assert found.concentration == Concentration(1, 1_000_000, 1_000_000, 1_000_000)
    assert [one.decisions for one in found.drifts] == [1]
    first = found.day
    for _ in range(70 // PICTURE_EVERY_DAYS):
        await scene.pass_days(PICTURE_EVERY_DAYS)
        await monitor.portfolio.look(lender)
    found = await monitor.portfolio.get(lender)
    assert found.rolled_from == first + 40
    assert found.late_rolled_ppm == 1_000_000
    assert next(one for one in found.rolls if one.principal).worse_ppm == 1_000_000
    assert [one.late_30_ppm for one in found.vintages] == [1_000_000]
    told = [one.record.rule for one in await scene.store.read(0, 10)]
    assert sorted(told) == ["rolling_worse", "vintage_late"]
    empty = await monitor.portfolio.get(scene.node.make_officer("jade").account)
    assert (empty.loans, empty.vintages) == (0, ())
