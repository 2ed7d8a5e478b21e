"""One person has one tag, however the number was typed."""

import pytest

from node.client.subject import calculate_subject_tag, normalise_subject

SEED = bytes(range(32))
NUMBER = "11010519491231002X"


@pytest.mark.parametrize(
    "typed",
    [
        "110105 19491231 002x",
        "110105-19491231-002X",
        "１１０１０５１９４９１２３１００２Ｘ",
        "\ufeff110105194912\u200b31002X",
        "1101\u200c0519491231\u200d002X\u2060",
        "\u202e11010519491231002X\u202c",
        "110105\u00ad19491231002X",
    ],
)
def test_signs_that_nobody_sees_change_no_tag(typed: str) -> None:
    """Width, case, spaces, hyphens and format characters (category Cf) make no second person."""
    assert normalise_subject(typed) == NUMBER
    assert calculate_subject_tag(SEED, typed) == calculate_subject_tag(SEED, NUMBER)


def test_another_number_is_another_person() -> None:
    """A digit more or less is another tag, and so is another issuer's key."""
    tag = calculate_subject_tag(SEED, NUMBER)
    assert tag != calculate_subject_tag(SEED, NUMBER[:-1])
    assert tag != calculate_subject_tag(bytes(32), NUMBER)
