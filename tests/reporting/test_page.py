"""The report holds what the cells hold, and works in a real browser: no errors, filters filter."""

from __future__ import annotations

import functools
import html.parser
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
import torch

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout, picture_names
from lgm_core.foundation.store import write_json, write_png, write_text
from lgm_core.reporting.figures import FIGURES, PLOT_FIGURES
from lgm_core.reporting.page import all_cells, chart_points, distilled_cells, flat_settings, write_report
from lgm_core.reporting.results import Cells
from lgm_core.reporting.tables import TABLES
from lgm_core.settings.params import Params, parse_params

CLASSES = ("plain", 'odd <b>&"#1')
MODELS = ("a", "b")
SEEDS = [50.0, 52.0]


@pytest.fixture
def settings(suite: dict[str, Any]) -> Params:
    """Two small data sets, two models, one ablation and one number of rounds."""
    suite["datasets"] = {"pets": "toy:birds", "biased": "toy:spurious"}
    suite["backbones"] = dict.fromkeys(MODELS, "efficientnet_lite0")
    suite["variants"] = {
        "ablation": {"no_pyramid": {"parameterization": "pixels"}},
        "rounds": {"one": {"aug_rounds": 1}},
    }
    for part in ("tables", "figures"):
        for shown in suite[part].values():
            for place in shown:
                shown[place] = {"source": "a", "right": "biased"}.get(place, "pets")
    return parse_params(suite)


def _runs() -> dict[str, list[float]]:
    return {"top1": SEEDS, "balanced": SEEDS, "worst_group": SEEDS, "nearest_neighbor": [40.0]}


@pytest.fixture
def results(settings: Params, tmp_path: Path) -> Layout:
    """Hand-made cells, pictures, tables and figures of those settings."""
    layout = Layout(tmp_path, settings.suite)
    pictures = picture_names(CLASSES, [0, 1])
    for cell in all_cells(settings):
        write_json(
            layout.run(cell.verb, cell.dataset, cell.backbone, cell.variant),
            {"seconds": 1.5, "peak_memory_mib": 100.0, "device": "cpu"},
        )
    for cell in distilled_cells(settings):
        name = (cell.dataset, cell.backbone, cell.variant)
        folder, rounds = (
            layout.distilled(*name),
            1 if "rounds" in cell.variant else settings.method.aug_rounds,
        )
        write_json(
            folder / "settings.json",
            {"classes": list(CLASSES), "pictures": pictures, "seed": 7, "method": {"aug_rounds": rounds}},
        )
        write_text(folder / "history.csv", "step,loss\n0,0.9\n1,0.7\n2,0.8\n")
        near = [{"picture": p, "name": f"train/{n}", "similarity": 0.5} for n, p in enumerate(pictures)]
        write_json(layout.neighbors(*name) / "neighbors.json", {"neighbors": near})
        for number, picture in enumerate(pictures):
            write_png(folder / picture, torch.full((3, 8, 8), 0.2 + 0.5 * number))
            write_png(layout.neighbors(*name) / picture, torch.full((3, 300, 300), 0.8))
        targets = {target: {"distilled": _runs()} for target in MODELS}
        targets[cell.backbone] |= {other: _runs() for other in ("neighbors", "centroids", "random")}
        write_json(layout.probe(*name), {"targets": targets, "seed": 7})
    for dataset in settings.datasets:
        for model in MODELS:
            ceilings = {"nearest_class_mean": 60.0, "ridge": 65.0}
            majority = {"top1": 70.0, "balanced": 50.0, "worst_group": 0.0}
            write_json(layout.baselines(dataset, model), {"full": _runs(), "majority": majority, **ceilings})
        write_json(layout.alignment(dataset), {"matrix": {a: dict.fromkeys(MODELS, 0.5) for a in MODELS}})
    for name in TABLES:
        for suffix in (".csv", ".md", ".tex"):
            write_text(layout.table(name, suffix), name)
    for name in FIGURES:
        write_png(layout.figure(name, ".png"), torch.zeros(3, 4, 4))
        if name in PLOT_FIGURES:
            write_text(layout.figure(name, ".svg"), '<svg xmlns="http://www.w3.org/2000/svg"/>')
    return layout


