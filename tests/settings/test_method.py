"""The method's settings: consistent, with the paper's at hand, and changed only under the same checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from settings.suite_values import EMBEDDED, Make, read_suite

from lgm_core.foundation.errors import InputError
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.method import METHOD_KEYS, MethodSettings, with_overrides
from lgm_core.settings.params import parse_params

PAPER = read_suite("paper")


def assert_agree(found: dict[str, Any], stated: dict[str, Any]) -> None:
    """Nested settings agree; 4/3 is written with four decimals in the file."""
    assert found.keys() == stated.keys()
    for key, value in found.items():
        if isinstance(value, dict):
            assert_agree(value, stated[key])
        elif isinstance(value, tuple):
            assert list(value) == pytest.approx(stated[key], abs=5e-5), key
        else:
            assert value == stated[key], key


def test_method_keys_stand_at_the_top_of_the_file() -> None:
    assert set(METHOD_KEYS) <= set(EMBEDDED)


@pytest.mark.parametrize("size", [65, 100])
def test_input_larger_than_the_images_is_refused(params: Make, size: int) -> None:
    with pytest.raises(InputError, match=rf"input_size is {size}; allowed: at most resolution, 64, because"):
        params(input_size=size)
    assert params(input_size=64).method.input_size == 64


def test_pyramid_cannot_start_beyond_the_resolution(params: Make) -> None:
    with pytest.raises(InputError, match=r"pyramid_start is 65; allowed: at most resolution, 64"):
        params(pyramid_start=65)
    assert params(pyramid_start=64).method.pyramid_start == 64


# Changes


def test_override_replaces_one_setting(method: Callable[..., MethodSettings]) -> None:
    changed = with_overrides(method(), {"steps": 7, "augment": "none"})
    assert (changed.steps, changed.augment) == (7, "none")
    assert asdict(changed) | {"steps": 300, "augment": asdict(method())["augment"]} == asdict(method())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepz": 7}, "unknown key stepz; allowed: .*steps"),
        ({"steps": 0}, "steps is 0; allowed: a whole number from 1"),
        ({"input_size": 65}, "input_size is 65; allowed: no value of its own"),
        ({"resolution": 64}, "resolution is 64; allowed: no value of its own"),
        ({"ipc": 2}, "ipc is 2; allowed: no value of its own"),
        ({"augment": {"flip_probability": 1}}, r"missing key augment\.crop_scale"),
        ({"augment": {**EMBEDDED["augment"], "noise_std": 0.9}}, r"augment is .*; allowed: 'none'"),
        ({"pyramid_start": 65}, "pyramid_start is 65; allowed: at most resolution, 64"),
    ],
)
def test_override_is_checked_like_the_file(
    method: Callable[..., MethodSettings], overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        with_overrides(method(), overrides)


def test_the_same_augmentation_is_no_change(method: Callable[..., MethodSettings]) -> None:
    assert with_overrides(method(), {"augment": EMBEDDED["augment"]}) == method()


def test_overrides_are_named_by_their_place(method: Callable[..., MethodSettings]) -> None:
    for overrides in ({"stepz": 7}, {"steps": 0}, {"ipc": 2}):
        with pytest.raises(InputError, match=r"here\.\w+"):
            with_overrides(method(), overrides, "here.")


# The paper's settings


def test_the_papers_method_is_that_of_its_suite() -> None:
    assert_agree(asdict(MethodSettings.paper()), {key: PAPER[key] for key in METHOD_KEYS})


@pytest.mark.parametrize(
    ("dataset", "classes", "variant", "count"),
    [
        ("imagenet100", 100, "", 10 * 100),
        ("imagenet100", 100, "rounds/rounds_1", 100),
        ("imagenet100", 100, "rounds/rounds_5", 5 * 100),
        ("imagenet100", 100, "ablation/no_augment", 100),
        ("imagenet1k", 1000, "", 3 * 1000),
        ("waterbirds", 2, "", 10 * 2),
    ],
)
def test_the_papers_real_batch_follows_rounds_data_set_and_variant(
    dataset: str, classes: int, variant: str, count: int
) -> None:
    for ipc in (1, 3):
        params = parse_params({**PAPER, "ipc": ipc})
        found = params.variant(variant, params.dataset_overrides.get(dataset))
        assert found.real_batch == "views"
        assert found.view_count(classes) == ipc * count


def test_the_papers_probe_is_that_of_its_suite() -> None:
    """But for the rounds of views: the paper has new ones in every epoch, the suite fewer."""
    stated, found = dict(PAPER["probe"]), asdict(ProbeSettings.paper())
    assert found.pop("view_rounds") == found["epochs"] == 1000
    assert found.pop("full_view_rounds") == found["full_epochs"] == 100
    assert (stated.pop("view_rounds"), stated.pop("full_view_rounds")) == (100, 4)
    assert_agree(found, stated)


def test_the_papers_settings_can_be_changed() -> None:
    assert MethodSettings.paper(steps=7, real_batch=60).steps == 7
    assert MethodSettings.paper(resolution=64, input_size=64) != MethodSettings.paper()
    assert MethodSettings.paper(augment="none").augment == "none"
    assert ProbeSettings.paper(epochs=3).epochs == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "unknown key epoch"),
        ({"seeds": 0}, "seeds is 0; allowed: a whole number from 1"),
        ({"augment": {}}, r"missing key augment\.flip_probability"),
    ],
)
def test_changes_of_the_papers_probe_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProbeSettings.paper(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 3}, "unknown key step; allowed: .*steps"),
        ({"steps": 0}, "steps is 0; allowed: a whole number from 1"),
        ({"input_size": 512}, "input_size is 512; allowed: at most resolution, 256"),
        ({"augment": {"crop_scale": [0, 1]}}, r"missing key augment\.flip_probability"),
    ],
)
def test_changes_of_the_papers_method_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MethodSettings.paper(**changes)
