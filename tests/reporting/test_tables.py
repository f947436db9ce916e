"""Tables list their cells from the settings, and settings that make no table are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reporting.hand_made import MODELS, PAPERS, VARIANTS, shown_settings, told_of_biased
from ruamel.yaml import YAML
from settings.suite_values import left_out, read_suite

from lgm_core.foundation.errors import (
    InputError,
    KeyFaultError,
    MissingFileError,
    SettingError,
    StaleFileError,
)
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import read_json, write_json
from lgm_core.reporting.alignment_blocks import matrix_blocks
from lgm_core.reporting.blocks import Compared
from lgm_core.reporting.published import PAPER_BACKBONES
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import to_csv, to_latex, to_markdown, to_metrics
from lgm_core.reporting.tables import (
    GAP_NOTE,
    KINDS,
    OWN_KINDS,
    REPORTED_NOTE,
    TABLES,
    Table,
    assemble,
    check_tables,
    spread_note,
    table_of,
)
from lgm_core.settings.params import Params, parse_params

Assembled = Callable[..., Table]
Settings = Callable[..., Params]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PAPERS)
def test_a_table_is_of_its_kind_and_shows_its_data_sets_in_order(
    three: Results, assembled: Assembled, name: str
) -> None:
    table = assembled(name, three, "biased", "biased", MODELS)
    assert (table.name, table.title) == (name, TABLES[name].title)
    kind = KINDS[TABLES[name].kind]
    told = told_of_biased(three, TABLES[name].kind)
    told += [GAP_NOTE] if name == "table5" else []
    assert table.notes == (spread_note(1), *kind.notes, *told)
    assert {block.dataset for block in table.blocks} == {"biased"}


@pytest.mark.parametrize("name", ["table1", "table2", "table5", "table8"])
def test_two_data_sets_are_two_blocks_and_one_on_both_sides_is_one(
    two: Results, assembled: Assembled, name: str
) -> None:
    table = assembled(name, two, "pets", "cars", ("a", "b"))
    assert [block.dataset for block in table.blocks if block.measure == "top1"] == ["pets", "cars"]
    single = assembled(name, two, "pets", "pets", ("a", "b"))
    assert [block.dataset for block in single.blocks if block.measure == "top1"] == ["pets"]
    assert single.blocks[0] == table.blocks[0]
    assert to_markdown(single).count("## pets: top-1") == 1


def test_tables_5_and_8_are_table_1_on_other_data_sets(two: Results, assembled: Assembled) -> None:
    first, *others = (
        assembled(name, two, "pets", "cars", ("a", "b")).blocks for name in ("table1", "table5", "table8")
    )
    fine, further = others
    assert further == first
    assert (fine[:-1], fine[-1].measure) == (first, "gap")
    assert fine[-1].rows == ("table1/pets", "table1/cars", "pets", "cars", "gap")


def test_table_3_shows_the_ablations_of_the_settings(three: Results, assembled: Assembled) -> None:
    same, cross = assembled("table3", three, "pets", "pets", MODELS, variants=VARIANTS).blocks
    assert same.rows == ("method", *VARIANTS, "full")
    assert cross.rows == ("method", *VARIANTS)


def test_every_table_of_the_embedded_suite_lists_its_cells_from_the_settings(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "empty")
    settings = parse_params(read_suite("embedded"))
    for name in TABLES:
        with pytest.raises(MissingFileError) as caught:
            assemble(name, Results(layout), settings, {})
        assert layout.stage(caught.value.path) is not None


def test_the_notes_say_what_a_stand_in_is(three: Results, assembled: Assembled) -> None:
    captions = {"pets": "ten procedural shapes, in place of ImageNet", "cars": "not shown", "biased": ""}
    table = assembled("table8", three, "pets", "biased", MODELS, captions=captions)
    assert table.notes[-1] == "pets: ten procedural shapes, in place of ImageNet."
    assert len(table.notes) == 2 + len(KINDS["same_model"].notes)


def test_there_is_no_other_table(params: Settings, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'table12' is no table; there are: table1, .*table11"):
        assemble("table12", Results(Layout(tmp_path, "x")), params(), {})


# What is missing


@pytest.mark.parametrize("name", ["table1", "table2"])
@pytest.mark.parametrize(
    ("kind", "dataset", "backbone"),
    [("probe", "pets", "b"), ("probe", "cars", "a"), ("baselines", "cars", "b")],
)
def test_a_missing_cell_names_its_file_and_its_stage(
    two: Results, assembled: Assembled, name: str, kind: str, dataset: str, backbone: str
) -> None:
    path = getattr(two.layout.cell(dataset, backbone), kind)
    path.unlink()
    with pytest.raises(MissingFileError) as caught:
        assembled(name, two, "pets", "cars", ("a", "b"))
    assert caught.value.path == path
    assert two.layout.stage(path) == f"{kind}@{dataset}-{backbone}"


@pytest.mark.parametrize(
    ("name", "kind", "place", "stage"),
    [
        ("table3", "probe", ("pets", "b", "ablation/no_augment"), "probe_ablation@pets-b-no_augment"),
        ("table3", "probe", ("pets", "c"), "probe@pets-c"),
        ("table5", "baselines", ("pets", "a"), "baselines@pets-a"),
        ("table6", "alignment", ("pets",), "align@pets"),
        ("table7", "probe", ("pets", "a"), "probe@pets-a"),
    ],
)
def test_every_kind_of_missing_cell_names_its_file_and_its_stage(
    three: Results, assembled: Assembled, name: str, kind: str, place: tuple[str, ...], stage: str
) -> None:
    path = getattr(three.layout.cell(*place), kind)
    path.unlink()
    with pytest.raises(MissingFileError) as caught:
        assembled(name, three, "pets", "pets", MODELS, variants=VARIANTS)
    assert caught.value.path == path
    assert three.layout.stage(path) == stage


def test_a_cell_without_a_wanted_backbone_names_its_stage(two: Results, assembled: Assembled) -> None:
    path = two.layout.cell("cars", "a").probe
    content = read_json(path)
    del content["targets"]["b"]
    write_json(path, content)
    with pytest.raises(StaleFileError) as caught:
        assembled("table2", two, "pets", "cars", ("a", "b"))
    assert two.layout.stage(caught.value.path) == "probe@cars-a"


@pytest.mark.parametrize(
    ("kind", "keys"),
    [("probe", ("targets", "a", "distilled")), ("baselines", ("full",)), ("baselines", ("majority",))],
)
def test_table_4_of_a_cell_from_before_worst_groups_names_its_stage(
    three: Results, assembled: Assembled, kind: str, keys: tuple[str, ...]
) -> None:
    path = getattr(three.layout.cell("biased", "a"), kind)
    content = part = read_json(path)
    for key in keys:
        part = part[key]
    del part["balanced"]
    write_json(path, content)
    with pytest.raises(StaleFileError, match="balanced") as caught:
        assembled("table4", three, "biased", "biased", MODELS)
    assert caught.value.path == path
    assert three.layout.stage(path) == f"{kind}@biased-a"


# Tables that are left out


@pytest.mark.parametrize("name", TABLES)
def test_a_table_whose_places_are_all_none_says_so_in_its_files(
    suite: dict[str, Any], tmp_path: Path, name: str
) -> None:
    suite["tables"][name] = left_out(suite["tables"][name])
    suite["variants"]["ablation"] = {}
    settings = parse_params(suite)
    table = assemble(name, Results(Layout(tmp_path, "empty")), settings, {})
    assert (table.title, table.blocks) == (TABLES[name].title, ())
    said = f"{name} is left out: its data set in the settings is none."
    assert said in to_markdown(table)
    assert said in to_latex(table)
    assert len(to_csv(table).splitlines()) == 1
    assert to_metrics(table) == {}


@pytest.mark.parametrize("place", ["left", "right"])
def test_one_place_that_is_none_leaves_the_other(two: Results, suite: dict[str, Any], place: str) -> None:
    shown_settings(suite, "pets", "cars", ("a", "b"))
    suite["tables"]["table1"][place] = "none"
    table = assemble("table1", two, parse_params(suite), {})
    assert [block.dataset for block in table.blocks] == ["cars" if place == "left" else "pets"]


# Tables of one's own


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_a_table_of_ones_own_is_of_its_kind(three: Results, assembled: Assembled, kind: str) -> None:
    captions = {"biased": "of one's own"}
    table = assembled("mine", three, "biased", "biased", MODELS, own={"mine": kind}, captions=captions)
    assert (table.name, table.title) == ("mine", "mine")
    told = told_of_biased(three, kind)
    assert table.notes == (spread_note(1), *KINDS[kind].notes, *told, "biased: of one's own.")
    same = next(name for name, row in TABLES.items() if row.kind == kind)
    assert table.blocks == assembled(same, three, "biased", "biased", MODELS).blocks


def test_a_table_of_ones_own_shows_two_data_sets_where_the_papers_shows_one(
    three: Results, assembled: Assembled
) -> None:
    table = assembled("mine", three, "pets", "biased", MODELS, own={"mine": "matrices"})
    assert [block.dataset for block in table.blocks] == ["pets"] * 6 + ["biased"] * 6
    assert table.blocks[6:] == matrix_blocks(three, "biased", Compared(MODELS, table="mine"))


def test_no_published_value_stands_beside_a_table_of_ones_own(papers: Results, assembled: Assembled) -> None:
    mine = assembled("mine", papers, "cub", "cub", PAPER_BACKBONES, own={"mine": "same_model"})
    assert "original" not in to_markdown(mine)
    assert "original" in to_markdown(assembled("table5", papers, "cub", "cub", PAPER_BACKBONES))


def test_a_table_of_ones_own_may_show_nothing(suite: dict[str, Any], tmp_path: Path) -> None:
    suite["own_tables"] = {"mine": {"kind": "pairs", "left": "none", "right": "none"}}
    table = assemble("mine", Results(Layout(tmp_path, "empty")), parse_params(suite), {})
    assert table.blocks == ()
    assert "mine is left out" in to_markdown(table)


def test_tables_of_ones_own_are_among_those_there_are(suite: dict[str, Any]) -> None:
    suite["own_tables"] = {"mine": {"kind": "pairs", "left": "shapes", "right": "digits"}}
    settings = parse_params(suite)
    row, shown = table_of("mine", settings)
    assert (row.kind, row.title, shown.datasets) == ("pairs", "mine", ("shapes", "digits"))
    with pytest.raises(InputError, match=r"'yours' is no table; there are: table1, .*mine"):
        table_of("yours", settings)


# Settings that make no table


@pytest.mark.parametrize("name", ["embedded", "imagenette", "shapes", "cifar10", "paper"])
def test_the_suites_are_right(name: str) -> None:
    content = YAML(typ="safe").load((ROOT / f"suites/{name}.yaml").read_text(encoding="utf-8"))
    check_tables(parse_params(content))


def test_an_unknown_table_is_refused(suite: dict[str, Any]) -> None:
    suite["tables"]["table12"] = {"left": "shapes", "right": "digits"}
    with pytest.raises(KeyFaultError, match=r"unknown key tables\.table12; allowed: table1, .*table11\."):
        check_tables(parse_params(suite))


@pytest.mark.parametrize(
    ("name", "places"),
    [("table5", "left: none, right: none"), ("table3", r"dataset: none, backbones: \[\]")],
)
def test_a_missing_table_is_refused_and_told_how_to_leave_it_out(
    suite: dict[str, Any], name: str, places: str
) -> None:
    del suite["tables"][name]
    told = rf"missing key tables\.{name}; {places} leaves it out\."
    with pytest.raises(KeyFaultError, match=told):
        check_tables(parse_params(suite))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("table1", {"left": "shapes"}),
        ("table1", {"dataset": "shapes"}),
        ("table2", {"left": "shapes", "right": "digits", "source": "lite0"}),
        ("table6", {"left": "shapes", "right": "digits"}),
    ],
)
def test_a_half_filled_table_is_refused(suite: dict[str, Any], name: str, shown: dict[str, str]) -> None:
    suite["tables"][name] = shown
    with pytest.raises(SettingError) as caught:
        check_tables(parse_params(suite))
    error = caught.value
    assert (error.key, error.given) == (f"tables.{name}", shown)
    assert error.allowed == f"a mapping of {', '.join(TABLES[name].places)}"


def test_the_kind_of_a_table_of_the_paper_is_not_a_setting(suite: dict[str, Any]) -> None:
    suite["tables"]["table1"]["kind"] = "pairs"
    with pytest.raises(KeyFaultError, match=r"unknown key tables\.table1\.kind; allowed: left, right"):
        check_tables(parse_params(suite))


@pytest.mark.parametrize("kind", ["ablation", "matrix", None])
def test_another_kind_of_ones_own_is_refused(suite: dict[str, Any], kind: str | None) -> None:
    shown = {"left": "shapes", "right": "digits"} | ({"kind": kind} if kind else {})
    suite["own_tables"] = {"mine": shown}
    with pytest.raises(SettingError) as caught:
        check_tables(parse_params(suite))
    assert (caught.value.key, caught.value.given) == ("own_tables.mine.kind", kind)
    assert caught.value.allowed == "same_model | spurious | cross_model | pairs | matrices"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mine", {"left": "shapes"}),
        ("mine", {"dataset": "shapes"}),
        ("mine", {"left": "shapes", "right": "digits", "source": "lite0"}),
        ("table1", {"left": "shapes", "right": "digits"}),
    ],
)
def test_a_half_filled_table_of_ones_own_or_one_named_as_the_papers_is_refused(
    suite: dict[str, Any], name: str, shown: dict[str, str]
) -> None:
    suite["own_tables"] = {name: {"kind": "pairs", **shown}}
    with pytest.raises(SettingError) as caught:
        check_tables(parse_params(suite))
    assert caught.value.key == f"own_tables.{name}"


@pytest.mark.parametrize("name", ["full", "average"])
def test_a_backbone_cannot_take_the_name_of_a_row_or_column(params: Settings, name: str) -> None:
    with pytest.raises(InputError, match=name):
        params(backbones={name: "efficientnet_lite0"})


def test_every_table_says_what_its_spread_is() -> None:
    assert "one distillation" in spread_note(1)
    assert "over 3 distillations" in spread_note(3)


def test_reported_values_come_with_what_they_are(papers: Results, assembled: Assembled) -> None:
    names = tuple(PAPER_BACKBONES)
    for name in ("table1", "table2", "table5"):
        assert REPORTED_NOTE in assembled(name, papers, "imagenet100", "cub", names).notes
    assert REPORTED_NOTE not in assembled("table6", papers, "imagenet100", "cub", names).notes
