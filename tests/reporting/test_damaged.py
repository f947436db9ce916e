"""Results that were edited, cut or moved: every outcome is a page, or one message that names the file."""

from __future__ import annotations

import copy
import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reporting.whole_report import CAPTIONS

from lgm_core.foundation.belonging import INPUTS
from lgm_core.foundation.errors import DamagedFileError, FileError, InputError, StaleFileError
from lgm_core.foundation.store import read_json, write_json
from lgm_core.reporting.figures import FIGURES, draw_figure, plotted_data
from lgm_core.reporting.findings import findings
from lgm_core.reporting.gallery import Pictures, write_gallery
from lgm_core.reporting.opening import opening_strip
from lgm_core.reporting.page import write_report
from lgm_core.reporting.panels import save_panels
from lgm_core.reporting.reading import picture_name
from lgm_core.reporting.results import Results
from lgm_core.reporting.runs import all_runs
from lgm_core.reporting.spent import spent
from lgm_core.reporting.table_formats import to_csv, to_latex, to_markdown, to_metrics
from lgm_core.reporting.tables import TABLES, assemble
from lgm_core.settings.params import Params

PLACES = [
    ("probe", "a", ""), ("seen", "a", ""), ("baselines", "a", ""), ("alignment", "", ""), ("judged", "a", ""),
    ("neighbors", "a", ""), ("settings", "a", ""), ("history", "a", ""), ("run", "a", ""),
    ("samples", "a", ""), ("probe", "both", ""), ("probe", "a", "rounds/one"),
    ("settings", "b", "ablation/no_pyramid"),
]  # fmt: skip
"""Kind of file, source and variant."""
ON_PAGE = ("seen", "neighbors", "history", "run", "samples")
"""Kinds that no table reads."""


def place_of(results: Results, kind: str, source: str, variant: str) -> Path:
    """Where such a file of the data set `pets` lies."""
    cell = results.layout.cell("pets", source, variant)
    match kind:
        case "settings" | "history":
            return cell.distilled / {"settings": "settings.json", "history": "history.csv"}[kind]
        case "neighbors":
            return cell.neighbors / "neighbors.json"
        case "run":
            return cell.run("probe")
        case "samples":
            return cell.features / "samples" / "samples.json"
    return getattr(cell, kind)


def everything(results: Results, settings: Params, folder: Path) -> None:
    """Make all tables, the data of all figures, and the report."""
    for name in TABLES:
        table = assemble(name, results, settings, CAPTIONS)
        for written in (to_csv, to_markdown, to_latex, to_metrics):
            written(table)
    for name, row in FIGURES.items():
        if row.data is not None:
            plotted_data(name, results, settings)
    write_report(results, settings, CAPTIONS, folder)


class _Named(Pictures):
    """Pictures that are asked for, and not copied."""

    def copy(self, source: Path) -> str:
        assert source.is_relative_to(self.results)
        return source.name


def read_tables(results: Results, settings: Params) -> None:
    """What tables and curves read."""
    tables = [assemble(name, results, settings, CAPTIONS) for name in TABLES]
    for name, row in FIGURES.items():
        if row.data is not None:
            plotted_data(name, results, settings)
    findings(results, settings, tables)


def read_page(results: Results, settings: Params) -> None:
    """What else the report reads."""
    opening_strip(results, settings)
    spent(results, settings)
    write_gallery(results, settings, _Named(results.layout.results, results.layout.root / "report"))
    for run in all_runs(settings):
        results.measured(run.verb, run.dataset, run.backbone, run.variant)


# Files of other cells


@pytest.mark.parametrize(
    ("kind", "said", "named"),
    [
        ("probe", {"dataset": "biased", "source": "a", "variant": ""}, "dataset 'biased'"),
        ("probe", {"dataset": "pets", "source": "b", "variant": ""}, "source 'b'"),
        ("probe", {"dataset": "pets", "source": "a", "variant": "rounds/one"}, "variant 'rounds/one'"),
        ("seen", {"dataset": "pets", "source": "b", "variant": ""}, "source 'b'"),
        ("baselines", {"dataset": "pets", "source": "b"}, "source 'b'"),
        ("alignment", {"dataset": "biased"}, "dataset 'biased'"),
        ("judged", {"dataset": "pets", "source": "both"}, "source 'both'"),
        ("neighbors", {"dataset": "pets", "source": "b", "variant": ""}, "source 'b'"),
        ("settings", {"dataset": "pets", "source": "a", "replicate": 1}, "replicate 1"),
    ],
)
def test_a_file_of_another_cell_is_refused(
    own_whole: Results, settings: Params, tmp_path: Path, kind: str, said: dict[str, Any], named: str
) -> None:
    path = place_of(own_whole, kind, "" if kind == "alignment" else "a", "")
    write_json(path, read_json(path) | said)
    with pytest.raises(StaleFileError, match=named) as caught:
        everything(own_whole, settings, tmp_path / "report")
    assert caught.value.path == path


@pytest.mark.parametrize(
    "kind", ["probe", "seen", "baselines", "alignment", "judged", "neighbors", "settings"]
)
@pytest.mark.parametrize("key", ["dataset", "source", "variant"])
def test_a_file_that_does_not_say_what_it_is_of_is_refused(
    own_whole: Results, settings: Params, tmp_path: Path, kind: str, key: str
) -> None:
    path = place_of(own_whole, kind, "" if kind == "alignment" else "a", "")
    write_json(path, {name: value for name, value in read_json(path).items() if name != key})
    with pytest.raises(StaleFileError, match=f"does not say of which {key} it is") as caught:
        everything(own_whole, settings, tmp_path / "report")
    assert caught.value.path == path


