"""The report holds what the results hold, all of it and nothing else, with every number's origin."""

from __future__ import annotations

import html.parser
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from PIL import Image
from pipeline.whole_runs import leave_out
from reporting.gallery_of import gallery
from reporting.whole_report import CAPTIONS, CLASSES, SEEDS, whole_settings, write_whole
from settings.suite_values import left_out

from lgm_core.foundation.errors import MissingFileError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.sources import BackboneSource
from lgm_core.foundation.store import read_json
from lgm_core.reporting.figures import FIGURES
from lgm_core.reporting.gallery import Pictures, chart_points
from lgm_core.reporting.page import flat_settings, write_report
from lgm_core.reporting.results import Results
from lgm_core.reporting.runs import Run, all_runs, distilled_runs
from lgm_core.reporting.tables import TABLES
from lgm_core.settings.params import Params, parse_params


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
    parser.feed(page_of(report))
    return parser


def page_of(report: Path) -> str:
    return (report / "index.html").read_text(encoding="utf-8")


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


def test_pictures_of_all_classes_lie_beside_each_other(tmp_path: Path) -> None:
    """But for names that would be longer than a file's may be."""
    long = "n" * 250
    pictures = Pictures(tmp_path / "results", tmp_path / "report")
    addresses = {}
    for path in ("images/cat/0.png", "further/cat/0/1.png", "further/cat.0/1/1.png", f"images/{long}/0.png",
                 "images/images/1.png", "grid.png"):  # fmt: skip
        source = tmp_path / "results" / "pets" / "distilled" / "a" / path
        source.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(source)
        addresses[path] = pictures.copy(source).removeprefix("pictures/pets/distilled/a/")
    assert list(addresses.values()) == [
        "images/cat.0.png", "further/cat.0.1.png", "further/cat.0.1.1.png", f"images/{long}/0.png",
        "images/images.1.png", "grid.png",
    ]  # fmt: skip


def test_no_line_of_the_opening_begins_with_a_percent_sign(report: Path) -> None:
    text = page_of(report)
    opening = text[text.index('<div class="headlines">') : text.index("</section>")]
    assert opening.count("\u00a0%") > 3
    assert " %" not in opening


def test_all_tables_figures_and_runs_are_on_the_page(report: Path, settings: Params) -> None:
    page = links(report)
    assert set(TABLES) <= page.ids
    assert set(FIGURES) <= page.ids
    text = page_of(report)
    section = text[text.index('<section id="runs">') : text.index('<section id="settings">')]
    assert section.count("<tr>") == 1 + len(list(all_runs(settings)))
    assert section.count("<polyline") == len(list(distilled_runs(settings)))


def test_a_number_links_to_its_cell_with_seed_time_and_settings(report: Path) -> None:
    assert '<a href="cells/pets/probe/a.json">51.0 ± 1.0</a>' in page_of(report)
    cell = json.loads((report / "cells/pets/ablation/probe/b/no_pyramid.json").read_text(encoding="utf-8"))
    assert cell["seed"] == 7
    measured = {"seconds": 1.5, "peak_memory_mib": 100.0, "device": "cpu"}
    named = {"dataset": "pets", "source": "b", "variant": "ablation/no_pyramid"}
    assert cell["run"] == {**named, **measured, "parts": {"probe on b": 0.25}}
    assert cell["distilled"]["classes"] == list(CLASSES)
    assert cell["targets"]["a"]["distilled"]["top1"] == [SEEDS]


def test_the_gallery_names_every_distilled_image(report: Path, settings: Params) -> None:
    entries = gallery(report)
    assert len(entries) == len(CLASSES) * len(list(distilled_runs(settings)))
    variants = {"method", *(name for group in settings.variants.groups.values() for name in group)}
    assert {entry["variant"] for entry in entries} == variants
    assert {entry["class"] for entry in entries} == set(CLASSES)


