"""Settings of ensembles, objectives, images per class and recipes: what is taken, what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from settings.suite_values import check_whole, left_out

from lgm_core.foundation.errors import InputError, KeyFaultError, SettingError
from lgm_core.settings.method import MethodSettings
from lgm_core.settings.params import parse_params

RIDGE = {"objective": "ridge", "ridge_penalty": 1.0, "ridge_temperature": 0.0}


@pytest.fixture
def whole_suite(_embedded_suite: dict[str, Any]) -> dict[str, Any]:
    """The embedded suite with all its tables and figures; a test's own copy."""
    return copy.deepcopy(_embedded_suite)


def refused(suite: dict[str, Any], key: str) -> str:
    """The message of the settings' check, which names the key."""
    with pytest.raises(SettingError) as caught:
        check_whole(suite)
    assert caught.value.key == key
    return str(caught.value)


# Ensembles


def test_an_ensemble_is_a_list_or_has_weights(whole_suite: dict[str, Any]) -> None:
    whole_suite["ensembles"] = {"two": ["lite0", "lite2"], "uneven": {"lite1": 2, "lite0": 0.5}}
    params = parse_params(whole_suite)
    assert params.members("two") == {"lite0": 1.0, "lite2": 1.0}
    assert list(params.members("uneven").items()) == [("lite1", 2.0), ("lite0", 0.5)]
    assert params.members("lite1") == {"lite1": 1.0}
    with pytest.raises(InputError, match="'three' is not among backbones and ensembles; there are: lite0"):
        params.members("three")


@pytest.mark.parametrize(
    ("members", "key"),
    [
        (["lite0"], "ensembles.two"),
        (["lite0", "lite0"], "ensembles.two"),
        ("lite0", "ensembles.two"),
        (["lite0", "nonesuch"], "ensembles.two"),
        ({"lite0": 1, "lite1": 0}, "ensembles.two.lite1"),
        ({"lite0": 1, "lite1": "much"}, "ensembles.two.lite1"),
    ],
    ids=repr,
)
def test_what_is_no_ensemble_is_refused(whole_suite: dict[str, Any], members: Any, key: str) -> None:
    whole_suite["ensembles"] = {"two": members}
    refused(whole_suite, key)


@pytest.mark.parametrize("name", ["lite0", "none"])
def test_an_ensemble_is_not_named_like_something_else(whole_suite: dict[str, Any], name: str) -> None:
    whole_suite["ensembles"] = {name: ["lite0", "lite1"]}
    assert "a name other than" in refused(whole_suite, f"ensembles.{name}")


# What tables and figures show


@pytest.mark.parametrize(
    ("part", "name", "key"),
    [
        ("tables", "table9", "ensembles"),
        ("tables", "table10", "variants.objectives"),
        ("figures", "figure9", "variants.ipc"),
        ("figures", "figure10", "variants.recipes"),
    ],
)
def test_what_only_an_empty_table_or_figure_would_show_is_refused(
    part: str, name: str, key: str, whole_suite: dict[str, Any]
) -> None:
    shown = whole_suite[part][name]
    whole_suite[part][name] = left_out(shown)
    if name == "table9":
        whole_suite["variants"]["longer"] = {}
    assert "shows nothing" in refused(whole_suite, key)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("ensembles",), "ensembles"),
        (("variants", "ablation"), "variants.ablation"),
        (("variants", "rounds"), "variants.rounds"),
        (("variants", "longer"), "variants.longer"),
        (("variants", "objectives"), "variants.objectives"),
        (("variants", "ipc"), "variants.ipc"),
        (("variants", "recipes"), "variants.recipes"),
    ],
)
def test_a_table_or_figure_that_shows_a_data_set_has_something_to_show(
    keys: tuple[str, ...], name: str, whole_suite: dict[str, Any]
) -> None:
    place = whole_suite if len(keys) == 1 else whole_suite[keys[0]]
    place[keys[-1]] = {}
    whole_suite["tables"]["table11"]["sources"] = ["lite0"]
    assert "at least one where" in refused(whole_suite, name)


@pytest.mark.parametrize("sources", ["lite0", ["lite0", "lite0"], ["nonesuch"], []], ids=repr)
def test_the_judges_sources_are_a_list_of_sources(whole_suite: dict[str, Any], sources: Any) -> None:
    whole_suite["tables"]["table11"]["sources"] = sources
    refused(whole_suite, "tables.table11.sources")


