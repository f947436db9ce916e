"""What tables and figures show: the data sets, sources and kinds that their places name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lgm_core.foundation.errors import KeyFaultError, SettingError
from lgm_core.foundation.layout import NOTHING
from lgm_core.settings import checks

LISTS = ("sources", "backbones")
"""Places that hold several names; [] where the table shows no data set."""


@dataclass(frozen=True)
class Shown:
    """What a table or figure shows; which places it has is its own affair.

    Attributes:
        kind: of a table of one's own.
        dataset: the one data set.
        left, right: the two data sets, where it shows two.
        source: the backbone, where it shows one.
        sources: what distils, where it shows several.
        backbones: those whose variants of the method it shows.
    """

    kind: str | None = None
    dataset: str | None = None
    left: str | None = None
    right: str | None = None
    source: str | None = None
    sources: tuple[str, ...] | None = None
    backbones: tuple[str, ...] | None = None

    @property
    def places(self) -> dict[str, Any]:
        """Place → name or names, of the places that were given."""
        return {
            entry.name: value
            for entry in fields(self)
            if entry.name != "kind" and (value := getattr(self, entry.name)) is not None
        }

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets it shows, each once; none where every place is `none`."""
        names = (self.dataset, self.left, self.right)
        return tuple(dict.fromkeys(name for name in names if name not in (None, NOTHING)))


def shown(value: Any, key: str) -> Shown:
    """What a table or figure shows, checked; whether it has such places is checked with the table."""
    known = [entry.name for entry in fields(Shown)]
    if not isinstance(value, Mapping) or not value:
        raise SettingError(key, value, f"a mapping of {', '.join(known)}")
    unknown = [f"{key}.{part}" for part in value if part not in known]
    if unknown:
        raise KeyFaultError("unknown", unknown, f"allowed: {', '.join(known)}")
    return Shown(**{part: _place(part)(value[part], f"{key}.{part}") for part in value})


def _place(part: str) -> checks.Check:
    return _names if part in LISTS else checks.name


def _names(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise SettingError(key, value, "a list of names, [] for none")
    names = tuple(checks.name(one, key) for one in value)
    if len(set(names)) < len(names):
        raise SettingError(key, value, "every name once")
    return names
