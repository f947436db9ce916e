"""What tables and figures show: data sets and backbones that are listed, `none`, or a table of one's own."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from settings.suite_values import Make, check_whole, left_out

from lgm_core.foundation.errors import InputError
from lgm_core.reporting.figures import shown_datasets
from lgm_core.reporting.tables import OWN_KINDS, table_of
from lgm_core.settings.params import NOTHING, Shown
from lgm_core.settings.shown import MOST_CLASSES, shown_classes

PAIR = {"kind": "cross_model", "left": "shapes", "right": "digits"}


def test_places_are_those_that_were_given_and_the_kind_is_none() -> None:
    assert Shown("pairs", left="a", source="c").places == {"left": "a", "source": "c"}
    assert Shown(dataset="a").places == {"dataset": "a"}
    assert Shown().places == {}


@pytest.mark.parametrize(
    ("shown", "datasets"),
    [
        (Shown(left="a", right="b", source="net"), ("a", "b")),
        (Shown(left="a", right="a"), ("a",)),
        (Shown(left=NOTHING, right="b"), ("b",)),
        (Shown(left="a", right=NOTHING), ("a",)),
        (Shown(left=NOTHING, right=NOTHING), ()),
        (Shown(dataset=NOTHING), ()),
        (Shown(source="net"), ()),
    ],
)
def test_the_data_sets_shown_are_each_there_once_without_none(
    shown: Shown, datasets: tuple[str, ...]
) -> None:
    assert shown.datasets == datasets


def test_tables_and_figures_show_what_the_file_lists(params: Make) -> None:
    with pytest.raises(
        InputError, match=r"figures\.figure8\.source is 'clip'; allowed: one of backbones: lite0"
    ):
        params(figures={"figure8": {"source": "clip"}})
    with pytest.raises(
        InputError, match=r"tables\.table7\.dataset is 'cub'; allowed: one of datasets: shapes"
    ):
        params(tables={"table7": {"dataset": "cub"}})
    with pytest.raises(
        InputError, match=r"own_tables\.mine\.left is 'cub'; allowed: one of datasets: shapes"
    ):
        params(own_tables={"mine": {**PAIR, "left": "cub"}})


def test_figure8_alone_may_show_a_backbone_that_no_table_compares(params: Make) -> None:
    shown = {"dino": {"source": "dino"}}
    found = params(figure_backbones=shown, figures={"figure8": {"source": "dino"}})
    assert found.figures["figure8"].source == "dino"
    with pytest.raises(InputError, match=r"figures\.figure7\.source is 'dino'"):
        params(figure_backbones=shown, figures={"figure7": {"source": "dino"}})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("shapes", r"tables\.table1 is 'shapes'; allowed: a mapping of kind, dataset, left, right, source"),
        ([], r"tables\.table1 is \[\]; allowed: a mapping of"),
        (None, r"tables\.table1 is None; allowed: a mapping of"),
        ({"middle": "shapes"}, r"unknown key tables\.table1\.middle; allowed: kind, dataset, left, right"),
        ({"left": "a b", "right": "digits"}, r"tables\.table1\.left is 'a b'; allowed: a name of letters"),
        ({"left": ["shapes"], "right": "digits"}, r"tables\.table1\.left is \['shapes'\]; allowed: a name"),
    ],
)
def test_what_a_table_shows_is_checked(suite: dict[str, Any], value: object, message: str) -> None:
    suite["tables"]["table1"] = value
    with pytest.raises(InputError, match=message):
        check_whole(suite)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"left": "shapes"}, r"tables\.table1 is \{.*; allowed: a mapping of left, right\.$"),
        ({"dataset": "shapes"}, r"tables\.table1.*dataset.*; allowed: .*left, right\.$"),
        (PAIR, r"tables\.table1.*kind.*; allowed: .*left, right\.$"),
    ],
)
def test_a_table_of_the_paper_has_its_own_places_and_no_kind(
    suite: dict[str, Any], places: dict[str, str], message: str
) -> None:
    suite["tables"]["table1"] = places
    with pytest.raises(InputError, match=message):
        check_whole(suite)


# None


def test_none_leaves_a_place_empty(suite: dict[str, Any]) -> None:
    suite["tables"]["table1"]["right"] = NOTHING
    assert check_whole(suite).tables["table1"].datasets == ("shapes",)


def test_none_in_every_place_leaves_a_table_or_figure_out(suite: dict[str, Any]) -> None:
    suite["tables"]["table2"] = {"left": NOTHING, "right": NOTHING}
    suite["figures"]["figure7"] = {"left": NOTHING, "right": NOTHING, "source": NOTHING}
    params = check_whole(suite)
    assert params.tables["table2"].datasets == ()
    assert shown_datasets("figure7", params) == ()


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ({"dataset": NOTHING, "source": "lite0"}, "figures.figure4.source is 'lite0'"),
        ({"dataset": "shapes", "source": NOTHING}, "figures.figure4.source is 'none'"),
    ],
)
def test_a_figure_has_a_backbone_exactly_where_it_has_a_data_set(
    suite: dict[str, Any], places: dict[str, str], named: str
) -> None:
    suite["figures"]["figure4"] = places
    with pytest.raises(InputError, match=f"^{named}; allowed: none where the figure shows no data set"):
        check_whole(suite)


@pytest.mark.parametrize(
    ("part", "name", "key", "repair"),
    [
        ("tables", "table3", "variants.ablation", r"\{\} where Table 3 shows nothing"),
        ("figures", "figure3", "variants.rounds", r"\{\} where Figure 3 shows nothing"),
        ("figures", "figure8", "figure_backbones", r"\{\} where Figure 8 shows nothing"),
    ],
)
def test_what_only_an_empty_table_or_figure_shows_is_refused(
    suite: dict[str, Any], part: str, name: str, key: str, repair: str
) -> None:
    suite["figure_backbones"] = {"dino": "dino"}
    suite[part][name] = left_out(suite[part][name])
    if name == "table3":  # Figure 5 shows Table 3's data set
        suite["figures"]["figure5"]["source"] = NOTHING
    with pytest.raises(InputError, match=rf"^{key} is \[.*; allowed: {repair}"):
        check_whole(suite)


def test_figure5_shows_a_backbone_that_distils_the_ablation(suite: dict[str, Any]) -> None:
    suite["tables"]["table3"]["backbones"] = ["lite1", "lite2"]
    told = "figures.figure5.source is 'lite0'; allowed: one of tables.table3.backbones: lite1, lite2"
    with pytest.raises(InputError, match=told):
        check_whole(suite)


# Tables of one's own


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_a_table_of_ones_own_is_a_pair_of_any_kind(suite: dict[str, Any], kind: str) -> None:
    suite["own_tables"] = {"mine": {**PAIR, "kind": kind}, "half": {**PAIR, "right": NOTHING}}
    params = check_whole(suite)
    row, shown = table_of("mine", params)
    assert (row.kind, row.places, shown.datasets) == (kind, ("left", "right"), ("shapes", "digits"))
    assert params.own_tables["half"].datasets == ("shapes",)


@pytest.mark.parametrize(
    ("name", "shown", "message"),
    [
        (
            "mine",
            {"left": "shapes", "right": "digits"},
            r"own_tables\.mine\.kind is None; allowed: same_model",
        ),
        ("mine", {**PAIR, "kind": "ablation"}, r"own_tables\.mine\.kind is 'ablation'; allowed: same_model"),
        (
            "mine",
            {"kind": "pairs", "dataset": "shapes"},
            r"own_tables\.mine is .*; allowed: a name of its own",
        ),
        ("mine", {"kind": "pairs", "left": "shapes"}, r"own_tables\.mine is .*kind, left and right"),
        ("table1", PAIR, r"own_tables\.table1 is .*; allowed: a name of its own, and kind, left and right"),
        ("a/b", PAIR, r"own_tables is 'a/b'; allowed: a name of letters"),
        ("mine", {}, r"own_tables\.mine is \{\}; allowed: a mapping of kind"),
    ],
)
def test_a_table_of_ones_own_that_cannot_be_is_refused(
    suite: dict[str, Any], name: str, shown: dict[str, str], message: str
) -> None:
    suite["own_tables"] = {name: shown}
    with pytest.raises(InputError, match=message):
        check_whole(suite)


def test_own_tables_may_be_empty_but_not_absent(suite: dict[str, Any]) -> None:
    assert check_whole(suite).own_tables == {}
    suite["own_tables"] = None
    with pytest.raises(InputError, match=r"own_tables is None; allowed: a mapping from names, \{\} for none"):
        check_whole(suite)


# Classes in pictures


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 100, 1000])
def test_pictures_show_all_classes_or_ten_evenly_spaced(count: int) -> None:
    shown = shown_classes(count)
    assert len(shown) == min(count, MOST_CLASSES)
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1] < count) == (0, True)
    steps = {later - earlier for earlier, later in pairwise(shown)}
    assert max(steps, default=1) - min(steps, default=1) <= 1
