"""The class token's features are the same when the last block is computed for it alone."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from models.toy_models import images, timm_model
from torch import Tensor, nn

from lgm_core.models.token import keep_class_token

TRANSFORMERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with registers": {"reg_tokens": 2},
    "with layer scale": {"init_values": 1e-1},
    "with normalised queries": {"qk_norm": True},
    "without biases": {"qkv_bias": False},
    "with a norm in the attention": {"scale_attn_norm": True},
    "with a norm before the blocks": {"pre_norm": True},
    "without a final norm": {"final_norm": False},
    "position embedding of patches alone": {"no_embed_class": True},
}
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}


def _random(model: nn.Module) -> nn.Module:
    """Random weights, large enough that the attention matters."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3, generator=generator)
    return model.eval()


def _timm(**settings: Any) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return _random(VisionTransformer(num_classes=0, **{**SMALL, **settings}))


def _open_clip(**settings: Any) -> nn.Module:
    from open_clip.transformer import VisionTransformer

    given = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "heads": 4, "mlp_ratio": 2.0}
    return _random(VisionTransformer(output_dim=16, **{**given, **settings}))


def _features_and_gradient(model: nn.Module) -> tuple[Tensor, Tensor]:
    pixels = images(3, 32).requires_grad_()
    features = model(pixels)
    (gradient,) = torch.autograd.grad(features.square().sum(), pixels)
    return features.detach(), gradient


def _check(model: nn.Module) -> None:
    expected = _features_and_gradient(model)
    assert keep_class_token(model)
    torch.testing.assert_close(_features_and_gradient(model), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_features_and_gradients_of_timms_transformers_stay(name: str) -> None:
    _check(_timm(global_pool="token", **TRANSFORMERS[name]))


@pytest.mark.parametrize("settings", [{}, {"ls_init_value": 0.1}, {"final_ln_after_pool": True}], ids=str)
def test_features_and_gradients_of_open_clips_transformers_stay(settings: dict[str, Any]) -> None:
    _check(_open_clip(**settings))


def test_the_last_block_sees_all_tokens_and_makes_one() -> None:
    model: Any = _timm(global_pool="token")
    assert keep_class_token(model)
    tokens = torch.randn(2, 17, 32)
    first = model.blocks[-1](tokens)
    assert first.shape == (2, 1, 32)
    tokens[:, 5] = torch.randn(32)
    assert not torch.allclose(model.blocks[-1](tokens), first)


@pytest.mark.parametrize(
    "model",
    [
        lambda: _timm(global_pool="avg"),
        lambda: _timm(global_pool="map"),
        lambda: _timm(global_pool="avg", class_token=False),
        lambda: _open_clip(pool_type="avg"),
        lambda: _open_clip(output_tokens=True),
        lambda: timm_model("test_resnet"),
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)),
    ],
    ids=["mean", "attention pool", "no class token", "mean of CLIP", "tokens too", "ResNet", "own"],
)
def test_all_others_stay_as_they_are(model: Any) -> None:
    built = model()
    before = str(built)
    assert not keep_class_token(built)
    assert str(built) == before


@pytest.mark.slow
def test_the_papers_models_are_known() -> None:
    """Their classes, at random weights and their own settings: four of five give their class token."""
    clip: Any = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None, load_weights=False)
    assert keep_class_token(clip.visual)
    import timm

    for tag, known in {
        "vit_base_patch14_dinov2": True,
        "vit_base_patch16_224.dino": True,
        "vit_base_patch16_224": True,
        "eva02_base_patch14_224": False,
    }.items():
        assert keep_class_token(timm.create_model(tag, pretrained=False, num_classes=0)) is known, tag