def test_the_method_is_a_diagram_above_the_tables_that_needs_nothing_else(report: Path) -> None:
    text = page_of(report)
    assert text.index('src="method.svg"') < text.index("Figure 2. The method") < text.index('id="tables"')
    content = (report / "method.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(content)
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    told = {entry.get("id"): entry.text for entry in root if entry.tag in (f"{name}title", f"{name}desc")}
    assert str(root.get("aria-labelledby")).split() == list(told) == ["title", "desc"]
    assert all(told.values())
    values = [(key, value) for entry in root.iter() for key, value in entry.attrib.items()]
    assert [value for key, value in values if "://" in value or key.endswith("href")] == []
    colors = {value for key, value in values if key in ("fill", "stroke")}
    assert colors == {"#fff", "none", "#1c1c1c", "#5a5a5a", "#0072B2"}


def test_the_gallery_calls_classes_what_people_call_them(own_whole: Results, settings: Params) -> None:
    layout = own_whole.layout
    write_report(Results(layout, {"plain": "tench"}), settings, CAPTIONS, layout.report)
    assert {entry["class"] for entry in gallery(layout.report)} == {"tench", CLASSES[1]}


def test_large_pictures_are_reduced_and_small_ones_kept(report: Path) -> None:
    entry = gallery(report)[0]
    with (
        Image.open(report / unquote(entry["picture"])) as small,
        Image.open(report / unquote(entry["neighbor"])) as large,
    ):
        assert (small.size, small.format) == ((8, 8), "PNG")
        assert (large.size, large.format) == ((160, 160), "JPEG")


def test_names_and_captions_are_escaped(report: Path) -> None:
    for page in ("index.html", "gallery.js"):
        text = (report / page).read_text(encoding="utf-8")
        assert "<b>" not in text
        assert "<i>" not in text


def test_a_data_set_with_something_to_say_is_explained_once_and_under_its_tables(report: Path) -> None:
    text = page_of(report)
    listed = text[text.index('<ul class="captions">') :]
    listed = listed[: listed.index("</ul>")]
    assert "<strong>pets</strong>: two procedural shapes" in listed
    assert "<strong>biased</strong>" not in listed
    table = text[text.index('<article id="table1">') : text.index('<article id="table2">')]
    assert '<p class="note">pets: two procedural shapes' in table


def test_a_missing_result_or_figure_names_its_file_and_leaves_the_old_report(
    own_whole: Results, settings: Params
) -> None:
    layout = own_whole.layout
    before = (layout.report / "index.html").read_bytes()
    for path, stage in (
        (layout.figure("figure4", ".svg"), "figures/figure4"),
        (layout.table("table5", ".tex"), "tables/table5"),
        (layout.cell("pets", "b", "ablation/no_pyramid").distilled / "history.csv",
         "distill_ablation@pets-b-no_pyramid"),
        (layout.cell("pets", "a").run("probe"), "probe@pets-a"),
    ):  # fmt: skip
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(MissingFileError) as caught:
            write_report(own_whole, settings, CAPTIONS, layout.report)
        assert caught.value.path == path
        assert layout.stage(path) == stage
        path.write_bytes(content)
    assert (layout.report / "index.html").read_bytes() == before
    assert [path.name for path in layout.root.glob(".report*")] == []


def test_a_backbone_of_figure_8_alone_has_its_runs_and_its_place_in_the_gallery(settings: Params) -> None:
    more = replace(settings, figure_backbones={"shown": BackboneSource("dino")})
    added = [run for run in all_runs(more) if run not in set(all_runs(settings))]
    assert [(run.verb, run.dataset, run.backbone) for run in added] == [
        (verb, "pets", "shown") for verb in ("features", "baselines", "distill", "probe")
    ]
    assert Run("distill", "pets", "shown") in set(distilled_runs(more))


# What shows nothing, and tables of one's own


def test_what_shows_nothing_is_left_out(suite: dict[str, Any], tmp_path: Path) -> None:
    whole_settings(suite)
    for part, name in (("tables", "table5"), ("tables", "table3"), ("figures", "figure1"),
                       ("figures", "losses"), ("figures", "figure3"), ("figures", "figure5")):  # fmt: skip
        suite[part][name] = left_out(suite[part][name])
    leave_out(suite, "table9", "table10", "table11", "figure9", "figure10")
    suite["variants"] |= {"ablation": {}, "rounds": {}}
    settings, layout = parse_params(suite), Layout(tmp_path, "less")
    write_whole(layout, settings)
    for name in ("table5", "table3"):
        layout.table(name, ".csv").unlink()
    write_report(Results(layout), settings, {}, layout.report)
    page = links(layout.report)
    gone = {"table3", "table5", "figure1", "figure3", "figure5", "losses"}
    gone |= {"table9", "table10", "table11", "figure9", "figure10"}
    assert page.ids & ({*TABLES} | {*FIGURES}) == ({*TABLES} | {*FIGURES}) - gone
    assert not [path for path in layout.report.rglob("*") if path.stem in gone]
    assert {entry["variant"] for entry in gallery(layout.report)} == {"method"}
    assert {run.variant for run in all_runs(settings)} == {""}


def test_a_table_of_ones_own_is_shown_under_its_own_name(own_whole: Results, suite: dict[str, Any]) -> None:
    whole_settings(suite)
    suite["own_tables"] = {"mine": {"kind": "pairs", "left": "biased", "right": "none"}}
    settings, layout = parse_params(suite), own_whole.layout
    with pytest.raises(MissingFileError) as caught:
        write_report(own_whole, settings, {}, layout.report)
    assert caught.value.path == layout.table("mine", ".csv")
    for suffix in (".csv", ".md", ".tex"):
        layout.table("mine", suffix).write_text("mine", encoding="utf-8")
    write_report(own_whole, settings, {}, layout.report)
    text = page_of(layout.report)
    article = text[text.index('<article id="mine">') :]
    article = article[: article.index("</article>")]
    assert "<h3>mine</h3>" in article
    assert "biased: every ordered pair of models" in article
    assert (layout.report / "tables/mine.csv").read_text(encoding="utf-8") == "mine"


# Parts


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
    assert "datasets.pets.partial" not in flat


def test_a_copied_cell_holds_all_that_the_cell_held(report: Path, whole: Results, settings: Params) -> None:
    for run in all_runs(settings):
        cell = whole.layout.cell(run.dataset, run.backbone, run.variant)
        place = {"baselines": cell.baselines, "probe": cell.probe, "align": cell.alignment}.get(run.verb)
        if place is not None:
            copied = read_json(report / "cells" / place.relative_to(whole.layout.results))
            assert copied.items() >= read_json(place).items()
            assert copied["run"] == read_json(cell.run(run.verb))


def test_the_page_says_what_training_on_little_saves(report: Path) -> None:
    row = "<td>a</td><td>2</td><td>2,345</td><td>2</td><td>0.25</td><td>0.75</td><td>2</td>"
    assert f'<tr><th scope="row">pets</th>{row}</tr>' in page_of(report)
