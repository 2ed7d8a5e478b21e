"""`liushui model register|retire`: a model goes before the validators with the hashes of its card and report."""

import hashlib
import json
from pathlib import Path

import msgspec

from node.cli.common import EXIT_OK
from protocol.ids import Digest, ObjectId
from protocol.ledger.rows import ProposalState
from protocol.ledger.state import PROPOSALS
from protocol.transactions.governance import ModelRetire, ModelSet
from scoring.models import load_default
from scoring.points import encode_model
from tests.node.cli.terminal import Desk

MODEL = msgspec.structs.replace(load_default("CNY"), name="cny-next")
TEXT = encode_model(MODEL).decode()


def write_model(desk: Desk, *, card: bool = True, model_id: str | None = None) -> Path:
    """A model laid out for people, as `liushui model train` leaves it: with card and report beside it."""
    path = desk.folder / "cny-next.json"
    path.write_text(TEXT.replace(",", ",\n "))
    (desk.folder / "cny-next.report.json").write_text(json.dumps({"model_id": model_id or MODEL.id.hex()}))
    if card:
        (desk.folder / "cny-next.card.md").write_text("# Model card: cny-next\n")
    return path


def read_proposed(desk: Desk, told: dict[str, str]) -> object:
    row = desk.node.ledger.books.state.need(PROPOSALS, bytes.fromhex(told["proposal"]))
    assert row.state is ProposalState.OPEN
    return row.action


def hash_file(path: Path) -> Digest:
    return Digest(hashlib.sha256(path.read_bytes()).digest())


async def test_a_model_is_registered_with_the_evidence_beside_it(desk: Desk) -> None:
    """However the file is laid out, its canonical text is proposed, with the hashes of both files beside it."""
    path = write_model(desk)
    told = await desk.order("harbour", "model", "register", str(path))
    card, report = (hash_file(desk.folder / f"cny-next.{end}") for end in ("card.md", "report.json"))
    assert read_proposed(desk, told) == ModelSet(text=TEXT, card=card, report=report)
    shown = await desk.run("gov", "show", told["proposal"], "--node", desk.url)
    assert shown.exit_code == EXIT_OK
    assert card.hex() in shown.stdout
    assert report.hex() in shown.stdout


async def test_the_older_name_is_the_same_command(desk: Desk) -> None:
    """`liushui gov propose model` takes files named elsewhere, and none where none are; both make one payload."""
    path = write_model(desk, card=False)
    other = desk.folder / "other.md"
    other.write_text("# another card\n")
    told = await desk.order("harbour", "gov", "propose", "model", str(path), "--card", str(other))
    report = hash_file(desk.folder / "cny-next.report.json")
    assert read_proposed(desk, told) == ModelSet(text=TEXT, card=hash_file(other), report=report)
    (desk.folder / "cny-next.report.json").unlink()
    told = await desk.order("harbour", "gov", "propose", "model", str(path))
    assert read_proposed(desk, told) == ModelSet(text=TEXT, card=None, report=None)


async def test_what_is_no_model_or_no_evidence_of_it_is_refused(desk: Desk) -> None:
    """Another model's report, something that is no report, no model at all, a file that is not there."""
    office = ("--officer-dir", str(desk.open_office("harbour")), "--yes", "--node", desk.url)
    path = write_model(desk, model_id="ab" * 32)
    register = ("model", "register", str(path))
    assert await desk.refuse(*register, *office) == "report_mismatch"
    report = desk.folder / "cny-next.report.json"
    for text, code in (("no json", "report_invalid"), ("[]", "report_mismatch")):
        report.write_text(text)
        assert await desk.refuse(*register, *office) == code
    assert await desk.refuse(*register, "--report", str(desk.folder / "nowhere"), *office) == "file_unreadable"
    report.unlink()
    assert await desk.refuse(*register, "--card", str(desk.folder / "nowhere"), *office) == "file_unreadable"
    path.write_text("{}")
    assert await desk.refuse(*register, *office) == "model_invalid"
    assert await desk.refuse("model", "register", str(desk.folder / "nowhere.json"), *office) == "file_unreadable"


async def test_a_registered_model_is_retired_by_its_id(desk: Desk) -> None:
    """`liushui model retire` is the proposal that `liushui gov propose retire-model` makes."""
    standing = load_default("CNY").id.hex()
    for command in (("model", "retire"), ("gov", "propose", "retire-model")):
        told = await desk.order("harbour", *command, standing)
        assert read_proposed(desk, told) == ModelRetire(model=ObjectId(bytes.fromhex(standing)))
