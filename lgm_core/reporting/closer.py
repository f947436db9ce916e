"""What the gallery knows of an image beside its pictures: its time-lapse, and what probes see in it.

Every image has these two:

time_lapse  null, or {"strip": address, "steps": [0, …]}: a picture of as many square frames side by side,
            each of the image after so many steps; of the method itself, not of its variants
seen        backbone → {"whole": [[class, percent], …], "crops": [[class, percent], …], "own_share": percent}:
            the five most probable classes in the centre view and in the mean over random crops, and the share
            of crops in which the image's own class comes first; classes are positions in CLASSES[data set]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lgm_core.distilled import snapshot_numbers, strip_name
from lgm_core.foundation.errors import DamagedFileError, StaleFileError
from lgm_core.foundation.layout import Cell
from lgm_core.reporting.reading import below, number, number_sets
from lgm_core.reporting.results import Results


def time_lapse(cell: Cell, picture: str, copy: Callable[[Path], str]) -> dict[str, Any] | None:
    """Copy an image's snapshots into the report; their address and steps, None where there are none.

    Args:
        cell: that distilled it.
        picture: its name in the set.
        copy: copies a file into the report as it is, and gives its address.
    """
    steps = snapshot_numbers(cell.distilled)
    if cell.variant or not steps:
        return None
    return {"strip": copy(cell.distilled / strip_name(picture)), "steps": list(steps)}


def seen_in(results: Results, cell: Cell, count: int) -> list[dict[str, Any]]:
    """For each of the `count` images of a cell: backbone → what its probe sees in it.

    Raises:
        FileError: if the cell's file is missing, or of another number of images.
    """
    path = cell.seen
    targets = below(path, results.read(path, cell), "targets")
    if not isinstance(targets, dict) or not targets:
        raise DamagedFileError(path, "is damaged: it names no backbone")
    for images in targets.values():
        if not isinstance(images, list) or len(images) != count:
            raise StaleFileError(path, f"does not say what is seen in {count} images")
        for image in images:
            number(path, below(path, image, "own_share"))
            for part in ("whole", "crops"):
                number_sets(path, below(path, image, part))
    return [{name: images[place] for name, images in targets.items()} for place in range(count)]
