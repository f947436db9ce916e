"""The embedded suite as plain values, and ways to name and change single settings of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lgm_core.reporting.figures import check_figures
from lgm_core.reporting.tables import check_tables
from lgm_core.settings.params import Params, parse_params
from lgm_core.settings.places import LISTS

Make = Callable[..., Params]
SettingPath = tuple[str, ...]

SUITES = sorted((Path(__file__).resolve().parents[2] / "suites").glob("*.yaml"))


def read_suite(name: str) -> dict[str, Any]:
    """A suite as plain values."""
    (path,) = (path for path in SUITES if path.stem == name)
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


EMBEDDED = read_suite("embedded")


def leaves(mapping: dict[str, Any], *path: str) -> Iterator[tuple[SettingPath, Any]]:
    """Every setting of the file: its path and its value; lists count as one setting."""
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from leaves(value, *path, key)
        else:
            yield (*path, key), value


def nested(path: SettingPath, value: Any) -> dict[str, Any]:
    """The mapping in which `value` is the only setting, at `path`."""
    for key in reversed(path):
        value = {key: value}
    return value


def owner(mapping: dict[str, Any], path: SettingPath) -> dict[str, Any]:
    """The group that holds the last key of `path`."""
    for key in path[:-1]:
        mapping = mapping[key]
    return mapping


def paths_of(kind: type) -> list[SettingPath]:
    """Paths of all settings whose values are of a type."""
    return [path for path, value in leaves(EMBEDDED) if type(value) is kind]


def check_shown(params: Params) -> Params:
    """The settings, if tables and figures can show what they say."""
    check_tables(params)
    check_figures(params)
    return params


def check_whole(content: Any) -> Params:
    """All checks of a file of settings, as the first stage makes them."""
    return check_shown(parse_params(content))


def left_out(shown: dict[str, Any]) -> dict[str, Any]:
    """A table or figure without a data set."""
    return {place: [] if place in LISTS else "none" for place in shown}
