"""A check returns the accepted value or says what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgm_core.foundation.errors import InputError, KeyFaultError, SettingError
from lgm_core.settings import checks
from lgm_core.settings.descriptions import Description, describe


@given(st.integers())
def test_integer_accepts_exactly_its_range(value: int) -> None:
    check = checks.integer(-3, 5)
    if -3 <= value <= 5:
        assert check(value, "key") == value
    else:
        with pytest.raises(SettingError, match=r"key is .*; allowed: a whole number from -3 to 5"):
            check(value, "key")


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers(-3, 3))
def test_number_accepts_exactly_its_range(value: float) -> None:
    check = checks.number(0, 2)
    if 0 <= value <= 2:
        assert check(value, "key") == value
    else:
        with pytest.raises(SettingError, match=r"key is .*; allowed: a number from 0 to 2"):
            check(value, "key")


@given(st.floats(-2, 2) | st.integers(-2, 2))
def test_a_strict_bound_is_outside(value: float) -> None:
    check = checks.number(above=-1, maximum=1)
    if -1 < value <= 1:
        assert check(value, "key") == value
    else:
        with pytest.raises(SettingError, match="allowed: a number above -1 to 1"):
            check(value, "key")


def test_a_number_without_bounds_is_any_finite_one() -> None:
    assert [checks.number()(value, "key") for value in (-(10**300), 0, 1e-300)] == [-1e300, 0, 1e-300]
    for value in (math.nan, math.inf, -math.inf, 10**400, True, "1", None):
        with pytest.raises(SettingError, match=r"allowed: a number\.$"):
            checks.number()(value, "key")


@pytest.mark.parametrize("value", ["", "  ", "\n", None, 3, ["a"]])
def test_text_must_not_be_empty(value: object) -> None:
    with pytest.raises(SettingError, match=r"key is .*; allowed: a non-empty text"):
        checks.text(value, "key")
    assert checks.text("a b", "key") == "a b"


@pytest.mark.parametrize(
    "value", ["a/b", "a.b", "a b", "a@b", "", "ä", ".", "..", "~", "-", "-a", "--help", "x" * 65, None, 3]
)
def test_a_name_is_plain_and_short(value: object) -> None:
    with pytest.raises(SettingError, match="allowed: a name of letters, digits, '_' and '-', at most 64"):
        checks.name(value, "key")


@pytest.mark.parametrize("value", ["a", "_-", "A_9-z", "x" * 64])
def test_plain_names_are_accepted(value: str) -> None:
    assert checks.name(value, "key") == value


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_true_or_false(value: bool) -> None:
    assert checks.boolean(value, "key") is value


@pytest.mark.parametrize("value", ["c", "", None, ["a"], {}])
def test_a_choice_is_one_of_its_words(value: object) -> None:
    check = checks.choice("a", "b")
    assert check("b", "key") == "b"
    with pytest.raises(SettingError, match=r"allowed: a \| b\.$"):
        check(value, "key")


@pytest.mark.parametrize(
    ("value", "key"),
    [([1], "key"), ([2, 1], "key"), ("ab", "key"), (None, "key"), ([0, 1], "key[0]"), ([1, 5], "key[1]")],
)
def test_an_interval_is_two_numbers_low_then_high_within_bounds(value: object, key: str) -> None:
    check = checks.interval(0, 4)
    assert check([1, 1], "key") == check((1, 1.0), "key") == (1.0, 1.0)
    with pytest.raises(SettingError) as caught:
        check(value, "key")
    assert caught.value.key == key


# A word instead of what is usual


def _either(value: Any) -> Any:
    return checks.either("all", checks.integer(1))(value, "key")


def test_either_offers_the_word_beside_what_else_is_allowed() -> None:
    assert (_either("all"), _either(3)) == ("all", 3)
    for value in (0, "most", True):
        with pytest.raises(SettingError, match="allowed: a whole number from 1, or 'all'") as caught:
            _either(value)
        assert caught.value.given == value


def test_either_says_what_is_wrong_inside_a_mapping_and_offers_no_word_there() -> None:
    @dataclass(frozen=True)
    class Inner:
        size: int = checks.setting(checks.integer(1))

    check = checks.either("none", checks.section(Inner))
    assert check({"size": 2}, "key") == Inner(2)
    with pytest.raises(SettingError, match=r"^key\.size is 0; allowed: a whole number from 1\.$"):
        check({"size": 0}, "key")
    with pytest.raises(KeyFaultError, match=r"unknown key key\.sise"):
        check({"sise": 2}, "key")


def test_either_passes_on_errors_of_another_kind() -> None:
    def refuse(value: Any, key: str) -> Any:
        raise KeyFaultError("missing", [key], "x")

    with pytest.raises(KeyFaultError, match="missing key key; x"):
        checks.either("none", refuse)(3, "key")


# Groups


@dataclass(frozen=True)
class Example:
    """Two settings, one of them with a default."""

    size: int = checks.setting(checks.integer(1))
    """How large, in whole
    numbers. Paper: 3 (or 4)."""
    word: str = "default"
    """A word. Two of them."""


def test_field_with_a_default_may_be_left_out() -> None:
    assert checks.parse(Example, {"size": 3}) == Example(3, "default")


def test_the_text_below_a_field_says_what_it_is_and_what_the_paper_has() -> None:
    assert describe(Example) == {
        "size": Description("How large, in whole numbers", "3 (or 4)"),
        "word": Description("A word. Two of them", ""),
    }


def test_a_field_without_a_text_is_named() -> None:
    @dataclass
    class Silent:
        size: int

    with pytest.raises(ValueError, match=r"Silent\.size has no text below it"):
        describe(Silent)


@pytest.mark.parametrize(("key", "named"), [("", "the file"), ("probe", "probe")])
def test_a_group_that_is_no_mapping_is_named(key: str, named: str) -> None:
    with pytest.raises(SettingError, match=f"^{named} is 'x'; allowed: a mapping of settings"):
        checks.parse(Example, "x", key)


@pytest.mark.parametrize(("key", "prefix"), [("", ""), ("probe", "probe.")])
def test_keys_are_named_by_their_place(key: str, prefix: str) -> None:
    with pytest.raises(InputError, match=f"^unknown key {prefix}sise; allowed: size, word.$"):
        checks.parse(Example, {"sise": 3}, key)
    with pytest.raises(InputError, match=f"^missing key {prefix}size; a complete file states every key.$"):
        checks.parse(Example, {"word": "x"}, key)
    with pytest.raises(InputError, match=f"^{prefix}size is 0; allowed: "):
        checks.parse(Example, {"size": 0}, key)
