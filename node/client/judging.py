"""What an opened statement says of the attestations of an application: how those who vote on a conviction see for
themselves.

    LSEV1 LF | canonical [application, VaultPlain]       the file that a grantee shows

The rows must hash to the root that the ledger keeps; then everything follows: net cash flow, features, bins, points.
An attestation is false when it confirms bins whose points the rows do not give, states another cash flow, or stands
under an application whose features' root is not that of the rows' features: who attests confirms it. Bins are
compared by their points, because their salt is not shown: bins that differ and score alike are not told apart. Nothing
of the node asked is believed here but what its own books say. Never a rule of the ledger.
"""

from datetime import date
from typing import Any, Final, NamedTuple

import msgspec

from node.vault.appraise import calculate_bins, calculate_capacity30, calculate_vector, calculate_vector_root
from protocol.codec import CodecError, decode, encode
from protocol.ids import ZERO_DIGEST, Day, Digest, ModelId, ObjectId, ObjectIdField
from protocol.loans.terms import PeriodUnit
from protocol.money import Amount, Currency
from protocol.transactions.lending import Apply, LoanPurpose
from protocol.transactions.products import Segment
from protocol.vault import VaultPlain, calculate_rows_root
from scoring.points import PointsModel, decode_model

MAGIC: Final = b"LSEV1\n"
_UNITS: Final = {"d": PeriodUnit.DAY, "w": PeriodUnit.WEEK, "m": PeriodUnit.MONTH}


class Shown(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An opened statement and the application it stands under."""

    application: ObjectIdField
    plain: VaultPlain


class EvidenceFault(Exception):  # noqa: N818  (what is shown proves nothing)
    """What is shown is not what the ledger knows; `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Judged(NamedTuple):
    """One attestation beside what the rows give."""

    attester: str
    name: str | None
    model: str
    said: int
    gives: int
    """Net cash flow of 30 days."""
    points: int
    """Of the application's bins, as the ledger scored them."""
    points_given: int
    verdict: str
    """true, false_cash_flow, false_bins, false_features, or dissenting: it does not confirm the application's bins."""


def encode_shown(shown: Shown) -> bytes:
    """The file."""
    return MAGIC + encode(shown)


def decode_shown(raw: bytes) -> Shown:
    """What a file shows. Raises EvidenceFault."""
    try:
        if not raw.startswith(MAGIC):
            raise CodecError("another format")
        return decode(raw[len(MAGIC) :], Shown)
    except CodecError as error:
        raise EvidenceFault("evidence_malformed", f"The file is no opened statement: {error}.") from error


def judge(
    shown: Shown, application: dict[str, Any], anchor: dict[str, Any], models: dict[str, PointsModel]
) -> tuple[Judged, ...]:
    """Each attestation of an application's view. Raises EvidenceFault for rows that are not those committed to."""
    plain = shown.plain
    root = calculate_rows_root(plain.rows, Digest(plain.salt_key))
    period = [date.fromordinal(day).isoformat() for day in (plain.first_day, plain.last_day)]
    known = (anchor["rows_root"], anchor["currency"], [anchor["first_day"], anchor["last_day"]])
    if application["data"] != [anchor["id"]] or (root.hex(), plain.currency, period) != known:
        raise EvidenceFault("rows_root_differs", "These are not the rows that the application rests on.")
    request = read_request(application)
    scored = {one["model"]: int(one["points"]) for one in application["assessed"]}
    gives, found = calculate_capacity30(plain, request), []
    features, features_root = application["features"], calculate_vector_root(calculate_vector(plain, request)).hex()
    for one in application["attestations"]:
        model = models[one["model"]]
        points = model.assess(calculate_bins(plain, request, model)).points
        verdict = "true"
        if not one["own"]:
            verdict = "dissenting"
        elif points != scored[one["model"]]:
            verdict = "false_bins"
        elif gives != one["capacity30"]:
            verdict = "false_cash_flow"
        elif features is not None and features["root"] != features_root:
            verdict = "false_features"
        found.append(
            Judged(
                attester=one["attester"],
                name=one["attester_name"],
                model=one["model"],
                said=one["capacity30"],
                gives=gives,
                points=scored[one["model"]],
                points_given=points,
                verdict=verdict,
            )
        )
    return tuple(found)


def read_models(network: dict[str, Any]) -> dict[str, PointsModel]:
    """Models of an answer of GET /v1/network, retired ones too; each is what its id says, or is left out."""
    found = {one["id"]: decode_model(one["text"].encode("ascii")) for one in network["models"]}
    return {key: model for key, model in found.items() if ModelId(model.id).hex() == key}


def read_request(view: dict[str, Any]) -> Apply:
    """As much of the application as the figures depend on; the rest is left empty."""
    return Apply(
        segment=Segment[view["segment"].upper()],
        product=None,
        currency=Currency(view["currency"]),
        amount=Amount(view["amount"]),
        instalments=view["instalments"],
        period_unit=_UNITS[view["every"][-1]],
        period_every=int(view["every"][:-1]),
        purpose=LoanPurpose.OTHER,
        data=(ObjectId(ZERO_DIGEST),),
        consent=ObjectId(ZERO_DIGEST),
        as_of=Day(date.fromisoformat(view["as_of"]).toordinal()),
        sidecars=(),
    )
