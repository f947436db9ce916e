"""Distilled sets that the report offers for download, as zip files with a card each."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lgm_core.reporting.findings import universal_of
from lgm_core.reporting.opening import main_dataset
from lgm_core.reporting.results import Results, average
from lgm_core.settings.params import Params

Export = Callable[[str, str, Path], object]
"""Writes what a source distilled from a data set into a new folder."""

_LARGEST = 2**24
"""Bytes of floats beyond which a set is not offered: the report stays small."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Download:
    """A file that the report holds.

    Attributes:
        title: what is in it.
        file: its address.
        kib: its size in KiB.
    """

    title: str
    file: str
    kib: int


def write_downloads(results: Results, params: Params, report: Path, export: Export) -> list[Download]:
    """Write the sets of the main data set by the best single backbone and by all together.

    Args:
        results: where accuracies are read.
        params: what is shown.
        report: folder of the report.
        export: writes a set.

    Returns:
        What was written; nothing where a set is too large.
    """
    dataset, names = main_dataset(params), tuple(params.backbones)
    best = max(
        names,
        key=lambda name: average([results.transfer(dataset, name, target) for target in names]).mean,
    )
    offered = {best: f"distilled by {best}"}
    universal = universal_of(params, dataset)
    if universal is not None:
        offered[universal] = "distilled by all models together"
    count = len(results.distilled(dataset, best)["pictures"])
    if count * 3 * params.method.resolution**2 * 2 > _LARGEST:
        return []
    return [
        _zipped(report, (dataset, source), f"{dataset}, {title}", export) for source, title in offered.items()
    ]


def _zipped(report: Path, cell: tuple[str, str], title: str, export: Export) -> Download:
    """One set as a zip file that is the same whenever it is made."""
    name = "-".join(cell)
    target = report / "sets" / f"{name}.zip"
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(target, "w") as archive:
        folder = Path(scratch) / name
        export(*cell, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(folder).as_posix()}", _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return Download(title, f"sets/{name}.zip", round(target.stat().st_size / 1024))
