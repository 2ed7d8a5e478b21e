"""Payloads in people's words: read, written and described for every type, with the path of each mistake."""

from typing import Any

import msgspec
import pytest

from node.client.catalog import PAYLOADS, Kind, list_fields, list_parts, read_doc, read_first_sentence
from node.client.forms import FormError, Names, describe, make_example, read_payload, write_payload
from protocol.codec import decode, encode
from protocol.crypto import calculate_hash
from protocol.ids import AccountId
from protocol.ledger.rows import Role
from protocol.transactions.governance import MemberSet, PauseSet, Propose
from protocol.transactions.lending import OfferDecline
from protocol.transactions.servicing import AmendPropose, AutopaySet
from tests.protocol.payloads import make_sample

MEMBER = AccountId(calculate_hash("account", b"harbour"))
TYPES = sorted(PAYLOADS)


def resolve(text: str) -> AccountId:
    """An account as the command line would find it."""
    return MEMBER if text == "harbour" else AccountId(bytes.fromhex(text))


@pytest.mark.parametrize("name", TYPES)
def test_every_type_comes_back_from_its_own_words(name: str) -> None:
    """What is written of a payload reads as the same payload, so a file can hold every transaction type."""
    sample = make_sample(PAYLOADS[name])
    if name == "OfferDecline":
        sample = msgspec.structs.replace(sample, reasons=(1, 11))
    written = write_payload(sample)
    # The smallest days of the wire are before any calendar, and nobody could type them.
    written = {key: "0001-01-01" if value == "day 0" else value for key, value in written.items()}
    again = read_payload(PAYLOADS[name], written, resolve)
    assert decode(encode(again), PAYLOADS[name]) == again
    assert {**write_payload(again)} == written


@pytest.mark.parametrize("name", TYPES)
def test_the_example_of_every_type_has_its_form(name: str) -> None:
    """An example that a person copies is refused by the ledger at most, never by the form."""
    payload = read_payload(PAYLOADS[name], make_example(PAYLOADS[name]), resolve)
    assert decode(encode(payload), PAYLOADS[name]) == payload


@pytest.mark.parametrize("name", TYPES)
def test_nothing_of_a_payload_is_left_unsaid(name: str) -> None:
    """Two payloads that differ in one field differ in words too, whatever the field."""
    struct = PAYLOADS[name]
    payload = read_payload(struct, make_example(struct), resolve)
    said = describe(payload)
    assert len({label for label, _ in said}) == len(said)
    for field in list_fields(struct):
        other = _change(payload, field.name)
        if other is not None:
            assert describe(other) != said, field.name


def _change(payload: Any, name: str) -> Any:
    """The payload with one field of another value, where a plain one can be found."""
    value = getattr(payload, name)
    if isinstance(value, bytes):
        return msgspec.structs.replace(payload, **{name: bytes(32)})
    if isinstance(value, bool):
        return msgspec.structs.replace(payload, **{name: not value})
    if type(value) is int:
        return msgspec.structs.replace(payload, **{name: value + 1})
    return None


@pytest.mark.parametrize("name", TYPES)
def test_every_type_says_what_it_is_for(name: str) -> None:
    """The overview has a sentence for each type, and each field says what it takes."""
    struct = PAYLOADS[name]
    assert len(read_first_sentence(struct)) > 10
    assert read_first_sentence(struct).rstrip(".") in read_doc(struct)
    for part in (struct, *list_parts(struct)):
        assert all(one.shape.describe() for one in list_fields(part))


def test_a_field_says_its_unit_its_limits_and_its_docstring() -> None:
    """Units, ranges and the sentence beside the field on the wire are what a person reads."""
    fields = {one.name: one for one in list_fields(AmendPropose)}
    assert fields["instalments"].shape.describe() == "a whole number of 1 to 480"
    assert "null" in fields["settle"].shape.describe()
    assert "minor units" in fields["forgiven"].shape.describe()
    assert fields["forgiven"].doc == "Principal given up."
    assert fields["interest"].shape.kind is Kind.ENUM
    assert not fields["first_due"].required


@pytest.mark.parametrize(
    ("struct", "value", "path"),
    [
        (AutopaySet, {"loan": "ab" * 32, "on": 1}, "on"),
        (AutopaySet, {"loan": "ab", "on": True}, "loan"),
        (AutopaySet, {"loan": "ab" * 32}, "on"),
        (AutopaySet, {"loan": "ab" * 32, "on": True, "off": True}, "off"),
        (AutopaySet, [], ""),
        (Propose, {"action": {"type": "Freeze", "account": "harbour"}, "effective_on": "2027-01-01"}, "action.frozen"),
        (Propose, {"action": {"type": "Thaw"}, "effective_on": "2027-01-01"}, "action.type"),
        (Propose, {"action": {"type": "PauseSet", "families": ["paying"]}, "effective_on": "x"}, "action.families"),
        (Propose, {"action": {"type": "PauseSet", "families": []}, "effective_on": "1 May"}, "effective_on"),
        (OfferDecline, {"application": "ab" * 32, "product": "ab" * 32, "reasons": ["debt", "rude"]}, "reasons[1]"),
        (OfferDecline, {"application": "ab" * 32, "product": "ab" * 32, "reasons": []}, "reasons"),
        (PauseSet, {"families": 3}, "families"),
    ],
)
def test_every_mistake_is_told_with_its_path(struct: type[msgspec.Struct], value: Any, path: str) -> None:
    """A wrong, missing or unknown value is named by where it stands, and what could stand there."""
    with pytest.raises(FormError) as caught:
        read_payload(struct, value, resolve)
    assert caught.value.path == path
    assert len(str(caught.value)) > len(path) + 10


def test_numbers_have_their_wire_limits() -> None:
    """What the wire would refuse is refused with the range, and true is no number."""
    good = write_payload(make_sample(AmendPropose))
    for name, value in (("instalments", 481), ("valid_days", 0), ("forgiven", -1), ("forgiven", True)):
        with pytest.raises(FormError) as caught:
            read_payload(AmendPropose, {**good, name: value}, resolve)
        assert caught.value.path == name


def test_bits_go_by_names_and_validators_are_not_made_by_votes() -> None:
    """Roles and families are lists of names, none of them a number to look up."""
    fields = {one.name: one for one in list_fields(MemberSet)}
    assert fields["roles"].shape.names == ("lender", "settlement_agent", "issuer", "observer", "arbiter", "provider")
    assert {one.upper() for one in fields["roles"].shape.names} == {one.name for one in Role} - {"VALIDATOR"}
    value = {"type": "PauseSet", "families": ["lending", "money"]}
    payload = read_payload(Propose, {"action": value, "effective_on": "2027-01-01"}, resolve)
    assert payload.action.families == 16 + 2
    assert write_payload(payload)["action"]["families"] == ["money", "lending"]


def test_members_go_by_name_both_ways() -> None:
    """A name is taken where an account is asked for, and shown beside the account."""
    value = {"action": {"type": "Freeze", "account": "harbour", "frozen": True}, "effective_on": "2027-01-01"}
    payload = read_payload(Propose, value, resolve)
    assert payload.action.account == MEMBER
    said = dict(describe(payload, Names(accounts={bytes(MEMBER): "harbour"})))
    assert said["action account"] == f"{MEMBER.hex()} (harbour)"
