"""How a model treats groups of borrowers, where the data name any. Standard library only; floats for people.

A group is a column of loans.csv whose name begins with `group_`. It is read for this table alone: never a feature,
never a weight, never an input of a fit.
"""

from collections.abc import Sequence
from typing import Any, Final

from scoring.train.dataset import LabelledLoan
from scoring.train.measures import calculate_auc, calculate_interval, calculate_wilson

APPROVED_PPM_MAX: Final = 80_000
"""The table counts as approved whoever has a PD below this: bands 0 to 3. A product may draw its line elsewhere."""
GROUP_LOANS_MIN: Final = 20
"""A smaller group is shown, but no ratio is taken from so few."""
GROUPS_MAX: Final = 20
FOUR_FIFTHS: Final = 0.8
"""Below this ratio of approval rates a difference asks for an explanation (29 CFR 1607.4(D))."""


def measure_groups(loans: Sequence[LabelledLoan], chances: Sequence[float]) -> list[dict[str, Any]]:
    """Per attribute and value: loans, bad, bad rate, mean PD, AUC, approval rate, its ratio to the highest; [] of none.

    `chances` are PDs from 0 to 1, in the order of `loans`. Raises ValueError when a column has more than 20 values.
    """
    found = []
    for name in dict.fromkeys(name for loan in loans for name, _ in loan.groups):
        members: dict[str, list[int]] = {}
        for index, loan in enumerate(loans):
            members.setdefault(dict(loan.groups).get(name) or "not stated", []).append(index)
        if len(members) > GROUPS_MAX:
            raise ValueError(f"the column group_{name} has {len(members)} values: at most {GROUPS_MAX} make groups")
        rows = [_measure(value, loans, chances, indices) for value, indices in sorted(members.items())]
        most = max((row["approval_rate"] for row in rows if row["loans"] >= GROUP_LOANS_MIN), default=0.0)
        for row in rows:
            enough = row["loans"] >= GROUP_LOANS_MIN and most > 0
            row["approval_ratio"] = round(row["approval_rate"] / most, 4) if enough else None
        found.append({"attribute": name, "groups": rows})
    return found


def _measure(
    value: str, loans: Sequence[LabelledLoan], chances: Sequence[float], indices: Sequence[int]
) -> dict[str, Any]:
    bad = [loans[index].bad for index in indices]
    pds = [chances[index] for index in indices]
    approved = sum(1 for pd in pds if pd * 1_000_000 < APPROVED_PPM_MAX)
    both = any(bad) and not all(bad)
    auc, error = calculate_auc(pds, bad) if both else (None, 0.0)
    return {
        "group": value,
        "loans": len(bad),
        "bad": sum(bad),
        "bad_rate": round(sum(bad) / len(bad), 4),
        "bad_rate_ci95": calculate_wilson(sum(bad), len(bad)),
        "pd_mean": round(sum(pds) / len(pds), 4),
        "auc": None if auc is None else round(auc, 4),
        "auc_ci95": None if auc is None else calculate_interval(auc, error),
        "approval_rate": round(approved / len(bad), 4),
    }