@pytest.mark.parametrize("name", ["table3", "table9", "table10"])
@pytest.mark.parametrize("backbones", ["lite0", ["lite0", "lite0"], ["all"], [], "none"], ids=repr)
def test_variants_are_of_a_list_of_backbones(whole_suite: dict[str, Any], name: str, backbones: Any) -> None:
    whole_suite["tables"][name]["backbones"] = backbones
    refused(whole_suite, f"tables.{name}.backbones")


def test_a_judged_source_may_be_an_ensemble(whole_suite: dict[str, Any]) -> None:
    name = next(iter(whole_suite["ensembles"]))
    whole_suite["tables"]["table11"]["sources"] = ["lite1", name]
    assert check_whole(whole_suite).tables["table11"].sources == ("lite1", name)


# Objectives


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"objective": "means", "head_std": 0.1}, "head_std"),
        ({"objective": "means", "real_batch": 10}, "real_batch"),
        ({"objective": "means", "ridge_penalty": 1.0}, "ridge_penalty"),
        (
            {"objective": "ridge", "ridge_penalty": 1.0, "ridge_temperature": 0.0, "head_draws": 2},
            "head_draws",
        ),
        ({"objective": "ridge", "ridge_penalty": 1.0}, "ridge_temperature"),
        ({"objective": "ridge", "ridge_penalty": 0.0, "ridge_temperature": 0.0}, "ridge_penalty"),
        ({"objective": "gradient", "ridge_penalty": 1.0}, "ridge_penalty"),
        ({"objective": "gradient", "head_bank": 3, "head_draws": 4}, "head_bank"),
        ({"objective": "cosine"}, "objective"),
        ({"init": "real"}, "init"),
    ],
    ids=repr,
)
def test_a_variants_key_that_its_objective_does_not_read_is_refused(
    changes: dict[str, Any], key: str, whole_suite: dict[str, Any]
) -> None:
    whole_suite["variants"]["objectives"]["odd"] = changes
    refused(whole_suite, f"variants.objectives.odd.{key}")


def test_a_variant_with_another_objective_leaves_the_methods_own_keys_behind(
    whole_suite: dict[str, Any],
) -> None:
    whole_suite |= {"objective": "gradient", "head_bank": 64}
    whole_suite["variants"]["objectives"] = {"means": {"objective": "means"}}
    assert parse_params(whole_suite).variant("objectives/means").head_bank == 0


def test_the_methods_own_values_of_another_objective_are_refused() -> None:
    with pytest.raises(SettingError, match="head_bank is 5; allowed: 0 where objective is means"):
        MethodSettings.paper(objective="means", head_bank=5)
    with pytest.raises(SettingError, match="ridge_penalty is 'none'; allowed: a number"):
        MethodSettings.paper(objective="ridge", ridge_temperature=0.0)
    with pytest.raises(SettingError, match="slots is 'clusters'; allowed: shared where objective is ridge"):
        MethodSettings.paper(**RIDGE, slots="clusters", ipc=2)


# Images per class


def test_real_starts_and_more_images_belong_to_their_own_group(whole_suite: dict[str, Any]) -> None:
    whole_suite["variants"]["ipc"]["odd"] = {"ipc": 3, "init": "real", "slots": "clusters"}
    method = parse_params(whole_suite).variant("ipc/odd")
    assert (method.ipc, method.init, method.slots) == (3, "real", "clusters")
    whole_suite["variants"]["recipes"]["odd"] = {"ipc": 3}
    assert "all variants share one" in refused(whole_suite, "variants.recipes.odd.ipc")


def test_the_methods_own_start_is_not_real(whole_suite: dict[str, Any]) -> None:
    whole_suite["init"] = "real"
    assert "variants.ipc" in refused(whole_suite, "init")


def test_a_point_of_the_curve_says_how_many_images(whole_suite: dict[str, Any]) -> None:
    whole_suite["variants"]["ipc"]["odd"] = {"slots": "clusters"}
    assert "with ipc among them" in refused(whole_suite, "variants.ipc.odd")


def test_two_points_of_a_line_at_one_place_are_refused(whole_suite: dict[str, Any]) -> None:
    whole_suite["variants"]["ipc"] = {"one": {"ipc": 2, "aug_rounds": 2}, "odd": {"ipc": 2, "aug_rounds": 3}}
    assert "another ipc" in refused(whole_suite, "variants.ipc.odd")


def test_an_unknown_group_of_variants_is_named(whole_suite: dict[str, Any]) -> None:
    whole_suite["variants"]["reciepes"] = {}
    with pytest.raises(KeyFaultError, match=r"unknown key variants\.reciepes"):
        check_whole(whole_suite)
