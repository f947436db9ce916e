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


def check_places(part: str, known: Mapping[str, tuple[str, ...]], given: Mapping[str, Shown]) -> None:
    """Refuse entries of `tables` or `figures` that are not those there are, or show too little or too much.

    Args:
        part: of the settings.
        known: the tables or figures that there are, with their places.
        given: what the settings say.

    Raises:
        InputError: naming the entry.
    """
    unknown = [f"{part}.{name}" for name in given if name not in known]
    if unknown:
        raise KeyFaultError("unknown", unknown, f"allowed: {', '.join(known)}")
    for name, places in known.items():
        if name not in given:
            nothing = ", ".join(f"{place}: {'[]' if place in LISTS else 'none'}" for place in places)
            raise KeyFaultError("missing", [f"{part}.{name}"], f"{nothing} leaves it out")
        if given[name].kind is not None:
            raise KeyFaultError("unknown", [f"{part}.{name}.kind"], f"allowed: {', '.join(places)}")
        if set(given[name].places) != set(places):
            raise SettingError(f"{part}.{name}", given[name].places, f"a mapping of {', '.join(places)}")
        for place in (place for place in LISTS if place in places):
            names = given[name].places[place]
            if bool(names) != bool(given[name].datasets):
                allowed = "[] where the table shows no data set, and at least one name where it does"
                raise SettingError(f"{part}.{name}.{place}", list(names), allowed)


def check_shown_alone(
    key: str, given: Mapping[str, object], title: str, shown: bool, *, needed: bool
) -> None:
    """Refuse what only an empty table or figure would show, and a table or figure with nothing to show.

    Args:
        key: dotted name of the setting.
        given: its value.
        title: of the table or figure.
        shown: whether it shows a data set.
        needed: whether it has nothing to show without the setting.

    Raises:
        InputError: naming the setting.
    """
    if given and not shown:
        raise SettingError(key, [*given], f"{{}} where {title} shows nothing")
    if needed and shown and not given:
        raise SettingError(key, {}, f"at least one where {title} shows a data set")
