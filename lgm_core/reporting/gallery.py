"""The gallery: every distilled image with its nearest real one, in files that are loaded when needed.

gallery.js       CELLS: what each distillation is, with its losses and the accuracy of every class;
                 CLASSES: data set → class names; MEANS: data set → class → mean of real images
gallery/<n>.js   the images of the n-th distillation
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lgm_core.foundation.errors import MissingFileError
from lgm_core.foundation.store import write_text
from lgm_core.reporting.blocks import METHOD
from lgm_core.reporting.closer import seen_in, time_lapse
from lgm_core.reporting.reading import read_picture
from lgm_core.reporting.results import Results
from lgm_core.reporting.runs import Run, distilled_runs
from lgm_core.settings.params import Params

_KEPT_SIDE = 48
"""Pixels of the largest picture that is copied as it is: distilled images are noisy, and large as PNG."""
_LARGEST_SIDE = 160
_CHART = (120, 36)
_BY_CLASS = ("images", "further", "time_lapse", "samples")
"""Folders of pictures that have a folder for every class."""
_LONGEST_NAME = 255
"""Bytes of a file's name, on all common file systems."""


class Pictures:
    """Pictures that are copied into a report, larger ones as JPEG, reduced where they are large.

    Args:
        results: folder of all results.
        report: folder of the report.
    """

    def __init__(self, results: Path, report: Path) -> None:
        self.results = results
        self.report = report

    def copy(self, source: Path) -> str:
        """Copy a picture; its address.

        Raises:
            FileError: if it is missing or damaged.
        """
        from PIL import Image

        picture = read_picture(source)
        if max(picture.size) <= _KEPT_SIDE:
            return self.copy_whole(source)
        target = self._target(source).with_suffix(".jpg")
        picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
        picture.save(target, format="JPEG", quality=80)
        return self._address(target)

    def copy_whole(self, source: Path) -> str:
        """Copy a file as it is; its address.

        Raises:
            FileError: if it is missing.
        """
        if not source.is_file():
            raise MissingFileError(source)
        target = self._target(source)
        shutil.copyfile(source, target)
        return self._address(target)

    def _target(self, source: Path) -> Path:
        """Pictures of all classes lie beside each other: a folder for each would take more than they do."""
        place = source.relative_to(self.results)
        above = next((folder for folder in reversed(place.parents) if folder.name in _BY_CLASS), place.parent)
        name = ".".join(place.relative_to(above).parts)
        whole = above / name if len(name.encode()) <= _LONGEST_NAME else place
        target = self.report / "pictures" / whole
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _address(self, target: Path) -> str:
        return quote(target.relative_to(self.report).as_posix())


def loss_chart(results: Results, run: Run) -> dict[str, Any]:
    """First and last loss of a distillation, its number of steps, and a line through all of them."""
    losses = results.history(run.dataset, run.backbone, run.variant)
    return {"first": losses[0], "last": losses[-1], "steps": len(losses), "points": chart_points(losses)}


def chart_points(values: list[float]) -> str:
    """Corners of a line through `values` that fills a chart, as SVG's `points`; at most one per pixel."""
    width, height = _CHART
    step = max(1, len(values) // width)
    kept = values[::step]
    low = min(kept)
    high = max(kept)
    spread = (high - low) or 1.0
    across = width / max(1, len(kept) - 1)
    return " ".join(
        f"{number * across:.1f},{height - 1 - (value - low) / spread * (height - 2):.1f}"
        for number, value in enumerate(kept)
    )


def write_gallery(results: Results, params: Params, pictures: Pictures) -> dict[str, Any]:
    """Write the images of every distillation, a file each; what the page's own script has to know of them."""
    from jinja2.utils import htmlsafe_json_dumps

    runs = list(distilled_runs(params))
    cells = []
    for number, run in enumerate(runs):
        entries = _entries(results, run, pictures)
        file = f"gallery/{number}.js"
        write_text(pictures.report / file, f"addEntries({number}, {htmlsafe_json_dumps(entries)});\n")
        count = len(results.distilled(run.dataset, run.backbone, run.variant)["classes"])
        cells.append(
            {
                "file": file,
                "dataset": run.dataset,
                "source": run.backbone,
                "variant": run.variant.partition("/")[2] or METHOD,
                "count": len(entries),
                "per_class": len(entries) // count,
                "losses": loss_chart(results, run),
                "accuracies": results.by_class(run.dataset, run.backbone, run.variant),
            }
        )
    own = {run.dataset: run.backbone for run in reversed(runs) if not run.variant}
    classes = {dataset: results.distilled(dataset, source)["classes"] for dataset, source in own.items()}
    return {
        "cells": cells,
        "classes": {dataset: [*map(results.class_title, names)] for dataset, names in classes.items()},
        "means": {
            dataset: _means(results, next(iter(params.members(own[dataset]))), dataset, names, pictures)
            for dataset, names in classes.items()
        },
    }


def _entries(results: Results, run: Run, pictures: Pictures) -> list[dict[str, Any]]:
    cell = results.layout.cell(run.dataset, run.backbone, run.variant)
    near = results.neighbors(run.dataset, run.backbone, run.variant)
    seen = seen_in(results, cell, len(near))
    return [
        {
            "picture": pictures.copy(cell.distilled / entry["picture"]),
            "neighbor": pictures.copy(cell.neighbors / entry["picture"]),
            "name": entry["name"],
            "similarity": entry["similarity"],
            "further": [
                one | {"picture": pictures.copy(cell.neighbors / one["picture"])} for one in entry["further"]
            ],
            "time_lapse": time_lapse(cell, entry["picture"], pictures.copy_whole),
            "seen": seen[number],
        }
        for number, entry in enumerate(near)
    ]


def _means(
    results: Results, backbone: str, dataset: str, classes: list[str], pictures: Pictures
) -> dict[int, str]:
    """Number of a class → address of the mean of its real images, for the classes that figures show."""
    found = results.class_means(dataset, backbone)
    return {number: pictures.copy(found[name]) for number, name in enumerate(classes) if name in found}
