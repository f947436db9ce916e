"""Result files belong to a cell and were made from others: each says of which and from which.

A file in the place of another cell's is refused, and so is one beside files that were made from other
features or other distilled images. The pipeline's own records find such results; stages that run without it,
and people who copy files, do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lgm_core.foundation.errors import StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import fingerprint, read_json, stored_checksum

INPUTS = "inputs"


def named(cell: Cell) -> dict[str, Any]:
    """What a file of a cell says it is of."""
    return {"dataset": cell.dataset, "source": cell.source, "variant": cell.variant}


def read_of(path: Path, cell: Cell) -> dict[str, Any]:
    """Read the JSON of a cell.

    Raises:
        FileError: if it is missing or damaged, or does not say that it is of this cell.
    """
    content = read_json(path)
    check_of(path, content, cell)
    return content


def check_of(path: Path, said: Mapping[str, Any], cell: Cell) -> None:
    """Compare what a file says it is of with the cell whose place it has.

    Raises:
        StaleFileError: if they differ, or it does not say it.
    """
    expected = {**named(cell), "replicate": cell.replicate}
    for key, value in expected.items():
        if said.get(key, 0 if key == "replicate" else None) != value:
            told = f"is of {key} {said[key]!r}" if key in said else f"does not say of which {key} it is"
            raise StaleFileError(path, f"{told}, and is read as that of {value!r}")


def address(cell: Cell, path: Path) -> str:
    """What a result is called where another one says that it was made from it: its path within the suite."""
    return path.relative_to(cell.folder.parent).as_posix()


def content_of(files: Iterable[Path]) -> str:
    """A fingerprint of tensor files, by the checksums that they carry.

    Raises:
        FileError: if one is missing or damaged.
    """
    return fingerprint({file.name: stored_checksum(file) for file in files})


def check_made_from(path: Path, said: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Compare what a file says it was made from with what is there now.

    Args:
        path: the file.
        said: what it says.
        inputs: address → fingerprint of what is there.

    Raises:
        StaleFileError: if it was made from something else, or does not say from what.
    """
    made = said.get(INPUTS)
    for name, value in inputs.items():
        if not isinstance(made, Mapping) or made.get(name) != value:
            raise StaleFileError(path, f"was not made from {name} as it is now")