@pytest.fixture
def report(settings: Params, results: Layout) -> Path:
    write_report(Cells(results), settings, results.report)
    return results.report


class _Links(html.parser.HTMLParser):
    """Addresses and ids of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [str(found[name]) for name in ("href", "src") if name in found]
        self.ids |= {str(found["id"])} if "id" in found else set()


def links(report: Path) -> _Links:
    parser = _Links()
    parser.feed((report / "index.html").read_text(encoding="utf-8"))
    return parser


def gallery(report: Path) -> list[dict[str, Any]]:
    text = (report / "gallery.js").read_text(encoding="utf-8")
    return json.loads(re.search(r"const GALLERY = (.*);\n", text)[1])  # type: ignore[index]


def test_every_address_leads_to_a_file_of_the_report(report: Path) -> None:
    page = links(report)
    addresses = [
        *page.addresses,
        *(entry[kind] for entry in gallery(report) for kind in ("picture", "neighbor")),
    ]
    for address in addresses:
        if address == "data:,":
            continue
        parts = urlparse(address)
        assert (parts.scheme, parts.netloc) == ("", ""), address
        if parts.path:
            assert (report / unquote(parts.path)).is_file(), address
        else:
            assert parts.fragment in page.ids


def test_all_tables_figures_and_cells_are_on_the_page(report: Path, settings: Params) -> None:
    page = links(report)
    assert set(TABLES) <= page.ids
    assert set(FIGURES) <= page.ids
    text = (report / "index.html").read_text(encoding="utf-8")
    section = text[text.index('<section id="runs">') : text.index('<section id="settings">')]
    assert section.count("<tr>") == 1 + len(list(all_cells(settings)))
    assert section.count("<polyline") == len(list(distilled_cells(settings)))


def test_a_number_links_to_its_cell_with_seed_time_and_settings(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    assert '<a href="cells/pets/probe/a.json">51.0 ± 1.0</a>' in text
    cell = json.loads((report / "cells/pets/ablation/probe/b/no_pyramid.json").read_text(encoding="utf-8"))
    assert cell["seed"] == 7
    assert cell["run"] == {"seconds": 1.5, "peak_memory_mib": 100.0, "device": "cpu"}
    assert cell["distilled"]["classes"] == list(CLASSES)
    assert cell["targets"]["a"]["distilled"]["top1"] == SEEDS


def test_the_gallery_names_every_distilled_image(report: Path, settings: Params) -> None:
    entries = gallery(report)
    assert len(entries) == len(CLASSES) * len(list(distilled_cells(settings)))
    assert {entry["variant"] for entry in entries} == {"method", "no_pyramid", "one"}
    assert {entry["class"] for entry in entries} == set(CLASSES)


def test_large_pictures_are_reduced_and_small_ones_kept(report: Path) -> None:
    from PIL import Image

    entry = gallery(report)[0]
    with (
        Image.open(report / unquote(entry["picture"])) as small,
        Image.open(report / unquote(entry["neighbor"])) as large,
    ):
        assert (small.size, small.format) == ((8, 8), "PNG")
        assert (large.size, large.format) == ((160, 160), "JPEG")


def test_names_are_escaped(report: Path) -> None:
    for page in ("index.html", "gallery.js"):
        assert "<b>" not in (report / page).read_text(encoding="utf-8")


def test_a_missing_cell_or_figure_names_its_stage_and_leaves_the_old_report(
    report: Path, results: Layout, settings: Params
) -> None:
    before = (report / "index.html").read_bytes()
    results.figure("figure4", ".svg").unlink()
    with pytest.raises(InputError, match="dvc repro figures/figure4"):
        write_report(Cells(results), settings, report)
    results.run("probe", "pets", "a").unlink()
    with pytest.raises(InputError, match="dvc repro probe@pets-a"):
        write_report(Cells(results), settings, report)
    assert (report / "index.html").read_bytes() == before
    assert [path.name for path in report.parent.glob(".report*")] == []


def test_a_chart_fills_its_box() -> None:
    assert chart_points([1.0, 0.0, 0.5]) == "0.0,1.0 60.0,35.0 120.0,18.0"
    assert chart_points([0.5, 0.5]) == "0.0,35.0 120.0,35.0"
    assert len(chart_points([float(n) for n in range(5000)]).split()) <= 2 * 120


def test_settings_are_named_as_in_the_params_file(settings: Params) -> None:
    flat = flat_settings(asdict(settings))
    assert flat["steps"] == settings.method.steps
    assert flat["augment.crop_scale"] == [0.7, 1.0]
    assert flat["datasets.pets.source"] == "toy:birds"
    assert flat["variants.rounds.one.aug_rounds"] == 1


# In a real browser

_BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
browser = pytest.mark.skipif(_BROWSER is None, reason="no Chromium is installed")

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=5000",
)  # fmt: skip


@dataclass
class Visit:
    """What a browser made of a page."""

    dom: str
    console: list[str]

    @property
    def count(self) -> str:
        """What the gallery says it shows."""
        return re.search(r'id="count">([^<]*)<', self.dom)[1]  # type: ignore[index]

    @property
    def cards(self) -> int:
        """Pictures of the gallery that are there."""
        return self.dom.count('<figure title="nearest real image')


@pytest.fixture
def visit(tmp_path: Path) -> Callable[[str], Visit]:
    """`visit(address)`: load a page in headless Chromium."""

    def load(address: str) -> Visit:
        assert _BROWSER is not None
        command = [_BROWSER, *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return Visit(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])

    return load


@browser
def test_the_page_works_from_a_file(report: Path, visit: Callable[[str], Visit]) -> None:
    page = (report / "index.html").as_uri()
    whole = visit(page)
    assert (whole.console, whole.count, whole.cards) == ([], "14 of 14 images", 14)
    one = visit(f"{page}#dataset=pets&source=b&variant=no_pyramid")
    assert (one.console, one.count, one.cards) == ([], "2 of 14 images", 2)
    odd = visit(f"{page}#class=odd+%3Cb%3E%26%22%231&dataset=biased")
    assert (odd.console, odd.count) == ([], "2 of 14 images")
    assert "odd &lt;b&gt;&amp;" in odd.dom


class _Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and notes what is missing."""

    missing: list[str] = []  # noqa: RUF012 (one list for all requests of a test)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the library's)
        if "404" in str(args):
            self.missing.append(str(args))


