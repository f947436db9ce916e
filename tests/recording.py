"""What a stage really touches: the settings it reads, the paths it names, the files it makes."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pytest

from lgm_core.foundation.layout import Cell, Layout


@dataclass
class Seen:
    """What one run of a stage touched."""

    settings: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)


class _RecordingDict(dict[str, Any]):
    """Notes which entries are read, however deep; whoever goes through all of them reads the whole group.

    Asking whether a name exists is no reading: a stage may check its command line.
    """

    def __init__(self, mapping: Any, key: str = "", reads: set[str] | None = None) -> None:
        """`asdict` makes another of the same class, from values that it has read already."""
        super().__init__(mapping)
        self._key, self._reads = key, set() if reads is None else reads

    def __getitem__(self, name: str) -> Any:
        return recording(super().__getitem__(name), f"{self._key}.{name}", self._reads)

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        self._reads.add(self._key)
        return super().__iter__()

    def __len__(self) -> int:
        self._reads.add(self._key)
        return super().__len__()

    def keys(self) -> Any:
        self._reads.add(self._key)
        return super().keys()

    def values(self) -> Any:
        self._reads.add(self._key)
        return super().values()

    def items(self) -> Any:
        self._reads.add(self._key)
        return super().items()


def recording(value: Any, key: str, reads: set[str]) -> Any:
    """The same setting or group of settings, noting the dotted names of what is read out of it.

    A copy of a group that carries a subclass of its class, so that whoever is handed a group whole, however
    deep, is still heard; `asdict` and `replace` read every field.
    """
    if isinstance(value, dict):
        return _RecordingDict(value, key, reads)
    if not dataclasses.is_dataclass(value):
        reads.add(key)
        return value
    kind = type(value)
    names = {entry.name for entry in dataclasses.fields(kind)}
    # The method's settings stand at top level in the file.
    prefix = "" if key in {"", "method"} else f"{key}."

    def read(self: Any, name: str) -> Any:
        found = object.__getattribute__(self, name)
        return recording(found, prefix + name, reads) if name in names else found

    listener = type(kind.__name__, (kind,), {"__getattribute__": read})
    heard = object.__new__(listener)
    vars(heard).update(vars(value))
    return heard


def _noted(name: str, part: Any, paths: set[str]) -> Any:
    """A property or a method of a place, noting the path that it gives."""
    get = part.fget if isinstance(part, property) else part

    def note(self: Any, *arguments: str) -> Any:
        found = get(self, *arguments)
        if isinstance(found, Path):
            paths.add(found.as_posix())
        return found

    return property(note) if isinstance(part, property) else note


def _listener(kind: type, paths: set[str], *, without: set[str]) -> dict[str, Any]:
    parts = {name: part for name, part in vars(kind).items() if not name.startswith("_")}
    return {
        name: _noted(name, part, paths)
        for name, part in parts.items()
        if name not in without and (callable(part) or isinstance(part, property))
    }


def recording_layout(layout: Layout, paths: set[str]) -> Layout:
    """The same layout, noting every path that it or one of its cells is asked for.

    The folder of all results is what other paths are made of, and no result itself.
    """
    heard_cell = type("Cell", (Cell,), _listener(Cell, paths, without=set()))
    listener = _listener(Layout, paths, without={"results", "cell"})
    listener["cell"] = lambda self, *names: heard_cell(*dataclasses.astuple(layout.cell(*names)))
    return type("Layout", (Layout,), listener)(*(getattr(layout, part.name) for part in fields(layout)))


def files_below(folder: Path, tops: tuple[str, ...] = ("results", "metrics", "report")) -> set[str]:
    """Every result file, by its path below a project's folder."""
    found = [path for top in tops for path in (folder / top).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix() for path in found}


def record(call: tuple[str, ...], folder: Path, patch: pytest.MonkeyPatch) -> Seen:
    """Run a stage in this process and note what it touches in the project's folder, which is current."""
    seen, before = Seen(), files_below(folder)
    stage = importlib.import_module(f"stages.{call[0]}")
    with patch.context() as inner:
        if hasattr(stage, "read_params"):
            read_params, read_layout = stage.read_params, stage.read_layout
            inner.setattr(stage, "read_params", lambda: recording(read_params(), "", seen.settings))

            def heard_layout(params: object) -> Layout:
                # Paths depend on the suite alone; what else a layout is told is for messages.
                seen.settings.add("suite")
                return recording_layout(read_layout(read_params()), seen.paths)

            inner.setattr(stage, "read_layout", heard_layout)
        stage.main(*call[1:])
    seen.made = files_below(folder) - before
    return seen