def test_swapped_probes_are_noticed(own_whole: Results, settings: Params) -> None:
    paths = [own_whole.layout.cell("pets", source).probe for source in ("a", "b")]
    first = paths[0].read_bytes()
    shutil.copyfile(paths[1], paths[0])
    paths[1].write_bytes(first)
    with pytest.raises(StaleFileError, match="source 'b'"):
        assemble("table1", own_whole, settings, CAPTIONS)


# Files made from something else


def _add(path: Path, inputs: dict[str, str]) -> None:
    write_json(path, read_json(path) | {INPUTS: inputs})


@pytest.mark.parametrize("kind", ["probe", "seen", "neighbors", "judged"])
def test_what_was_made_from_another_distilled_set_is_refused(
    own_whole: Results, settings: Params, tmp_path: Path, kind: str
) -> None:
    """Distilled again without the pipeline: the accuracies of the set before are not its own."""
    path = place_of(own_whole, kind, "a", "")
    _add(path, {"pets/distilled/a": "c"})
    everything(own_whole, settings, tmp_path / "report")
    _add(path, {"pets/distilled/a": "older"})
    with pytest.raises(StaleFileError, match="pets/distilled/a: one of them is older"):
        everything(Results(own_whole.layout), settings, tmp_path / "report")


def test_a_table_of_results_from_different_features_is_refused(own_whole: Results, settings: Params) -> None:
    cell = own_whole.layout.cell("pets", "b")
    _add(cell.probe, {"pets/features/b": "new", "pets/distilled/b": "c"})
    _add(cell.baselines, {"pets/features/b": "new"})
    assemble("table1", own_whole, settings, CAPTIONS)
    _add(cell.baselines, {"pets/features/b": "old"})
    with pytest.raises(StaleFileError, match="pets/features/b: one of them is older") as caught:
        assemble("table1", Results(own_whole.layout), settings, CAPTIONS)
    assert caught.value.path in (cell.baselines, cell.probe)
    _add(cell.baselines, [])  # type: ignore[arg-type]
    with pytest.raises(DamagedFileError, match="origins"):
        assemble("table1", Results(own_whole.layout), settings, CAPTIONS)


# Damage


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "a/../../b", "", 7, None, "a\0b"])
def test_no_picture_leads_out_of_its_folder(
    own_whole: Results, settings: Params, tmp_path: Path, name: Any
) -> None:
    with pytest.raises(DamagedFileError):
        picture_name(tmp_path, name)
    path = place_of(own_whole, "neighbors", "a", "")
    content = read_json(path)
    content["neighbors"][0]["picture"] = name
    write_json(path, content)
    with pytest.raises(DamagedFileError, match="is no picture below its folder") as caught:
        write_report(own_whole, settings, CAPTIONS, tmp_path / "report")
    assert caught.value.path == path


def test_a_damaged_picture_is_named_where_it_was_made(
    own_whole: Results, settings: Params, tmp_path: Path
) -> None:
    path = next(own_whole.layout.cell("pets", "a").distilled.rglob("*.png"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DamagedFileError) as caught:
        write_report(own_whole, settings, CAPTIONS, tmp_path / "report")
    assert caught.value.path == path
    with pytest.raises(DamagedFileError) as caught:
        drawn = draw_figure("figure5", own_whole, settings)
        assert isinstance(drawn, list)
        save_panels(drawn, "", tmp_path / "figure.png")
    assert caught.value.path == path


ODD: list[Any] = [
    None, True, "", "text", -1, 0, 1e308, -1e308, math.nan, math.inf, 10**400, [], {}, [[]], [None], {"a": 1},
    "../../x", ["x", 1],
]  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything in a JSON value, the inner nodes too."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, one in inside for leaf in leaves(one, (*path, key)))]


def _edited(content: bytes, draw: random.Random) -> bytes:
    """One value of a JSON file replaced by an odd one, or left out."""
    value = json.loads(content)
    path = draw.choice(leaves(value)[1:])
    owner = value
    for key in path[:-1]:
        owner = owner[key]
    if draw.random() < 0.3:
        del owner[path[-1]]
    else:
        owner[path[-1]] = copy.deepcopy(draw.choice(ODD))
    return json.dumps(value).encode()


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 3))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def mutated(path: Path, draw: random.Random) -> bytes:
    """The file with some damage."""
    content = path.read_bytes()
    kinds: list[Callable[[bytes, random.Random], bytes]] = [_cut, _flipped]
    if path.suffix == ".json":
        kinds += [_edited] * 4
    return draw.choice(kinds)(content, draw)


@pytest.mark.slow
def test_mutated_results_make_a_page_or_one_message(own_whole: Results, settings: Params) -> None:
    """520 mutations of thirteen files; what a file lacks may also be told of the file that lacks it."""
    draw = random.Random(0)
    ends = {"made": 0, "refused": 0}
    for number in range(520):
        kind, source, variant = PLACES[number % len(PLACES)]
        path = place_of(own_whole, kind, source, variant)
        whole = path.read_bytes()
        path.write_bytes(mutated(path, draw))
        try:
            # A file of tables is read by both in turn.
            read = read_page if kind in ON_PAGE or number // len(PLACES) % 2 else read_tables
            read(own_whole, settings)
            ends["made"] += 1
        except FileError as error:
            assert error.path.is_relative_to(own_whole.layout.results), (number, error)
            ends["refused"] += 1
        except InputError as error:
            raise AssertionError(f"mutation {number} of {path}: {error}") from error
        finally:
            path.write_bytes(whole)
    assert min(ends.values()) > 50, ends
