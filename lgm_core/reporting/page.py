"""The report: one static page with results, tables, figures, the distilled images, and what made each number.

index.html                 the page; works from a file and from any web server, without requests to others
style.css, script.js       how it looks, and the gallery's filters
method.svg                 Figure 2, the method as a diagram
gallery.js, gallery/       what the gallery shows, a file for every distillation
closer.js                  a closer look at one of its images: time-lapse, classes that probes see
cells/…                    the cells' JSON, each with its run's time and memory
pictures/…                 distilled images and their neighbours, large ones reduced
sets/…                     distilled sets to download
tables/…, figures/…        as files
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lgm_core.foundation.errors import MissingFileError
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import replacing_folder, write_json, write_text
from lgm_core.reporting.downloads import Export, write_downloads
from lgm_core.reporting.figures import FIGURES, figure_caption, shown_datasets
from lgm_core.reporting.findings import findings
from lgm_core.reporting.gallery import Pictures, loss_chart, write_gallery
from lgm_core.reporting.opening import headlines, opening_strip
from lgm_core.reporting.results import Results
from lgm_core.reporting.runs import Run, all_runs
from lgm_core.reporting.spent import spent
from lgm_core.reporting.suites import suites_side_by_side
from lgm_core.reporting.table_formats import (
    best_rows,
    heading_of,
    printed,
    reported_lines,
    row_title,
    title_of,
)
from lgm_core.reporting.tables import TABLES, Table, assemble, table_of
from lgm_core.settings.params import Params

_TEMPLATES = Path(__file__).parent / "templates"
_PAGES = ("index.html", "style.css", "script.js", "gallery.js", "closer.js")
_DIAGRAM = _TEMPLATES / "method.svg"
_SECTIONS = {
    "results": "Results",
    "method": "Method",
    "tables": "Tables",
    "figures": "Figures",
    "gallery": "Gallery",
    "cost": "Cost",
    "limits": "Limitations",
    "downloads": "Downloads",
    "cite": "Cite",
    "runs": "Runs",
    "settings": "Settings",
}
_FILTERS = {"dataset": "Data set", "source": "Model", "variant": "Variant", "class": "Class"}


class _Report:
    """One report in the making.

    Args:
        results: where everything is read from.
        params: what is shown.
        captions: what a data set is, by its name.
        folder: where it is written to.
    """

    def __init__(self, results: Results, params: Params, captions: Mapping[str, str], folder: Path) -> None:
        self.results = results
        self.layout = results.layout
        self.params = params
        self.captions = captions
        self.folder = folder
        self.pictures = Pictures(self.layout.results, folder)

    def _cell(self, run: Run) -> Cell:
        return self.layout.cell(run.dataset, run.backbone, run.variant)

    def _measured(self, run: Run) -> dict[str, Any]:
        return self.results.measured(run.verb, run.dataset, run.backbone, run.variant)

    def _source(self, run: Run) -> Path | None:
        """The cell's own JSON; features have none."""
        cell = self._cell(run)
        return {
            "features": None,
            "baselines": cell.baselines,
            "distill": cell.distilled / "settings.json",
            "probe": cell.probe,
            "align": cell.alignment,
            "judge": cell.judged,
        }[run.verb]

    def link(self, origin: Path) -> str:
        """Address of the copy of a cell's JSON."""
        return quote(f"cells/{origin.relative_to(self.layout.results).as_posix()}")

    def copy_cell(self, run: Run) -> str:
        """Copy the cell's JSON with its run's time and memory, a probe's with what it probed; the address."""
        source = self._source(run)
        if source is None:
            return ""
        content = {**self.results.read(source, self._cell(run)), "run": self._measured(run)}
        if run.verb == "probe":
            content["distilled"] = self.results.distilled(run.dataset, run.backbone, run.variant)
        write_json(self.folder / "cells" / source.relative_to(self.layout.results), content)
        return self.link(source)

    def runs(self) -> list[dict[str, Any]]:
        """Time, memory and loss history of every cell."""
        return [
            {
                **asdict(run),
                **self._measured(run),
                "link": self.copy_cell(run),
                "losses": loss_chart(self.results, run) if run.verb == "distill" else None,
            }
            for run in all_runs(self.params)
        ]

    def strip(self) -> dict[str, Any]:
        """The opening's pictures, copied: data set, class names, and rows of addresses."""
        strip = opening_strip(self.results, self.params)
        rows = [
            {"title": row.title, "pictures": [path and self.pictures.copy(path) for path in row.pictures]}
            for row in strip.rows
        ]
        return {"dataset": strip.dataset, "classes": strip.classes, "rows": rows}

    def tables(self) -> list[Table]:
        """Every table that shows something, its files copied."""
        names = [
            name for name in (*TABLES, *self.params.own_tables) if table_of(name, self.params)[1].datasets
        ]
        for name in names:
            for suffix in (".csv", ".md", ".tex"):
                _copy(self.layout.table(name, suffix), self.folder / "tables")
        return [assemble(name, self.results, self.params, self.captions) for name in names]

    def figures(self) -> list[dict[str, Any]]:
        """Name, title, caption and files of every figure that shows something, its files copied."""
        shown = {name: row for name, row in FIGURES.items() if shown_datasets(name, self.params)}
        figures = []
        for name, row in shown.items():
            suffixes = [suffix for suffix in row.suffixes if suffix != ".csv"]
            for suffix in suffixes:
                _copy(self.layout.figure(name, suffix), self.folder / "figures")
            # Panels carry their caption themselves.
            caption = figure_caption(name, self.params, self.captions) if row.plot else ""
            files = [f"figures/{name}{suffix}" for suffix in suffixes]
            figures.append({"name": name, "title": row.title, "caption": caption, "files": files})
        return figures

    def context(self) -> dict[str, Any]:
        """Everything the templates show."""
        runs = self.runs()
        totals: dict[str, float] = {}
        for run in runs:
            totals[run["verb"]] = totals.get(run["verb"], 0.0) + run["seconds"]
        tables = self.tables()
        return {
            "sections": _SECTIONS,
            "suite": self.params.suite,
            "ipc": self.params.method.ipc,
            "input_size": self.params.method.input_size,
            "first_source": next(iter(self.params.backbones)),
            "captions": {name: line for name, line in self.captions.items() if line},
            "strip": self.strip(),
            "headlines": headlines(self.results, self.params),
            "findings": findings(self.results, self.params, tables),
            "distillations": self.params.distillations,
            "tables": tables,
            "figures": self.figures(),
            "gallery": write_gallery(self.results, self.params, self.pictures),
            "filters": _FILTERS,
            "runs": runs,
            "totals": totals,
            "spent": spent(self.results, self.params),
            "suites": suites_side_by_side(self.layout.all_metrics),
            "settings": flat_settings(asdict(self.params)),
            "link": self.link,
        }


