"""The last checkpoint of a run that is over, kept until its result is known to be safe.

What a stage wrote may still be lost: DVC removes it before the next run where it could not enter it into
dvc.lock, because it was killed or its lock was held by another command. The run then takes a moment only.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import checksum, read_json, write_json

_RESULT = "result.json"


def note_result(run: Path, images: Tensor) -> None:
    """Write beside a run's last checkpoint what it ended with.

    Args:
        run: folder of its checkpoints.
        images: the result.
    """
    write_json(run / _RESULT, {"images": checksum({"images": images}, {})})


def is_over(run: Path) -> bool:
    """Whether a run ended."""
    return (run / _RESULT).exists()


def forget(cell: Path, images: Tensor) -> None:
    """Remove the checkpoints of the runs of a cell that ended with these images.

    Args:
        cell: folder of all runs of a cell.
        images: a result that is safe.
    """
    paths = list(cell.glob(f"*/{_RESULT}"))
    result = checksum({"images": images}, {}) if paths else ""
    for path in paths:
        # Another process may be at it, in another copy of the project.
        with suppress(InputError):
            if read_json(path).get("images") == result:
                shutil.rmtree(path.parent, ignore_errors=True)
