"""Checks of single settings: each returns the accepted value or raises an error that repairs.

A check is a function of the value and of the key's dotted name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

from lgm_core.foundation.errors import InputError, KeyFaultError, SettingError

COMPLETE = "a complete file states every key"
Check = Callable[[Any, str], Any]
Spec = TypeVar("Spec")

_LONGEST_NAME = 64
"""Three of them, a verb, a group of variants and a suffix are one file name, which has at most 255 bytes."""
# Names become folders, parts of DVC's stage names and words of commands, so only plain characters are safe.
_NAME_CHARACTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def integer(minimum: int, maximum: int = 2**31 - 1) -> Check:
    """A whole number in [minimum, maximum]."""
    allowed = f"a whole number from {minimum}" + (f" to {maximum}" if maximum < 2**31 - 1 else "")

    def check(value: Any, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingError(key, value, allowed)
        if not minimum <= value <= maximum:
            raise SettingError(key, value, allowed)
        return value

    return check


def number(minimum: float = -math.inf, maximum: float = math.inf, *, above: float | None = None) -> Check:
    """A finite real number in [minimum, maximum], strictly above `above` where given."""
    bounds = [
        f"from {minimum:g}" if minimum > -math.inf else "",
        f"above {above:g}" if above is not None else "",
        f"to {maximum:g}" if maximum < math.inf else "",
    ]
    allowed = " ".join(["a number", *filter(None, bounds)])

    def check(value: Any, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingError(key, value, allowed)
        try:
            real = float(value)
        except OverflowError:
            raise SettingError(key, value, allowed) from None
        inside = math.isfinite(real) and minimum <= real <= maximum
        if not inside or (above is not None and real <= above):
            raise SettingError(key, value, allowed)
        return real

    return check


def boolean(value: Any, key: str) -> bool:
    """`true` or `false`."""
    if not isinstance(value, bool):
        raise SettingError(key, value, "true or false")
    return value


def choice(*allowed: str) -> Check:
    """One of the given words."""

    def check(value: Any, key: str) -> str:
        if value not in allowed or not isinstance(value, str):
            raise SettingError(key, value, " | ".join(allowed))
        return value

    return check


def text(value: Any, key: str) -> str:
    """Any non-empty text."""
    if not isinstance(value, str) or not value.strip():
        raise SettingError(key, value, "a non-empty text")
    return value


def name(value: Any, key: str) -> str:
    """A plain name: it becomes a folder, part of a stage name, and a word of a command, never an option."""
    plain = isinstance(value, str) and not set(value) - _NAME_CHARACTERS and not value.startswith("-")
    if not plain or not 0 < len(value) <= _LONGEST_NAME:
        allowed = (
            f"a name of letters, digits, '_' and '-', at most {_LONGEST_NAME} of them, and '-' not first"
        )
        raise SettingError(key, value, allowed)
    return value


def interval(minimum: float, maximum: float = math.inf) -> Check:
    """A list of two numbers, low ≤ high, both in (minimum, maximum]."""

    def check(value: Any, key: str) -> tuple[float, float]:
        allowed = "a list of two numbers, low then high"
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise SettingError(key, value, allowed)
        bound = number(maximum=maximum, above=minimum)
        low, high = (bound(part, f"{key}[{place}]") for place, part in enumerate(value))
        if low > high:
            raise SettingError(key, value, allowed)
        return low, high

    return check


def either(word: str, other: Check) -> Check:
    """The given word, or whatever `other` accepts."""

    def check(value: Any, key: str) -> Any:
        if value == word and isinstance(value, str):
            return value
        if isinstance(value, Mapping):
            return other(value, key)
        try:
            return other(value, key)
        except InputError as error:
            if not isinstance(error, SettingError):
                raise
            raise SettingError(error.key, error.given, f"{error.allowed}, or {word!r}") from None

    return check


def section(spec: type[Spec]) -> Check:
    """A nested group of settings."""
    return lambda value, key: parse(spec, value, key)


def setting(check: Check) -> Any:
    """A dataclass field that :func:`parse` validates with `check`; the text below it says what it is."""
    return field(metadata={"check": check})


def parse(spec: type[Spec], mapping: Any, key: str = "") -> Spec:
    """Build `spec` from a mapping; unknown and missing keys are errors, every value is checked.

    Args:
        spec: a frozen dataclass whose fields were made with :func:`setting`.
        mapping: plain values.
        key: dotted name of the mapping; empty at top level.

    Raises:
        InputError: naming the key, the value and what is allowed.
    """
    if not isinstance(mapping, Mapping):
        raise SettingError(key or "the file", mapping, "a mapping of settings")
    known = {entry.name: entry for entry in fields(spec)}  # type: ignore[arg-type]
    prefix = f"{key}." if key else ""
    for given in mapping:
        if given not in known:
            raise KeyFaultError("unknown", [f"{prefix}{given}"], f"allowed: {', '.join(known)}")
    required = {label for label, entry in known.items() if entry.default is MISSING}
    missing = [label for label in known if label in required and label not in mapping]
    if missing:
        raise KeyFaultError("missing", [prefix + label for label in missing], COMPLETE)
    values = {
        label: entry.metadata["check"](mapping[label], prefix + label)
        for label, entry in known.items()
        if label in mapping
    }
    try:
        return spec(**values)
    except SettingError as error:
        raise SettingError(prefix + error.key, error.given, error.allowed) from None
