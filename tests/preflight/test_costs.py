"""What a suite costs is counted, and speed is measured without weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.libraries import load_backbone
from lgm_core.preflight.costs import Size, Speed, estimate, format_bytes, format_seconds, measure_speed
from lgm_core.settings.params import Params


def test_costs_are_counted_by_hand(params: Callable[..., Params]) -> None:
    changed = params(
        ipc=2, steps=10, aug_rounds=3, real_rounds=4, resolution=64,
        probe={"view_rounds": 5, "full_view_rounds": 1, "random_seeds": 6},
        dataset_overrides={"digits": {"aug_rounds": 1}},
    )  # fmt: skip
    speeds = {"one": Speed(1.0, 5.0, 2.0, 10), "two": Speed(3.0, 7.0, 4.0, 20)}
    cost = estimate(changed, "shapes", Size(100, 50, 7), speeds, workers=1)
    assert cost.features_seconds == 100 * 5 * (1 + 3) + 150 * (5 + 7)
    assert cost.distill_seconds == 10 * 14 * 3 * (2 + 4)
    assert cost.probe_seconds == 14 * (2 + 2 + 6) * (5 * (1 + 3) + (5 + 7))
    assert cost.disk_bytes == 650 * 30 * 4 + 2 * 14 * 3 * 64 * 64 * 4
    assert cost.seconds == cost.features_seconds + cost.distill_seconds + cost.probe_seconds
    assert estimate(changed, "digits", Size(100, 50, 7), speeds, workers=1).distill_seconds == 10 * 14 * 6


def test_without_augmentation_there_are_no_views_for_the_real_gradient(params: Callable[..., Params]) -> None:
    changed = params(
        augment="none",
        real_rounds=4,
        variants={"ablation": {}, "rounds": {}},
        tables={"table3": {"dataset": "none", "backbones": []}},
    )
    views = 100 * (1 + changed.probe.full_view_rounds) + 50
    cost = estimate(changed, "shapes", Size(100, 50, 7), {"one": Speed(1.0, 1.0, 2.0, 10)}, workers=1)
    assert cost.features_seconds == views


def test_decoding_bounds_the_time_of_features_from_below(params: Callable[..., Params]) -> None:
    fast = {"one": Speed(1e-9, 1e-9, 1e-9, 10)}
    one, four = (
        estimate(params(), "shapes", Size(900, 100, 2), fast, workers=n).features_seconds for n in (1, 4)
    )
    assert one == pytest.approx(10)
    assert four == pytest.approx(2.5)


def test_speed_is_measured_without_weights(tiny_backbone: Callable[..., FrozenBackbone]) -> None:
    speed = measure_speed(tiny_backbone(width=5), 16, batch=2)
    assert speed.width == 5
    assert 0 < speed.forward_seconds < 1
    assert 0 < speed.exact_seconds < 1
    assert 0 < speed.gradient_seconds < 1
    row = backbone_row(BackboneSource("timm:test_vit"))
    assert load_backbone(row, input_size=32, pretrained=False).width(32) == 64


def test_numbers_are_written_for_people() -> None:
    assert [format_seconds(seconds) for seconds in (5, 600, 9000, 400_000)] == [
        "5 s",
        "10 min",
        "2.5 h",
        "4.6 days",
    ]
    assert [format_bytes(count) for count in (3e6, 2.5e9)] == ["3 MB", "2.5 GB"]


def test_overrides_are_settings_of_data_sets_that_exist(params: Callable[..., Params], paper: Params) -> None:
    assert paper.for_dataset("imagenet1k").aug_rounds == 3
    assert paper.for_dataset("imagenet100") == paper.method
    assert paper.method.aug_rounds == 10
    for wrong, message in (
        ({"nowhere": {"steps": 3}}, "one of datasets: shapes, digits"),
        ({"shapes": {"stps": 3}}, r"dataset_overrides\.shapes is"),
        ({"shapes": {"ipc": 3}}, r"dataset_overrides\.shapes is"),
        ({"shapes": {"steps": 0}}, "steps is 0"),
        ([], "dataset_overrides is"),
    ):
        with pytest.raises(InputError, match=message):
            params(dataset_overrides=wrong)
