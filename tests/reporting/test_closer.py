"""A closer look at an image of the gallery: its time-lapse, and what full-data probes see in it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from reporting.whole_report import CAPTIONS, CLASSES, NETS

from lgm_core.foundation.animations import read_strip
from lgm_core.foundation.errors import FileError, MissingFileError, StaleFileError
from lgm_core.foundation.store import read_json, write_json
from lgm_core.reporting.page import write_report
from lgm_core.reporting.results import Results
from lgm_core.settings.params import Params

_BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


def constant(report: Path, file: str, name: str) -> Any:
    text = (report / file).read_text(encoding="utf-8")
    return json.loads(re.search(rf"const {name} = (.*);\n", text)[1])  # type: ignore[index]


def test_every_image_says_what_each_backbone_sees_in_it(report: Path) -> None:
    classes = constant(report, "closer.js", "CLASSES")
    assert classes == {"pets": list(CLASSES), "biased": list(CLASSES)}
    for entry in constant(report, "gallery.js", "GALLERY"):
        assert set(entry["seen"]) == set(NETS)
        for found in entry["seen"].values():
            number, percent = found["whole"][0]
            assert (classes[entry["dataset"]][number], percent) == (entry["class"], 75.0)
            assert (found["crops"], found["own_share"]) == ([[0, 60.0], [1, 40.0]], 62.5)


def test_images_of_the_method_itself_have_a_time_lapse(report: Path) -> None:
    for entry in constant(report, "gallery.js", "GALLERY"):
        if entry["variant"] != "method":
            assert entry["time_lapse"] is None
            continue
        assert entry["time_lapse"]["steps"] == [0, 10, 300]
        frames = read_strip(report / unquote(entry["time_lapse"]["strip"]))
        assert frames[:, 0, 0, 0].tolist() == [80 * n + CLASSES.index(entry["class"]) for n in range(3)]


def test_without_snapshots_there_is_no_time_lapse(own_whole: Results, settings: Params) -> None:
    layout = own_whole.layout
    for path in layout.results.rglob("time_lapse.json"):
        path.unlink()
    write_report(own_whole, settings, CAPTIONS, layout.report)
    entries = constant(layout.report, "gallery.js", "GALLERY")
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


_LOOKING = """
<pre id="said"></pre>
<script>
const said = [];
const buttons = [...document.querySelectorAll("#pictures figure button")];
buttons[1].click();
const dialog = document.querySelector("dialog[open]");
const slider = dialog.querySelector("input[type=range]");
const frame = dialog.querySelector("[role=img]");
said.push(frame.getAttribute("aria-label"), frame.style.backgroundPositionX);
slider.value = 1;
slider.dispatchEvent(new Event("input"));
said.push(frame.getAttribute("aria-label"), frame.style.backgroundPositionX);
said.push([...dialog.querySelectorAll("h4")].length, dialog.querySelector("tr").textContent);
said.push(dialog.querySelector("p").textContent);
dialog.querySelector("button").click();
setTimeout(() => {
  said.push(document.querySelectorAll("dialog").length);
  document.getElementById("said").textContent = said.join("\\n");
}, 50);
</script>
"""


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium is installed")
def test_the_dialog_shows_frames_and_bars(own_whole: Results, tmp_path: Path) -> None:
    assert _BROWSER is not None
    report = own_whole.layout.report
    page = (report / "index.html").read_text(encoding="utf-8")
    (report / "look.html").write_text(page.replace("</body>", f"{_LOOKING}</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    flags += ["--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    address = (report / "look.html").as_uri()
    done = subprocess.run(
        [_BROWSER, *flags, address], capture_output=True, text=True, timeout=120, check=True
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    said = re.search(r'id="said">([^<]*)<', done.stdout)[1]  # type: ignore[index]
    odd = CLASSES[1].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert said.splitlines() == [
        f"{odd} after 300 steps", "100%", f"{odd} after 10 steps", "50%", "2", f"{odd}75.0 %",
        f"In 63 % of the crops it sees {odd} first.", "0",
    ]  # fmt: skip
