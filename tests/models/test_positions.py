"""Transformers see other sizes as their authors' code shows them, and say so where they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from models.toy_models import images, normalized, row_of, small_vit, timm_model, write
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from lgm_core.foundation.errors import InputError
from lgm_core.models.libraries import load_backbone
from lgm_core.models.positions import resize_positions, set_input_size

SIZE = 224


def original_dinov2_positions(positions: Tensor, pixels: int) -> Tensor:
    """`interpolate_pos_encoding` of facebookresearch/dinov2, written out as published, for patches of 14."""
    count = positions.shape[1] - 1
    side, target = int(count**0.5), pixels // 14
    scale = float(target + 0.1) / side
    patches = torch.nn.functional.interpolate(
        positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2),
        mode="bicubic",
        antialias=False,
        scale_factor=(scale, scale),
    )
    assert patches.shape[-2:] == (target, target)
    return torch.cat([positions[:, :1], patches.permute(0, 2, 3, 1).view(1, -1, positions.shape[-1])], dim=1)


def smooth_field() -> Tensor:
    """Eight waves over a grid of 37 × 37, repeated to 768 channels; the grid's rows one after another."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 37), torch.linspace(-1, 1, 37), indexing="ij")
    waves = [torch.sin(0.75 * (k + 1) * (x if k % 2 else y) + k) for k in range(8)]
    return torch.stack(waves, dim=-1).reshape(1, 37 * 37, 8).repeat(1, 1, 96)


@pytest.mark.parametrize(("noise", "stated"), [(0.0, 0.03), (0.3, 0.29)])
def test_dinov2_positions_are_the_originals_and_differ_from_timms(noise: float, stated: float) -> None:
    """The relative differences that docs/backbones.md states."""
    random = torch.randn(37 * 37, 768, generator=torch.Generator().manual_seed(0))
    positions = torch.cat([torch.zeros(1, 1, 768), smooth_field() + noise * random], dim=1)
    ours = resize_positions(positions, 16, 0.1)
    torch.testing.assert_close(ours, original_dinov2_positions(positions, SIZE))
    timms = resample_abs_pos_embed(positions, new_size=[16, 16], num_prefix_tokens=1)
    assert float((timms - ours).norm() / ours.norm()) == pytest.approx(stated, abs=0.01)


@pytest.mark.parametrize("side", [37, 16])
def test_positions_on_their_own_grid_stay(side: int) -> None:
    positions = torch.randn(1, 1 + side * side, 4)
    torch.testing.assert_close(resize_positions(positions, side, 0.0), positions, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_tokens_without_a_place_in_the_grid_stay_as_they_are(tokens: int) -> None:
    positions = torch.randn(1, tokens + 9, 4)
    resized = resize_positions(positions, 5, 0.1, prefix_tokens=tokens)
    assert resized.shape == (1, tokens + 25, 4)
    assert torch.equal(resized[:, :tokens], positions[:, :tokens])


def test_transformers_take_the_suites_input_size(tmp_path: Path) -> None:
    assert load_backbone(small_vit(tmp_path), input_size=64).width(64) == 64


def test_a_model_of_one_size_says_so() -> None:
    model = timm.create_model("cait_xxs24_224", num_classes=0, depth=1)
    with pytest.raises(InputError, match="224 × 224 pixels only"):
        set_input_size(model, 64, row_of("timm:cait_xxs24_224"))


def test_checkpoint_of_another_input_size_gives_timms_own_features(tmp_path: Path) -> None:
    model = timm_model("test_vit")  # positions for 160 × 160 pixels
    path = write(model.state_dict(), tmp_path / "weights.pth")
    backbone = load_backbone(row_of("timm:test_vit", path), input_size=96)
    overlay = {"file": str(path), "num_classes": 0}
    reference = timm.create_model(
        "test_vit", pretrained=True, num_classes=0, img_size=96, pretrained_cfg_overlay=overlay
    ).eval()
    mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
    expected = reference(normalized(images(side=96), mean, std))
    torch.testing.assert_close(backbone(images(side=96)), expected, rtol=1e-3, atol=1e-4)


def test_a_file_made_for_another_size_than_the_models_own_is_taken_at_its_own(tmp_path: Path) -> None:
    """timm's model is built for 160 pixels; the file's positions are for 96, and so is what is seen."""
    model = timm_model("test_vit", img_size=96)
    path = write(model.state_dict(), tmp_path / "weights.pth")
    backbone = load_backbone(row_of("timm:test_vit", path), input_size=96)
    mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
    expected = model(normalized(images(side=96), mean, std))
    torch.testing.assert_close(backbone(images(side=96)), expected, rtol=1e-4, atol=1e-5)