def _together(text: str) -> str:
    """No line begins with the unit of the number before it."""
    return text.replace(" %", "\u00a0%")


def _copy(source: Path, folder: Path) -> None:
    if not source.is_file():
        raise MissingFileError(source)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / source.name)


def flat_settings(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted name → value; the method's settings stand at top level, as in the params file."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        name = prefix if not prefix and key == "method" else f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{name}." if name else "")
        elif value is not None:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def write_report(
    results: Results,
    params: Params,
    captions: Mapping[str, str],
    folder: Path,
    terms: Mapping[str, str] | None = None,
    export: Export | None = None,
) -> None:
    """Write the report, whole or not at all.

    Args:
        results: where the cells are read.
        params: what is shown; every cell it names has to be there.
        captions: what a data set is, by its name.
        folder: replaced if it exists.
        terms: the licence of each data set's images and of each backbone's weights.
        export: writes a distilled set into a folder, for download; without it none is offered.

    Raises:
        FileError: if a cell, table or figure is missing.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    shown = (best_rows, heading_of, printed, reported_lines, row_title, title_of)
    environment.globals |= {function.__name__: function for function in shown}
    environment.filters["together"] = _together
    with replacing_folder(folder) as new:
        context = _Report(results, params, captions, new).context() | {"terms": terms or {}}
        context["downloads"] = [] if export is None else write_downloads(results, params, new, export)
        for page in _PAGES:
            write_text(new / page, environment.get_template(page).render(context))
        _copy(_DIAGRAM, new)
