"""Every kind of value is checked wherever it stands in the file, by its dotted name."""

from __future__ import annotations

import math

import pytest
from settings.suite_values import Make, nested, paths_of

from lgm_core.foundation.errors import InputError
from lgm_core.settings.method import AugmentSettings

NUMBERS, INTEGERS, FLAGS = paths_of(float), paths_of(int), paths_of(bool)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.1", None, [0.1], 10**400, 1j])
@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_number_must_be_a_finite_number(params: Make, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: a number" in str(error.value)


@pytest.mark.parametrize("value", [True, False, 2.0, "2", None, [2], math.nan, -1, 2**31])
@pytest.mark.parametrize("path", INTEGERS, ids=".".join)
def test_whole_number_must_be_one_and_in_range(params: Make, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: a whole number from" in str(error.value)


@pytest.mark.parametrize("value", [0, 1, "true", "yes", None, 1.0])
@pytest.mark.parametrize("path", FLAGS, ids=".".join)
def test_flag_must_be_true_or_false(params: Make, path: tuple[str, ...], value: object) -> None:
    with pytest.raises(InputError) as error:
        params(**nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: true or false" in str(error.value)


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in NUMBERS
        if path[-1] not in {"learning_rate", "holdout", "minutes"} and path[0] != "variants"
    ],
    ids=".".join,
)
def test_whole_value_serves_as_a_number(params: Make, path: tuple[str, ...]) -> None:
    params(**nested(path, 0))


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
        params(**nested(path, value))
    assert f"{'.'.join(path)} is {value!r}; allowed: a number from 0 to 1" in str(error.value)
    params(**nested(path, 0))
    params(**nested(path, 1))


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
        (("real_batch",), 0, "from 1, or 'all', or 'views'"),
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
        params(**nested(path, value))
    message = str(error.value)
    assert message.startswith(".".join(path))
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


def test_augment_none_the_whole_bank_and_as_many_as_views_are_words(params: Make) -> None:
    assert params(augment="none").method.augment == "none"
    for size in ("all", "views", 7):
        assert params(real_batch=size).method.real_batch == size


def test_augment_becomes_settings_of_its_own(params: Make) -> None:
    assert params(augment={"crop_scale": [0.08, 1]}).method.augment == AugmentSettings(
        flip_probability=0.5,
        crop_scale=(0.08, 1.0),
        crop_ratio=(0.75, 1.3333),
        crop_overhang=False,
        noise_mean=0.0,
        noise_std=0.1,
        noise_probability=0.5,
    )
