"""A file of settings is checked once, by name: what is wrong is named with its value and what is allowed."""

from __future__ import annotations

import copy
import re
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from settings.suite_values import EMBEDDED, SUITES, Make, check_whole, leaves, left_out, owner

from lgm_core.foundation.errors import InputError, KeyFaultError, SettingError
from lgm_core.foundation.layout import RESERVED_DATASETS, RESERVED_SUITES
from lgm_core.settings.params import parse_params

SOURCES = ("datasets", "backbones")
GROUPS = [("probe",), ("probe", "augment"), ("augment",), ("alignment",), ("tables",), ("tables", "table1")]
# Data sets, backbones, ensembles and variants are named freely, so their entries are no fixed keys.
FREE = {*SOURCES, "variants", "ensembles"}
FIXED_KEYS = [
    *((key,) for key in EMBEDDED),
    *(("variants", group) for group in EMBEDDED["variants"]),
    *((part, name) for part in ("tables", "figures") for name in EMBEDDED[part]),
    *(path for path, _ in leaves(EMBEDDED) if len(path) > 1 and path[0] not in {*FREE, "tables", "figures"}),
]
PLACES = [path for path, _ in leaves(EMBEDDED) if path[0] in {"tables", "figures"}]


@pytest.mark.parametrize("file", SUITES, ids=lambda path: path.stem)
def test_every_suite_parses_and_is_named_like_its_file(file: Path) -> None:
    assert check_whole(YAML(typ="safe").load(file.read_text(encoding="utf-8"))).suite == file.stem


def test_every_value_of_the_file_arrives(suite: dict[str, Any]) -> None:
    parsed = asdict(parse_params(suite))
    parsed |= parsed.pop("method")
    for path, value in leaves(suite):
        found = owner(parsed, path)[path[-1]]
        if path[0] == "ensembles":
            assert list(found) == value
        elif path[0] in SOURCES:
            assert {key: part for key, part in found.items() if part is not None} == {"source": value}
        else:
            assert found == (tuple(value) if isinstance(value, list) else value), path


@pytest.mark.parametrize("path", FIXED_KEYS, ids=".".join)
def test_missing_key_is_named(suite: dict[str, Any], path: tuple[str, ...]) -> None:
    del owner(suite, path)[path[-1]]
    with pytest.raises(KeyFaultError) as caught:
        check_whole(suite)
    assert (caught.value.fault, caught.value.keys) == ("missing", [".".join(path)])
    repair = "leaves it out" if path[0] in {"tables", "figures"} and len(path) > 1 else "states every key"
    assert re.fullmatch(rf"missing key {'.'.join(path)}; .*{repair}\.", str(caught.value))


@pytest.mark.parametrize("path", PLACES, ids=".".join)
def test_missing_place_of_a_table_or_figure_is_named(suite: dict[str, Any], path: tuple[str, ...]) -> None:
    places = ", ".join(owner(suite, path))
    del owner(suite, path)[path[-1]]
    with pytest.raises(SettingError) as caught:
        check_whole(suite)
    assert str(caught.value).startswith(f"{'.'.join(path[:-1])} is ")
    assert re.search(rf"; allowed: a mapping of .*{places}", str(caught.value))


def test_all_missing_keys_are_named_at_once(suite: dict[str, Any]) -> None:
    del suite["probe"]["epochs"], suite["probe"]["seeds"]
    with pytest.raises(InputError, match=r"missing key probe\.epochs, probe\.seeds;"):
        parse_params(suite)
    del suite["seed"], suite["alignment"]
    with pytest.raises(InputError, match="missing key seed, alignment;"):
        parse_params(suite)


@pytest.mark.parametrize("path", [(), *GROUPS], ids=".".join)
def test_unknown_key_is_named_with_the_known_ones(suite: dict[str, Any], path: tuple[str, ...]) -> None:
    group = owner(suite, (*path, "?"))
    known = list(group)
    group["aug_round"] = {"left": "shapes"} if path == ("tables",) else 5
    with pytest.raises(InputError, match=rf"unknown key {'.'.join((*path, 'aug_round'))};") as error:
        check_whole(suite)
    assert all(key in str(error.value) for key in known)


