"""The active suite: `params.yaml`, read and checked, and the paths of its results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Cell, Layout
from lgm_core.settings.params import Params, parse_params

PARAMS_FILE = Path("params.yaml")
PRIVATE = Path(".lgm")
"""Checkpoints and locks; neither results nor inputs, so unknown to git and DVC."""


def read_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the params file."""
    return parse_params(read_settings(path))


def read_settings(path: Path = PARAMS_FILE) -> Any:
    """What the params file says, unchecked, as YAML 1.2 like DVC itself.

    Raises:
        InputError: if it is no YAML.
    """
    from ruamel.yaml import YAML

    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; run stages from the project's folder, or `make suite`."
        ) from None
    except Exception as error:  # the parser has many: bad dates, numbers of a thousand digits, deep nesting
        raise InputError(f"{path} is not valid YAML: {type(error).__name__}: {error}") from None


def read_layout(params: Params) -> Layout:
    """Paths of the active suite's results, below the current folder."""
    names = (params.figure_backbones, params.own_tables, params.ensembles)
    return Layout(Path(), params.suite, *map(frozenset, names))


def check_cell(params: Params, dataset: str, source: str | None = None) -> None:
    """Refuse a data set, backbone or ensemble that the params file does not name."""
    if dataset not in params.datasets:
        known = ", ".join(params.datasets)
        raise InputError(f"{dataset!r} is not among datasets in {PARAMS_FILE}; there are: {known}.")
    if source is not None:
        params.members(source)


def checkpoint_folder(cell: Cell) -> Path:
    """Where the checkpoints of a cell lie: in the project itself, also where DVC runs a copy of it.

    DVC sets DVC_ROOT to the project's folder.
    """
    number = str(cell.replicate) if cell.replicate else ""
    name = "-".join(filter(None, (cell.dataset, cell.source, cell.variant, number))).replace("/", "-")
    return Path(os.environ.get("DVC_ROOT") or ".") / PRIVATE / "checkpoints" / cell.folder.parent.name / name