@pytest.fixture
def served(report: Path) -> Iterator[str]:
    """Address of the report on a local web server."""
    _Server.missing.clear()
    handler = functools.partial(_Server, directory=str(report))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


_CHOOSING = """<!doctype html>
<link rel="icon" href="data:,">
<iframe id="page" src="index.html"></iframe>
<pre id="said"></pre>
<script>
document.getElementById("page").addEventListener("load", (event) => {
  const page = event.target.contentDocument;
  const said = [];
  const choose = (name, value) => {
    const select = page.querySelector(`select[name=${name}]`);
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    const offered = (other) => [...page.querySelector(`select[name=${other}]`).options].map((o) => o.value);
    said.push([page.getElementById("count").textContent, offered("variant").join(" ")].join(" | "));
  };
  choose("dataset", "biased");
  choose("source", "a");
  choose("dataset", "");
  choose("variant", "one");
  said.push(event.target.contentWindow.location.hash);
  document.getElementById("said").textContent = said.join("\\n");
});
</script>
"""


@browser
def test_choosing_filters_filters(report: Path, served: str, visit: Callable[[str], Visit]) -> None:
    (report / "choosing.html").write_text(_CHOOSING, encoding="utf-8")
    seen = visit(f"{served}/choosing.html")
    said = re.search(r'id="said">([^<]*)<', seen.dom)[1].splitlines()  # type: ignore[index]
    assert said == [
        "4 of 14 images |  method",
        "2 of 14 images |  method",
        "8 of 14 images |  method no_pyramid one",
        "2 of 14 images |  method no_pyramid one",
        "#source=a&amp;variant=one",
    ]
    assert (seen.console, _Server.missing) == ([], [])
