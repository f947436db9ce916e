"""A closer look at an image of the gallery: its time-lapse, and what full-data probes see in it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from reporting.gallery_of import constants, gallery
from reporting.whole_report import CAPTIONS, CLASSES, NETS

from lgm_core.foundation.animations import read_strip
from lgm_core.foundation.errors import FileError, MissingFileError, StaleFileError
from lgm_core.foundation.store import read_json, write_json
from lgm_core.reporting.page import write_report
from lgm_core.reporting.results import Results
from lgm_core.settings.params import Params


def test_every_image_says_what_each_backbone_sees_in_it(report: Path) -> None:
    classes = constants(report)["CLASSES"]
    assert classes == {"pets": list(CLASSES), "biased": list(CLASSES)}
    for entry in gallery(report):
        assert set(entry["seen"]) == set(NETS)
        for found in entry["seen"].values():
            number, percent = found["whole"][0]
            assert (classes[entry["dataset"]][number], percent) == (entry["class"], 75.0)
            assert (found["crops"], found["own_share"]) == ([[0, 60.0], [1, 40.0]], 62.5)


def test_images_of_the_method_itself_have_a_time_lapse(report: Path) -> None:
    for entry in gallery(report):
        if entry["variant"] != "method":
            assert entry["time_lapse"] is None
            continue
        assert entry["time_lapse"]["steps"] == [0, 10, 300]
        frames = read_strip(report / unquote(entry["time_lapse"]["strip"]))
        assert frames[:, 0, 0, 0].tolist() == [80 * n + CLASSES.index(entry["class"]) for n in range(3)]


def test_images_of_the_method_itself_have_the_next_nearest_real_images(report: Path) -> None:
    for entry in gallery(report):
        names = [near["name"] for near in entry["further"]]
        assert names == (["train/9"] if entry["variant"] == "method" else [])
        assert all((report / unquote(near["picture"])).is_file() for near in entry["further"])


def test_without_snapshots_there_is_no_time_lapse(own_whole: Results, settings: Params) -> None:
    layout = own_whole.layout
    for path in layout.results.rglob("time_lapse.json"):
        path.unlink()
    write_report(own_whole, settings, CAPTIONS, layout.report)
    entries = gallery(layout.report)
    assert [entry for entry in entries if entry["time_lapse"] is not None] == []
    assert not list(layout.report.rglob("*.webp"))


@pytest.mark.parametrize("kind", ["seen", "strip", "few"])
def test_what_is_missing_is_named(own_whole: Results, settings: Params, kind: str) -> None:
    cell = own_whole.layout.cell("pets", "a")
    error: type[FileError] = MissingFileError
    path = cell.seen
    if kind == "strip":
        path = next(cell.distilled.rglob("*.webp"))
    if kind == "few":
        found = read_json(path)
        targets = {name: images[:1] for name, images in found["targets"].items()}
        write_json(path, {**found, "targets": targets})
        error = StaleFileError
    else:
        path.unlink()
    with pytest.raises(error, match=re.escape(str(path))):
        write_report(own_whole, settings, CAPTIONS, own_whole.layout.report)
