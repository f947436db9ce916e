"""Result files belong to a cell: each says of which, and is refused in the place of another.

The pipeline's own records find results that were moved; stages that run without it, and people, do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lgm_core.foundation.errors import StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import read_json


def read_of(path: Path, cell: Cell) -> dict[str, Any]:
    """Read the JSON of a cell.

    Raises:
        FileError: if it is missing or damaged, or says that it is of another cell.
    """
    content = read_json(path)
    check_of(path, content, cell)
    return content


def check_of(path: Path, said: Mapping[str, Any], cell: Cell) -> None:
    """Compare what a file says it is of with the cell whose place it has.

    Raises:
        StaleFileError: if they differ.
    """
    expected = {
        "dataset": cell.dataset,
        "source": cell.source,
        "backbone": cell.source,
        "variant": cell.variant,
        "replicate": cell.replicate,
    }
    for key, value in expected.items():
        if key in said and said[key] != value:
            raise StaleFileError(path, f"is of {key} {said[key]!r}, and is read as that of {value!r}")
