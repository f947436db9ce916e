"""dvc.yaml as plain values: its stages, their cells under some settings, and what they declare."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.verbs import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
CODE_FOLDERS = ("lgm_core", "stages")
INTERPOLATION = re.compile(r"\$\{([^}]+)\}")
_COMMAND = re.compile(r"python -m stages\.(\w+)\b")


def load(path: Path) -> Any:
    """A file as DVC reads it, YAML 1.2."""
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


STAGES: dict[str, dict[str, Any]] = load(ROOT / "dvc.yaml")["stages"]


def content(stage: str) -> dict[str, Any]:
    """What a stage says, also where it is one of several that are made from a mapping."""
    return STAGES[stage].get("do", STAGES[stage])


def look_up(key: str, mapping: Any) -> Any:
    """What a dotted name stands for."""
    for part in key.split("."):
        mapping = mapping[part]
    return mapping


def resolve(text: str, params: dict[str, Any], cell: dict[str, Any]) -> str:
    """A text with its interpolations filled in, as DVC does it."""
    return INTERPOLATION.sub(lambda found: str(look_up(found[1], {**params, **cell})), text)


def cells(stage: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """What `item` and `key` are in every cell of a stage; one empty mapping for a stage of one cell."""
    if "foreach" in STAGES[stage]:
        mapping = look_up(_interpolated(STAGES[stage]["foreach"]), params)
        return [{"key": key, "item": mapping[key]} for key in mapping]
    if "matrix" not in STAGES[stage]:
        return [{}]
    axes = {
        name: (
            list(look_up(_interpolated(axis), params))
            if isinstance(axis, str)
            else [resolve(value, params, {}) for value in axis]
        )
        for name, axis in STAGES[stage]["matrix"].items()
    }
    return [{"item": dict(zip(axes, values, strict=True))} for values in itertools.product(*axes.values())]


def _interpolated(text: str) -> str:
    found = INTERPOLATION.fullmatch(text)
    assert found, f"{text!r} is more or less than one interpolation"
    return found[1]


def address(stage: str, cell: dict[str, Any]) -> str:
    """DVC's name of a cell."""
    parts = [cell["key"]] if "key" in cell else cell.get("item", {}).values()
    return f"{stage}@{'-'.join(parts)}" if cell else stage


def texts(entries: Iterable[Any]) -> list[str]:
    """Names in a list of deps, outs, params or metrics, without what is said about them.

    Settings may stand in lists under the name of their file.
    """
    found: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(entry)
            continue
        ((name, said),) = entry.items()
        found += said if name == "params.yaml" else [name]
    return found


def declared(stage: str, part: str, params: dict[str, Any], cell: dict[str, Any]) -> list[str]:
    """Deps, outs, params or metrics of a cell; among params the settings that come with its verb's code."""
    own = [resolve(text, params, cell) for text in texts(content(stage).get(part, []))]
    return [*own, *SETTINGS[verb_of(stage)]] if part == "params" and stage != "code" else own


def commands(stage: str) -> list[str]:
    """A stage's commands, in order."""
    given = content(stage)["cmd"]
    return [given] if isinstance(given, str) else list(given)


def verb_of(stage: str) -> str:
    """The script that a stage runs last."""
    found = _COMMAND.match(commands(stage)[-1])
    assert found, f"{stage}: cmd is not `python -m stages.<verb> …`"
    return found[1]


VERBS = sorted({verb_of(stage) for stage in STAGES} - {"code"})
"""The scripts whose code has a fingerprint."""


def result_deps(stage: str) -> list[str]:
    """What a stage depends on but its code, with interpolations."""
    return [dep for dep in texts(content(stage)["deps"]) if not dep.startswith("results/code/")]


def leaves(mapping: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of all settings."""
    if not isinstance(mapping, dict):
        yield prefix
        return
    for key, value in mapping.items():
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))


def covers(claim: str, key: str) -> bool:
    """Whether a setting is a claimed one or lies in a claimed group."""
    return key == claim or key.startswith(f"{claim}.")


def below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it."""
    return path == folder or path.startswith(f"{folder}/")
