"""The report: one static page with every table and figure, the distilled images, and what made each number.

index.html                 the page; works from a file and from any web server, without requests to others
style.css, script.js       how it looks, and the gallery's filters
gallery.js                 what the gallery shows
cells/…                    the cells' JSON, each with its run's time and memory
pictures/…                 distilled images and their neighbours, large ones reduced
tables/…, figures/…        as files
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lgm_core.captions import about
from lgm_core.cells import Cells
from lgm_core.errors import InputError
from lgm_core.figures import FIGURES, PLOT_FIGURES, figure_caption
from lgm_core.layout import BASE, making
from lgm_core.rendering import best_rows, format_value, heading_of, reported_lines, title_of
from lgm_core.specs import Params
from lgm_core.store import read_json, replacing_folder, write_json, write_text
from lgm_core.tables import METHOD, TABLES, assemble

_TEMPLATES = Path(__file__).parent / "templates"
_PAGES = ("index.html", "style.css", "script.js", "gallery.js")
_FILTERS = {"dataset": "Data set", "source": "Model", "variant": "Variant", "class": "Class"}
_FIGURE_TITLES = {
    "figure1": "Figure 1. Distilled images of every model",
    "figure3": "Figure 3. Accuracy against rounds of augmentation",
    "figure4": "Figure 4. Training features, class means and distilled images",
    "figure5": "Figure 5. The same classes under every ablation",
    "figure6": "Figure 6. A data set with a spurious background",
    "figure7": "Figure 7. Fine-grained data sets",
    "figure8": "Figure 8. Distilled images above their nearest real neighbours",
    "alignment": "Transfer against alignment, every pair of models",
    "losses": "Loss of the distillations",
}
_LARGEST_SIDE = 160
_CHART = (120, 36)


@dataclass(frozen=True)
class CellName:
    """One cell: the verb of its stage, data set, backbone and variant."""

    verb: str
    dataset: str
    backbone: str = ""
    variant: str = BASE


def distilled_cells(params: Params) -> Iterator[CellName]:
    """Every distillation of the settings: data sets × backbones, and the variants."""
    for dataset in params.datasets:
        for backbone in params.backbones:
            yield CellName("distill", dataset, backbone)
    for name in params.variants.ablation:
        for backbone in params.backbones:
            yield CellName("distill", params.tables.table3.dataset, backbone, f"ablation/{name}")
    shown = params.figures.figure3
    for name in params.variants.rounds:
        yield CellName("distill", shown.dataset, shown.source, f"rounds/{name}")


def all_cells(params: Params) -> Iterator[CellName]:
    """Every cell of the settings, stage by stage."""
    pairs = [(dataset, backbone) for dataset in params.datasets for backbone in params.backbones]
    for verb in ("features", "baselines"):
        for dataset, backbone in pairs:
            yield CellName(verb, dataset, backbone)
    for backbone in params.figure_backbones:
        for verb in ("features", "distill"):
            yield CellName(verb, params.figures.figure8.dataset, backbone)
    yield from distilled_cells(params)
    for cell in distilled_cells(params):
        yield CellName("probe", cell.dataset, cell.backbone, cell.variant)
    for dataset in params.datasets:
        yield CellName("align", dataset)


class _Report:
    """One report in the making.

    Args:
        cells: where everything is read from.
        params: what is shown.
        folder: where it is written to.
    """

    def __init__(self, cells: Cells, params: Params, folder: Path) -> None:
        self.cells, self.layout, self.params, self.folder = cells, cells.layout, params, folder

    def _run(self, cell: CellName) -> dict[str, Any]:
        path = self.layout.run(cell.verb, cell.dataset, cell.backbone, cell.variant)
        made_by = making(cell.verb, cell.dataset, cell.backbone, cell.variant)
        return read_json(path, made_by=made_by)

    def _source(self, cell: CellName) -> Path | None:
        """The cell's own JSON; features have none."""
        name = (cell.dataset, cell.backbone)
        return {
            "features": None,
            "baselines": self.layout.baselines(*name),
            "distill": self.layout.distilled(*name, cell.variant) / "settings.json",
            "probe": self.layout.probe(*name, cell.variant),
            "align": self.layout.alignment(cell.dataset),
        }[cell.verb]

    def link(self, origin: Path) -> str:
        """Address of the copy of a cell's JSON."""
        return quote(f"cells/{origin.relative_to(self.layout.results).as_posix()}")

    def copy_cell(self, cell: CellName) -> str:
        """Copy the cell's JSON with its run's time and memory, a probe's with what it probed; the address."""
        source = self._source(cell)
        if source is None:
            return ""
        made_by = making(cell.verb, cell.dataset, cell.backbone, cell.variant)
        content = {**read_json(source, made_by=made_by), "run": self._run(cell)}
        if cell.verb == "probe":
            content["distilled"] = self.cells.distilled(cell.dataset, cell.backbone, cell.variant)
        write_json(self.folder / "cells" / source.relative_to(self.layout.results), content)
        return self.link(source)

    def runs(self) -> list[dict[str, Any]]:
        """Time, memory and loss history of every cell."""
        return [
            {
                **asdict(cell),
                **self._run(cell),
                "link": self.copy_cell(cell),
                "losses": self._losses(cell) if cell.verb == "distill" else None,
            }
            for cell in all_cells(self.params)
        ]

    def _losses(self, cell: CellName) -> dict[str, Any]:
        losses = self.cells.history(cell.dataset, cell.backbone, cell.variant)
        points = chart_points(losses)
        return {"first": losses[0], "last": losses[-1], "steps": len(losses), "points": points}

    def _picture(self, source: Path) -> str:
        """Copy a picture, reduced where it is large; its address."""
        from PIL import Image

        target = self.folder / "pictures" / source.relative_to(self.layout.results)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as opened:
            if max(opened.size) > _LARGEST_SIDE:
                target = target.with_suffix(".jpg")
                reduced = opened.convert("RGB")
                reduced.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.LANCZOS)
                reduced.save(target, format="JPEG", quality=88)
            else:
                shutil.copyfile(source, target)
        return quote(target.relative_to(self.folder).as_posix())

    def gallery(self) -> list[dict[str, Any]]:
        """Every distilled image with its class and its nearest real neighbour."""
        entries = []
        for cell in distilled_cells(self.params):
            name = (cell.dataset, cell.backbone, cell.variant)
            classes = self.cells.distilled(*name)["classes"]
            near = self.cells.neighbors(*name)
            distilled, neighbors = self.layout.distilled(*name), self.layout.neighbors(*name)
            per_class = len(near) // len(classes)
            entries += [
                {
                    "dataset": cell.dataset,
                    "source": cell.backbone,
                    "variant": cell.variant.partition("/")[2] or METHOD,
                    "class": classes[number // per_class],
                    "picture": self._picture(distilled / entry["picture"]),
                    "neighbor": self._picture(neighbors / entry["picture"]),
                    "name": entry["name"],
                    "similarity": entry["similarity"],
                }
                for number, entry in enumerate(near)
            ]
        return entries

    def copy_files(self) -> list[dict[str, Any]]:
        """Copy the files of tables and figures; name, title, caption and files of every figure."""
        for name in TABLES:
            for suffix in (".csv", ".md", ".tex"):
                _copy(self.layout.table(name, suffix), self.folder / "tables", f"dvc repro tables/{name}")
        figures = []
        for name in _FIGURE_TITLES:
            suffixes = (".png", ".svg") if name in PLOT_FIGURES else (".png",)
            for suffix in suffixes:
                made_by = f"dvc repro figures/{name}"
                _copy(self.layout.figure(name, suffix), self.folder / "figures", made_by)
            figures.append(
                {
                    "name": name,
                    "title": _FIGURE_TITLES[name],
                    # Panels carry their caption themselves.
                    "caption": figure_caption(name, self.params) if name in PLOT_FIGURES else "",
                    "files": [f"figures/{name}{suffix}" for suffix in suffixes],
                }
            )
        return figures

    def context(self) -> dict[str, Any]:
        """Everything the templates show."""
        runs = self.runs()
        totals: dict[str, float] = {}
        for run in runs:
            totals[run["verb"]] = totals.get(run["verb"], 0.0) + run["seconds"]
        captions = {name: about(row["source"]) for name, row in self.params.datasets.items()}
        return {
            "suite": self.params.suite,
            "captions": {name: line for name, line in captions.items() if line},
            "tables": [assemble(name, self.cells, self.params) for name in TABLES],
            "figures": self.copy_files(),
            "gallery": self.gallery(),
            "filters": _FILTERS,
            "runs": runs,
            "totals": totals,
            "settings": flat_settings(asdict(self.params)),
            "link": self.link,
        }


def _copy(source: Path, folder: Path, made_by: str) -> None:
    if not source.is_file():
        raise InputError(f"{source} is missing. Make it with: {made_by}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / source.name)


def chart_points(values: list[float]) -> str:
    """Corners of a line through `values` that fills a chart, as SVG's `points`; at most one per pixel."""
    width, height = _CHART
    step = max(1, len(values) // width)
    kept = values[::step]
    low, high = min(kept), max(kept)
    spread = (high - low) or 1.0
    across = width / max(1, len(kept) - 1)
    return " ".join(
        f"{number * across:.1f},{height - 1 - (value - low) / spread * (height - 2):.1f}"
        for number, value in enumerate(kept)
    )


def flat_settings(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted name → value; the method's settings stand at top level, as in the params file."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        name = prefix if not prefix and key == "method" else f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{name}." if name else "")
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def write_report(cells: Cells, params: Params, folder: Path) -> None:
    """Write the report, whole or not at all.

    Args:
        cells: the results.
        params: what is shown; every cell it names has to be there.
        folder: replaced if it exists.

    Raises:
        InputError: if a cell, table or figure is missing, naming the stage that makes it.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.globals |= {
        function.__name__: function
        for function in (best_rows, format_value, heading_of, reported_lines, title_of)
    }
    with replacing_folder(folder) as new:
        context = _Report(cells, params, new).context()
        for page in _PAGES:
            write_text(new / page, environment.get_template(page).render(context))
    assert set(_FIGURE_TITLES) == set(FIGURES)