@given(st.text(max_size=12).filter(lambda key: key not in EMBEDDED) | st.integers() | st.none())
def test_no_unknown_key_is_ever_accepted(key: Any) -> None:
    with pytest.raises(InputError, match="unknown key"):
        parse_params({**EMBEDDED, key: 1})


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_file_that_is_no_mapping_is_refused(content: object) -> None:
    with pytest.raises(InputError, match=r"the file is .*; allowed: a mapping of settings"):
        parse_params(content)


def test_settings_are_frozen(params: Make) -> None:
    with pytest.raises(FrozenInstanceError):
        params().method.steps = 1  # type: ignore[misc]


def test_parsing_leaves_the_given_mapping_alone(suite: dict[str, Any]) -> None:
    before = copy.deepcopy(suite)
    parse_params(suite)
    assert suite == before


def test_feature_settings_are_what_the_cache_depends_on(params: Make) -> None:
    parsed = params(
        resolution=40, input_size=32, pyramid_start=2, real_rounds=3, probe={"full_view_rounds": 5}
    )
    spec = parsed.features()
    assert (spec.resolution, spec.input_size, spec.real_rounds, spec.full_view_rounds) == (40, 32, 3, 5)
    assert spec.augment == parsed.method.augment
    assert spec.full_augment == parsed.probe.augment


def test_feature_settings_ignore_what_only_distillation_reads(params: Make) -> None:
    changed = params(ipc=3, steps=7, aug_rounds=9, learning_rate=0.5, optimizer="sgd", head_std=1)
    assert changed.features() == params().features()


# Names that would stand for two things at once


@pytest.mark.parametrize("name", ["none", *RESERVED_DATASETS])
def test_no_data_set_is_named_like_something_else(suite: dict[str, Any], name: str) -> None:
    suite["datasets"][name] = "toy:shapes"
    told = rf"datasets\.{name} is '{name}'; allowed: a name other than none, tables, figures"
    with pytest.raises(InputError, match=told):
        parse_params(suite)


@pytest.mark.parametrize("name", ["none", "full", "average"])
def test_no_backbone_is_named_like_a_row_or_column_of_a_table(suite: dict[str, Any], name: str) -> None:
    suite["backbones"][name] = "efficientnet_lite0"
    told = rf"backbones\.{name} is '{name}'; allowed: a name other than none, full, average"
    with pytest.raises(InputError, match=told):
        parse_params(suite)


@pytest.mark.parametrize("name", ["none", "lite0"])
def test_no_backbone_of_figure_8_is_named_like_one_of_the_tables(suite: dict[str, Any], name: str) -> None:
    suite["figure_backbones"][name] = "dino"
    told = rf"figure_backbones\.{name} is '{name}'; allowed: a name other than none, lite0, lite1, lite2"
    with pytest.raises(InputError, match=told):
        parse_params(suite)


@pytest.mark.parametrize("name", RESERVED_SUITES)
def test_no_suite_is_named_like_a_folder_beside_the_suites(params: Make, name: str) -> None:
    with pytest.raises(InputError, match=f"suite is '{name}'; allowed: a name other than {name}"):
        params(suite=name)


# Overrides of data sets, and variants


