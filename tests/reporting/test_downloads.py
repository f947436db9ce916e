"""Sets to download: the best single one and the common one, as files that are the same every time."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

from reporting.whole_report import CAPTIONS

from lgm_core.foundation.store import read_json, write_json, write_text
from lgm_core.reporting.downloads import write_downloads
from lgm_core.reporting.page import write_report
from lgm_core.reporting.results import Results
from lgm_core.settings.params import Params


def export(dataset: str, source: str, folder: Path) -> None:
    write_text(folder / "README.md", f"{dataset} by {source}")
    write_text(folder / "train" / "0_cat" / "0.png", "a picture")


def test_the_best_single_set_and_the_common_one_are_offered(
    own_whole: Results, settings: Params, tmp_path: Path
) -> None:
    path = own_whole.layout.cell("pets", "b").probe
    better = read_json(path)
    better["targets"]["a"]["distilled"]["top1"] = [[60.0, 61.0, 62.0]]
    write_json(path, better)
    (tmp_path / "report").mkdir()
    found = write_downloads(own_whole, settings, tmp_path / "report", export)
    assert [one.file for one in found] == ["sets/pets-b.zip", "sets/pets-both.zip"]
    with zipfile.ZipFile(tmp_path / "report" / found[0].file) as archive:
        assert archive.namelist() == ["pets-b/README.md", "pets-b/train/0_cat/0.png"]
        assert archive.read("pets-b/README.md") == b"pets by b"
    bytes_then = [(tmp_path / "report" / one.file).read_bytes() for one in found]
    assert write_downloads(own_whole, settings, tmp_path / "report", export) == found
    assert [(tmp_path / "report" / one.file).read_bytes() for one in found] == bytes_then


def test_a_large_set_is_not_offered(own_whole: Results, settings: Params, tmp_path: Path) -> None:
    large = replace(settings, method=replace(settings.method, resolution=1200))
    assert write_downloads(own_whole, large, tmp_path, export) == []
    assert not list(tmp_path.glob("sets/*"))


def test_the_page_links_what_can_be_downloaded(own_whole: Results, settings: Params) -> None:
    folder = own_whole.layout.report
    write_report(own_whole, settings, CAPTIONS, folder, {"images of pets": "free"}, export)
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert '<a href="sets/pets-a.zip" download>pets, distilled by a</a>' in text
    assert 'lgm.load_distilled("pets-a")' in text
    assert "<strong>images of pets</strong>: free" in text
    assert (folder / "sets" / "pets-both.zip").is_file()
