"""Reasons are a table: every one has a sentence and a stable number, and the smaller number is named first."""

import re

from protocol.rejections import SENTENCES, Rejection

PRECEDENCE = [
    (100, "too_large"),
    (101, "malformed"),
    (102, "not_canonical"),
    (103, "wrong_version"),
    (104, "wrong_chain"),
    (105, "signature_invalid"),
    (106, "cosignature_invalid"),
    (107, "sidecar_mismatch"),
    (108, "expired"),
    (109, "valid_to_too_far"),
    (110, "account_unknown"),
    (111, "nonce_used"),
    (112, "nonce_too_far"),
    (113, "account_frozen"),
    (114, "role_missing"),
    (115, "credential_expired"),
    (200, "key_taken"),
    (201, "tag_taken"),
    (202, "issuer_unknown"),
    (300, "currency_unknown"),
    (301, "amount_zero"),
    (302, "reference_used"),
    (303, "recipient_unknown"),
    (304, "funds_short"),
    (305, "amount_too_large"),
    (306, "redemption_unknown"),
    (307, "redemption_closed"),
    (308, "agent_funds_short"),
    (400, "pool_unknown"),
    (401, "pool_not_yours"),
    (500, "product_unknown"),
    (501, "product_terms_invalid"),
    (502, "policy_broken"),
    (503, "model_unknown"),
    (504, "product_limit_reached"),
    (600, "data_unknown"),
    (601, "data_not_yours"),
    (602, "period_invalid"),
    (603, "consent_unknown"),
    (604, "consent_not_yours"),
    (605, "consent_ended"),
    (606, "grantee_unknown"),
    (700, "application_unknown"),
    (701, "application_closed"),
    (702, "applications_too_many"),
    (703, "application_terms_invalid"),
    (704, "statement_stale"),
    (705, "sidecar_missing"),
    (706, "attester_not_granted"),
    (707, "attested_already"),
    (708, "attestation_mismatch"),
    (709, "statement_currency"),
    (800, "offer_unknown"),
    (801, "offer_expired"),
    (802, "offer_taken"),
    (803, "terms_mismatch"),
    (804, "cap_debt"),
    (805, "cap_instalments"),
    (806, "cap_lenders"),
    (807, "cap_daily"),
    (808, "budget_spent"),
    (809, "liquidity_short"),
    (810, "cap_pool"),
    (811, "rate_too_high"),
    (900, "loan_unknown"),
    (901, "loan_closed"),
    (9999, "unknown"),
]


def test_numbers_and_codes_are_frozen() -> None:
    """Receipts hold the numbers for ever: this table may grow within a family and never change."""
    assert [(int(one), one.code) for one in sorted(Rejection)] == PRECEDENCE


def test_the_enum_stands_in_order_of_precedence() -> None:
    """What is written first is named first."""
    assert list(Rejection) == sorted(Rejection)


def test_every_reason_has_a_sentence_of_its_own() -> None:
    """A whole sentence, with nothing of the machine in it."""
    assert sorted(SENTENCES) == sorted(Rejection)
    assert len(set(SENTENCES.values())) == len(SENTENCES)
    for reason, sentence in SENTENCES.items():
        assert re.fullmatch(r"[A-Z].{10,110}\.", sentence), reason
        assert reason.name not in sentence
