"""Data sets and backbones are named by a source, and by the keys that may stand beside it."""

from __future__ import annotations

from typing import Any

import pytest
from settings.suite_values import Make

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import BackboneSource, DatasetSource


def test_one_word_is_a_source(params: Make) -> None:
    parsed = params(datasets={"mine": "folder:x"}, backbones={"net": "timm:resnet18"})
    assert parsed.datasets["mine"] == DatasetSource("folder:x")
    assert parsed.backbones["net"] == BackboneSource("timm:resnet18")


def test_source_may_carry_further_keys(params: Make) -> None:
    backbones = params(backbones={"mine": {"source": "timm:resnet18", "checkpoint": "a.pth"}}).backbones
    assert backbones["mine"] == BackboneSource("timm:resnet18", "a.pth")
    keys: dict[str, Any] = {"train_split": "a", "test_split": "b", "image_key": "c", "label_key": "d"}
    datasets = params(
        datasets={"hub": {"source": "hfds/x", **keys}, "part": {"source": "cub", "partial": True}}
    ).datasets
    assert datasets["hub"] == DatasetSource("hfds/x", **keys)
    assert datasets["part"] == DatasetSource("cub", partial=True)


@pytest.mark.parametrize(
    ("group", "beside", "message"),
    [
        (
            "datasets",
            {"path": "x"},
            r"unknown key datasets\.mine\.path; allowed: source, partial, train_split",
        ),
        ("datasets", {"checkpoint": "x"}, r"unknown key datasets\.mine\.checkpoint"),
        ("datasets", {3: "x"}, r"unknown key datasets\.mine\.3"),
        ("datasets", {"partial": "yes"}, r"datasets\.mine\.partial is 'yes'; allowed: true or false"),
        ("datasets", {"partial": 1}, r"datasets\.mine\.partial is 1; allowed: true or false"),
        ("datasets", {"partial": None}, r"datasets\.mine\.partial is None; allowed: true or false"),
        ("datasets", {"label_key": 3}, r"datasets\.mine\.label_key is 3; allowed: a non-empty text"),
        (
            "backbones",
            {"partial": True},
            r"unknown key backbones\.mine\.partial; allowed: source, checkpoint",
        ),
        ("backbones", {"checkpoint": " "}, r"backbones\.mine\.checkpoint is ' '; allowed: a non-empty text"),
        ("backbones", {"checkpoint": None}, r"backbones\.mine\.checkpoint is None; allowed: a non-empty"),
        ("figure_backbones", {"checkpoint": 3}, r"figure_backbones\.mine\.checkpoint is 3; allowed: a non"),
    ],
)
def test_what_stands_beside_a_source_is_checked(
    params: Make, group: str, beside: dict[Any, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        params(**{group: {"mine": {"source": "x", **beside}}})


def test_a_backbone_is_found_by_name_be_it_compared_or_of_figure_8_alone(params: Make) -> None:
    found = params(
        figure_backbones={"dino": {"source": "dino", "checkpoint": "a.pth"}},
        figures={"figure8": {"source": "dino"}},
    )
    assert found.backbone("dino") == BackboneSource("dino", "a.pth")
    assert found.backbone("lite0") == BackboneSource("efficientnet_lite0")
    assert "dino" not in found.backbones
    with pytest.raises(InputError, match=r"'eva' is not among backbones.*lite0, lite1, lite2, dino"):
        found.backbone("eva")
    with pytest.raises(InputError, match=r"figure_backbones is 3; allowed: a mapping from names, \{\}"):
        params(figure_backbones=3)
