"""A params file is checked once, by name: what is wrong is named with its value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError
from lgm_core.settings import checks
from lgm_core.settings.method import METHOD_KEYS, AugmentSettings, MethodSettings, with_overrides
from lgm_core.settings.params import Params, parse_params

Make = Callable[..., Params]
SUITES = Path(__file__).resolve().parents[2] / "suites"
EMBEDDED: dict[str, Any] = YAML(typ="safe").load((SUITES / "embedded.yaml").read_text(encoding="utf-8"))


def _leaves(mapping: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting of the file: its path and its value; lists count as one setting."""
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _leaves(value, *path, key)
        else:
            yield (*path, key), value


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value


def _owner(mapping: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The group that holds the last key of `path`."""
    for key in path[:-1]:
        mapping = mapping[key]
    return mapping


def _paths_of(kind: type) -> list[tuple[str, ...]]:
    return [path for path, value in _leaves(EMBEDDED) if type(value) is kind]


NUMBERS, INTEGERS, FLAGS = _paths_of(float), _paths_of(int), _paths_of(bool)
GROUPS = [("probe",), ("probe", "augment"), ("augment",), ("alignment",), ("tables",), ("tables", "table1")]
# Data sets, backbones and variants are named freely, so their entries are no fixed keys.
FIXED_KEYS = [(key,) for key in EMBEDDED] + [
    path
    for path, _ in _leaves(EMBEDDED)
    if len(path) > 1 and path[0] not in {"datasets", "backbones", "variants"}
]


@pytest.mark.parametrize("file", sorted(SUITES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_parses_and_is_named_like_its_file(file: Path) -> None:
    assert parse_params(YAML(typ="safe").load(file.read_text(encoding="utf-8"))).suite == file.stem


def test_every_value_of_the_file_arrives(suite: dict[str, Any]) -> None:
    parsed = asdict(parse_params(suite))
    parsed |= parsed.pop("method")
    for path, value in _leaves(suite):
        found = _owner(parsed, path)[path[-1]]
        if path[0] in {"datasets", "backbones"}:
            assert found == {"source": value}
        else:
            assert found == (tuple(value) if isinstance(value, list) else value), path


@pytest.mark.parametrize("path", FIXED_KEYS, ids=".".join)
def test_missing_key_is_named(suite: dict[str, Any], path: tuple[str, ...]) -> None:
    del _owner(suite, path)[path[-1]]
    with pytest.raises(InputError, match=rf"missing key {'.'.join(path)}; .*suites/"):
        parse_params(suite)


def test_all_missing_keys_are_named_at_once(suite: dict[str, Any]) -> None:
    del suite["probe"]["epochs"], suite["probe"]["seeds"]
    with pytest.raises(InputError, match=r"missing key probe\.epochs, probe\.seeds;"):
        parse_params(suite)


@pytest.mark.parametrize("path", [(), *GROUPS], ids=".".join)
def test_unknown_key_is_named_with_the_known_ones(suite: dict[str, Any], path: tuple[str, ...]) -> None:
    group = _owner(suite, (*path, "?"))
    known = list(group)
    group["aug_round"] = 5
    with pytest.raises(InputError, match=rf"unknown key {'.'.join((*path, 'aug_round'))};") as error:
        parse_params(suite)
    assert all(key in str(error.value) for key in known)


@given(st.text(max_size=12).filter(lambda key: key not in EMBEDDED) | st.integers() | st.none())
def test_no_unknown_key_is_ever_accepted(key: Any) -> None:
    with pytest.raises(InputError, match="unknown key"):
        parse_params({**EMBEDDED, key: 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.1", None, [0.1], 10**400, 1j])
@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_number_must_be_a_finite_number(params: Make, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**_nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: a number" in str(error.value)


@pytest.mark.parametrize("value", [True, False, 2.0, "2", None, [2], math.nan, -1, 2**31])
@pytest.mark.parametrize("path", INTEGERS, ids=".".join)
def test_whole_number_must_be_one_and_in_range(params: Make, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**_nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: a whole number from" in str(error.value)


@pytest.mark.parametrize("value", [0, 1, "true", "yes", None, 1.0])
@pytest.mark.parametrize("path", FLAGS, ids=".".join)
def test_flag_must_be_true_or_false(params: Make, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**_nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: true or false" in str(error.value)


@pytest.mark.parametrize(
    "path",
    [path for path in NUMBERS if path[-1] not in {"learning_rate", "holdout", "minutes"}],
    ids=".".join,
)
def test_whole_value_serves_as_a_number(params: Make, path: tuple[str, ...]) -> None:
    params(**_nested(path, 0))


PROBABILITIES = [path for path in NUMBERS if path[-1].endswith("probability")]
CHOICES = {
    "head_init": ("normal", "linear"),
    "parameterization": ("pyramid", "pixels"),
    "init": ("normal", "zero"),
    "optimizer": ("adam", "sgd"),
    "learning_rate_schedule": ("constant", "cosine"),
    "normalization": ("pretrained", "imagenet"),
}


@pytest.mark.parametrize("value", [-0.001, 1.001, 2])
@pytest.mark.parametrize("path", PROBABILITIES, ids=".".join)
def test_probability_lies_between_0_and_1(params: Make, path: tuple[str, ...], value: float) -> None:
    with pytest.raises(InputError) as error:
        params(**_nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: a number from 0 to 1" in str(error.value)
    params(**_nested(path, 0))
    params(**_nested(path, 1))


@pytest.mark.parametrize(
    ("path", "value", "allowed"),
    [
        (("learning_rate",), 0, "above 0"),
        (("learning_rate",), -0.1, "above 0"),
        (("probe", "learning_rate"), 0.0, "above 0"),
        (("head_std",), -0.01, "from 0"),
        (("probe", "head_std"), -1, "from 0"),
        (("augment", "noise_std"), -0.2, "from 0"),
        (("probe", "holdout"), 0, "above 0 to 0.5"),
        (("probe", "holdout"), 0.51, "above 0 to 0.5"),
        (("resolution",), 7, "from 8 to 4096"),
        (("resolution",), 4097, "from 8 to 4096"),
        (("input_size",), 7, "from 8 to 4096"),
        (("ipc",), 0, "from 1"),
        (("steps",), 0, "from 1"),
        (("aug_rounds",), 0, "from 1"),
        (("head_draws",), 0, "from 1"),
        (("real_rounds",), 0, "from 1"),
        (("growth_interval",), 0, "from 1"),
        (("pyramid_start",), 0, "from 1"),
        (("alignment", "samples"), 1, "from 2"),
        (("alignment", "neighbors"), 0, "from 1"),
        (("real_batch",), 0, "from 1, or 'all'"),
        (("real_batch",), "whole", "'all'"),
        (("real_batch",), True, "'all'"),
        (("real_batch",), 2.5, "'all'"),
        (("augment",), "off", "a mapping of settings, or 'none'"),
        (("augment",), None, "a mapping of settings, or 'none'"),
        (("augment",), False, "a mapping of settings, or 'none'"),
        (("augment", "crop_scale"), [0.0, 1.0], "above 0 to 1"),
        (("augment", "crop_scale"), [0.5, 1.1], "above 0 to 1"),
        (("augment", "crop_scale"), [0.9, 0.5], "low then high"),
        (("augment", "crop_scale"), [0.5], "low then high"),
        (("augment", "crop_scale"), [0.1, 0.2, 0.3], "low then high"),
        (("augment", "crop_scale"), 0.5, "low then high"),
        (("augment", "crop_scale"), "ab", "low then high"),
        (("augment", "crop_scale"), [0.5, math.nan], "a number"),
        (("augment", "crop_scale"), [True, 1.0], "a number"),
        (("augment", "crop_ratio"), [0, 1.0], "above 0"),
        (("augment", "crop_ratio"), [-1, 1.0], "above 0"),
        (("augment", "crop_ratio"), [1.0, math.inf], "a number"),
        (("probe", "augment"), "none", "a mapping"),
        (("probe",), [], "a mapping"),
        (("tables", "table1"), "shapes", "a mapping"),
        (("suite",), "a/b", "letters, digits"),
        (("suite",), "", "letters, digits"),
        (("suite",), 3, "letters, digits"),
        (("datasets",), {}, "at least one"),
        (("datasets",), [], "at least one"),
        (("datasets",), "toy:shapes", "at least one"),
        (("datasets", "shapes"), "", "a source"),
        (("datasets", "shapes"), " ", "a source"),
        (("datasets", "shapes"), 3, "a source"),
        (("datasets", "shapes"), {"path": "x"}, "a source"),
        (("datasets", "shapes"), {"source": 3}, "a "),
        (("datasets", "shapes"), {"source": " "}, "a "),
        (("backbones", "lite0"), None, "a source"),
        (("backbones", "lite0"), {"source": "timm:resnet18", "checkpoint": 3}, "text"),
        (("tables", "table1", "left"), "imagenet", "shapes, digits"),
        (("tables", "table2", "right"), "a b", "letters, digits"),
    ],
    ids=repr,
)
def test_bad_value_is_named_with_what_is_allowed(
    params: Make, path: tuple[str, ...], value: object, allowed: str
) -> None:
    with pytest.raises(InputError) as error:
        params(**_nested(path, value))
    message = str(error.value)
    assert message.startswith("params.yaml: " + ".".join(path))
    given_parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]
    assert repr(value) in message or any(repr(part) in message for part in given_parts)
    assert allowed in message.partition("allowed")[2]


@pytest.mark.parametrize("value", ["other", "", None, 1, True, ["normal"]])
@pytest.mark.parametrize("key", CHOICES)
def test_word_must_be_one_of_the_allowed(params: Make, key: str, value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**{key: value})
    message = str(error.value)
    assert f"{key} is {value!r}; allowed: " in message
    assert all(word in message for word in CHOICES[key])


@pytest.mark.parametrize(("key", "word"), [(key, word) for key, words in CHOICES.items() for word in words])
def test_every_allowed_word_is_accepted(params: Make, key: str, word: str) -> None:
    parsed = params(**{key: word})
    assert getattr(parsed, key, None) == word or getattr(parsed.method, key) == word


@pytest.mark.parametrize("group", ["datasets", "backbones"])
@pytest.mark.parametrize("name", ["a/b", "timm:resnet18", "lite@0", "a b", "ä", "", ".", "a.b", 7])
def test_names_of_data_sets_and_backbones_are_plain(params: Make, group: str, name: object) -> None:
    with pytest.raises(InputError) as error:
        params(**{group: {name: "digits"}})
    assert f"{group} is {name!r}; allowed: a name of letters, digits, '_' and '-'" in str(error.value)


def test_error_inside_augment_does_not_offer_none_for_the_inner_setting(params: Make) -> None:
    with pytest.raises(InputError) as error:
        params(augment={"flip_probability": 2})
    assert "'none'" not in str(error.value)


@pytest.mark.parametrize("size", [65, 100])
def test_input_larger_than_the_images_is_refused(params: Make, size: int) -> None:
    with pytest.raises(InputError, match=rf"input_size is {size}.*allowed: input_size ≤ resolution"):
        params(input_size=size)


def test_pyramid_cannot_start_beyond_the_resolution(params: Make) -> None:
    with pytest.raises(InputError, match=r"pyramid_start is 65; allowed: at most resolution, 64"):
        params(pyramid_start=65)
    assert params(pyramid_start=64).method.pyramid_start == 64


def test_augment_none_and_the_whole_bank_are_words(params: Make) -> None:
    method = params(augment="none", real_batch="all").method
    assert method.augment == "none"
    assert method.real_batch == "all"
    assert params(real_batch=7).method.real_batch == 7


def test_augment_becomes_a_spec(params: Make) -> None:
    assert params(augment={"crop_scale": [0.08, 1]}).method.augment == AugmentSettings(
        flip_probability=0.5,
        crop_scale=(0.08, 1.0),
        crop_ratio=(0.75, 1.3333),
        noise_mean=0.0,
        noise_std=0.1,
        noise_probability=0.5,
    )


def test_source_may_carry_further_keys(params: Make) -> None:
    backbones = params(backbones={"mine": {"source": "timm:resnet18", "checkpoint": "a.pth"}}).backbones
    assert backbones["mine"] == {"source": "timm:resnet18", "checkpoint": "a.pth"}


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_file_that_is_no_mapping_is_refused(content: object) -> None:
    with pytest.raises(InputError, match="allowed: a mapping of settings"):
        parse_params(content)


def test_specs_are_frozen(params: Make) -> None:
    with pytest.raises(FrozenInstanceError):
        params().method.steps = 1  # type: ignore[misc]


def test_parsing_leaves_the_given_mapping_alone(suite: dict[str, Any]) -> None:
    parse_params(suite)
    assert suite == EMBEDDED


def test_feature_spec_takes_what_the_cache_depends_on(params: Make) -> None:
    parsed = params(
        resolution=40, input_size=32, pyramid_start=2, real_rounds=3, probe={"full_view_rounds": 5}
    )
    spec = parsed.features()
    assert (spec.resolution, spec.input_size, spec.real_rounds, spec.full_view_rounds) == (40, 32, 3, 5)
    assert spec.augment == parsed.method.augment
    assert spec.full_augment == parsed.probe.augment


def test_feature_spec_ignores_what_only_distillation_reads(params: Make) -> None:
    changed = params(ipc=3, steps=7, aug_rounds=9, learning_rate=0.5, optimizer="sgd", head_std=1)
    assert changed.features() == params().features()


def test_override_replaces_one_setting(method: Callable[..., MethodSettings]) -> None:
    changed = with_overrides(method(), {"steps": 7, "augment": "none"})
    assert (changed.steps, changed.augment) == (7, "none")
    assert asdict(changed) | {"steps": 300, "augment": asdict(method())["augment"]} == asdict(method())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepz": 7}, "unknown key stepz; allowed: .*steps"),
        ({"steps": 0}, "steps is 0; allowed: a whole number from 1"),
        ({"input_size": 65}, "input_size is 65"),
        ({"ipc": 2}, "ipc is 2; allowed: no value of its own"),
        ({"augment": {"flip_probability": 1}}, r"missing key augment\.crop_scale"),
    ],
)
def test_override_is_checked_like_the_file(
    method: Callable[..., MethodSettings], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        with_overrides(method(), overrides)


def test_a_variant_is_the_method_with_its_overrides(params: Make) -> None:
    spec = params(
        variants={"ablation": {"blurry": {"pyramid_start": 4}}, "rounds": {"twice": {"aug_rounds": 2}}}
    )
    assert spec.variant("") == spec.method
    assert spec.variant("ablation/blurry") == replace(spec.method, pyramid_start=4)
    assert spec.variant("rounds/twice").aug_rounds == 2


@pytest.mark.parametrize("name", ["blurry", "ablation/blurrier", "other/blurry", "ablation"])
def test_an_unknown_variant_is_named_with_those_there_are(params: Make, name: str) -> None:
    spec = params(variants={"ablation": {"blurry": {"pyramid_start": 4}}})
    with pytest.raises(InputError, match=f"{name}.*ablation/blurry"):
        spec.variant(name)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"pyramid_start": 0}, r"variants\.ablation\.blurry\.pyramid_start is 0"),
        ({"probe": 3}, r"unknown key variants\.ablation\.blurry\.probe"),
        ({"resolution": 32}, r"variants\.ablation\.blurry\.resolution is 32"),
        ({"augment": {**EMBEDDED["augment"], "noise_std": 0.9}}, r"variants\.ablation\.blurry\.augment is"),
        ("pixels", r"variants\.ablation\.blurry is 'pixels'; allowed: a mapping"),
    ],
)
def test_a_variant_is_checked_when_the_file_is_read(params: Make, overrides: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        params(variants={"ablation": {"blurry": overrides}})


def test_tables_and_figures_show_what_the_file_lists(params: Make) -> None:
    with pytest.raises(
        InputError, match=r"figures\.figure8\.source is 'clip'; allowed: one of backbones: lite0"
    ):
        params(figures={"figure8": {"source": "clip"}})
    with pytest.raises(
        InputError, match=r"tables\.table7\.dataset is 'cub'; allowed: one of datasets: shapes"
    ):
        params(tables={"table7": {"dataset": "cub"}})


def test_figure8_alone_may_show_a_backbone_that_no_table_compares(params: Make) -> None:
    shown = {"dino": {"source": "dino"}}
    found = params(figure_backbones=shown, figures={"figure8": {"source": "dino"}})
    assert found.backbone("dino") == {"source": "dino"}
    assert found.backbone("lite0")["source"] == "efficientnet_lite0"
    assert (found.stage("features", "dino"), found.stage("features", "lite0")) == (
        "features_figure8",
        "features",
    )
    assert "dino" not in found.backbones
    with pytest.raises(InputError, match=r"'eva' is not among backbones.*lite0, lite1, lite2, dino"):
        found.backbone("eva")
    with pytest.raises(InputError, match=r"figures\.figure7\.source is 'dino'"):
        params(figure_backbones=shown, figures={"figure7": {"source": "dino"}})
    with pytest.raises(InputError, match=r"figure_backbones\.lite0 is 'lite0'; allowed: a name that"):
        params(figure_backbones={"lite0": {"source": "dino"}})
    with pytest.raises(InputError, match=r"figure_backbones is 3; allowed: a mapping from names, \{\}"):
        params(figure_backbones=3)


def test_method_keys_stand_at_the_top_of_the_file() -> None:
    assert set(METHOD_KEYS) <= set(EMBEDDED)


@given(st.integers())
def test_integer_accepts_exactly_its_range(value: int) -> None:
    check = checks.integer(-3, 5)
    if -3 <= value <= 5:
        assert check(value, "key") == value
    else:
        with pytest.raises(InputError, match=r"key is .*; allowed: a whole number from -3 to 5"):
            check(value, "key")


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers(-3, 3))
def test_number_accepts_exactly_its_range(value: float) -> None:
    check = checks.number(0, 2)
    if 0 <= value <= 2:
        assert check(value, "key") == value
    else:
        with pytest.raises(InputError, match=r"key is .*; allowed: a number from 0 to 2"):
            check(value, "key")


@pytest.mark.parametrize("value", ["", "  ", "\n", None, 3, ["a"]])
def test_text_must_not_be_empty(value: object) -> None:
    with pytest.raises(InputError, match=r"key is .*; allowed: a non-empty text"):
        checks.text(value, "key")
    assert checks.text("a b", "key") == "a b"


def test_field_with_a_default_may_be_left_out() -> None:
    @dataclass(frozen=True)
    class Spec:
        size: int = checks.setting(checks.integer(1))
        word: str = "default"

    assert checks.parse(Spec, {"size": 3}) == Spec(3, "default")