def test_a_data_sets_own_settings_replace_the_methods(params: Make) -> None:
    parsed = params(dataset_overrides={"shapes": {"aug_rounds": 3, "real_batch": 60}})
    assert (parsed.for_dataset("shapes").aug_rounds, parsed.for_dataset("shapes").real_batch) == (3, 60)
    assert parsed.for_dataset("digits") == parsed.method


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (3, r"dataset_overrides is 3; allowed: a mapping from data sets to settings, \{\} for none"),
        ({"shapes": 3}, r"dataset_overrides\.shapes is 3; allowed: a mapping of steps, aug_rounds"),
        ({"shapes": {"ipc": 2}}, r"dataset_overrides\.shapes is \{'ipc': 2\}; allowed: a mapping of steps"),
        ({"shapes": {"augment": "none"}}, r"dataset_overrides\.shapes is .*; allowed: a mapping of steps"),
        ({"shapes": {"steps": 0}}, r"dataset_overrides\.shapes\.steps is 0; allowed: a whole number from 1"),
        ({"cub": {"steps": 1}}, r"dataset_overrides is 'cub'; allowed: one of datasets: shapes, digits"),
    ],
)
def test_overrides_are_checked_when_the_file_is_read(params: Make, overrides: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        params(dataset_overrides=overrides)


def test_a_variant_is_the_method_with_its_changes(params: Make) -> None:
    parsed = params(
        variants={"ablation": {"blurry": {"pyramid_start": 4}}, "rounds": {"twice": {"aug_rounds": 2}}}
    )
    assert parsed.variant("") == parsed.method
    assert parsed.variant("ablation/blurry") == params(pyramid_start=4).method
    assert parsed.variant("rounds/twice") == params(aug_rounds=2).method


def test_a_variants_changes_go_before_a_data_sets_own_settings(params: Make) -> None:
    parsed = params(variants={"rounds": {"twice": {"aug_rounds": 2}}})
    own = {"aug_rounds": 7, "steps": 9}
    assert parsed.variant("", own) == params(aug_rounds=7, steps=9).method
    assert parsed.variant("rounds/twice", own) == params(aug_rounds=2, steps=9).method


def test_there_may_be_no_variants(params: Make) -> None:
    parsed = params(variants={"ablation": {}, "rounds": {}})
    assert (parsed.variants.ablation, parsed.variants.rounds) == ({}, {})
    with pytest.raises(InputError, match="'ablation/x' is no variant"):
        parsed.variant("ablation/x")


@pytest.mark.parametrize("name", ["blurry", "ablation/blurrier", "other/blurry", "ablation"])
def test_an_unknown_variant_is_named_with_those_there_are(params: Make, name: str) -> None:
    parsed = params(variants={"ablation": {"blurry": {"pyramid_start": 4}}})
    with pytest.raises(InputError, match=f"{name}.*ablation/blurry"):
        parsed.variant(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pyramid_start": 0}, r"variants\.ablation\.blurry\.pyramid_start is 0"),
        ({"probe": 3}, r"unknown key variants\.ablation\.blurry\.probe"),
        ({"resolution": 32}, r"variants\.ablation\.blurry\.resolution is 32"),
        ({"augment": {**EMBEDDED["augment"], "noise_std": 0.9}}, r"variants\.ablation\.blurry\.augment is"),
        ("pixels", r"variants\.ablation\.blurry is 'pixels'; allowed: a mapping"),
        ({}, r"variants\.ablation\.blurry is \{\}; allowed: a mapping"),
    ],
)
def test_a_variant_is_checked_when_the_file_is_read(params: Make, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        params(variants={"ablation": {"blurry": changes}})


@pytest.mark.parametrize(
    ("datasets", "backbones", "rounds"),
    [
        (("a", "a-b"), ("c", "b-c"), ()),
        (("a-1", "a"), ("1-b", "b"), ()),
        (("a",), ("b", "b-c"), ("c-d", "d")),
    ],
)
def test_names_that_join_to_one_stage_are_refused(
    suite: dict[str, Any], datasets: tuple[str, ...], backbones: tuple[str, ...], rounds: tuple[str, ...]
) -> None:
    """`probe@a-b-c` would be both of a under b-c and of a-b under c."""
    suite |= {"datasets": dict.fromkeys(datasets, "digits"), "ensembles": {}}
    suite["backbones"] = dict.fromkeys(backbones, "efficientnet_lite0")
    suite["variants"]["rounds"] = {name: {"aug_rounds": 1} for name in rounds}
    with pytest.raises(InputError, match=r"the names .* rename one of them"):
        parse_params(suite)


def test_a_variant_and_a_backbone_may_end_alike(suite: dict[str, Any]) -> None:
    """`probe@a-b-c` and `probe_rounds@a-b-c` are two stages."""
    suite |= {"datasets": {"a": "digits"}, "ensembles": {}}
    suite["backbones"] = dict.fromkeys(("b", "b-c"), "efficientnet_lite0")
    suite["variants"]["rounds"] = {"c": {"aug_rounds": 1}}
    for part in ("tables", "figures"):
        for shown in suite[part].values():
            shown |= left_out(shown)
    suite["variants"] = {name: {} for name in suite["variants"]} | {"rounds": {"c": {"aug_rounds": 1}}}
    parse_params(suite)
