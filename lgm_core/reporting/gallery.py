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

from lgm_core.foundation.store import write_text
from lgm_core.reporting.blocks import METHOD
from lgm_core.reporting.closer import class_lists, seen_in, time_lapse
from lgm_core.reporting.reading import read_picture
from lgm_core.reporting.results import Results
from lgm_core.reporting.runs import Run, distilled_runs
from lgm_core.settings.params import Params

_KEPT_SIDE = 48
"""Pixels of the largest picture that is copied as it is: distilled images are noisy, and large as PNG."""
_LARGEST_SIDE = 160
_CHART = (120, 36)


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
        target = self.report / "pictures" / source.relative_to(self.results)
        target.parent.mkdir(parents=True, exist_ok=True)
        if max(picture.size) > _KEPT_SIDE:
            target = target.with_suffix(".jpg")
            picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
            picture.save(target, format="JPEG", quality=88)
        else:
            shutil.copyfile(source, target)
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
        classes = results.distilled(run.dataset, run.backbone, run.variant)["classes"]
        cells.append(
            {
                "file": file,
                "dataset": run.dataset,
                "source": run.backbone,
                "variant": run.variant.partition("/")[2] or METHOD,
                "count": len(entries),
                "per_class": len(entries) // len(classes),
                "losses": loss_chart(results, run),
                "accuracies": results.by_class(run.dataset, run.backbone, run.variant),
            }
        )
    own = {
        run.dataset: results.layout.cell(run.dataset, run.backbone, run.variant)
        for run in reversed(runs)
        if not run.variant
    }
    return {
        "cells": cells,
        "classes": class_lists(results, own),
        "means": {dataset: _means(results, params, dataset, pictures) for dataset in own},
    }


def _entries(results: Results, run: Run, pictures: Pictures) -> list[dict[str, Any]]:
    cell = results.layout.cell(run.dataset, run.backbone, run.variant)
    near = results.neighbors(run.dataset, run.backbone, run.variant)
    seen = seen_in(cell, len(near))
    return [
        {
            "picture": pictures.copy(cell.distilled / entry["picture"]),
            "neighbor": pictures.copy(cell.neighbors / entry["picture"]),
            "name": entry["name"],
            "similarity": entry["similarity"],
            "time_lapse": time_lapse(cell, entry["picture"], pictures.results, pictures.report),
            "seen": seen[number],
        }
        for number, entry in enumerate(near)
    ]


def _means(results: Results, params: Params, dataset: str, pictures: Pictures) -> dict[int, str]:
    """Number of a class → address of the mean of its real images, for the classes that figures show."""
    source = next(run.backbone for run in distilled_runs(params) if run.dataset == dataset)
    member = next(iter(params.members(source)))
    classes = results.distilled(dataset, source)["classes"]
    found = results.class_means(dataset, member)
    return {number: pictures.copy(found[name]) for number, name in enumerate(classes) if name in found}
