"""The rows of the paper's backbones: official files load strictly, and give the libraries' own features."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from models.toy_models import randomized, row_of, timm_model, write
from timm.models.eva import checkpoint_filter_fn as eva_names
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.catalogue import IMAGENET_MEAN, IMAGENET_STD, OPENAI_MEAN, OPENAI_STD, ROWS
from lgm_core.models.libraries import load_backbone, open_backbone
from lgm_core.models.positions import resize_positions

pytestmark = pytest.mark.slow

Weights = dict[str, Tensor]
SIZE = 224
WIDTHS = {"clip": 512, "dinov2": 768, "eva02": 768, "mocov3": 768, "dino": 768}
STATISTICS = {
    "clip": (OPENAI_MEAN, OPENAI_STD),
    "dinov2": (IMAGENET_MEAN, IMAGENET_STD),
    "eva02": (OPENAI_MEAN, OPENAI_STD),
    "mocov3": (IMAGENET_MEAN, IMAGENET_STD),
    "dino": (IMAGENET_MEAN, IMAGENET_STD),
}


def _undrawn(create: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """`create` without drawing random weights, which take long: whatever is not loaded stays arbitrary."""

    def creating(*arguments: object, **named: object) -> nn.Module:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("uniform_", "normal_", "erfinv_"):
                patch.setattr(Tensor, name, lambda tensor, *_, **__: tensor)
            return create(*arguments, **named)

    return creating


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries build transformers two blocks deep: the layout is the same, the tests are quick."""
    create = _undrawn(timm.create_model)

    def create_shallow(tag: str, **named: object) -> nn.Module:
        return create(tag, **({"depth": 2} if "_base_" in tag else {}), **named)

    monkeypatch.setattr(timm, "create_model", create_shallow)
    monkeypatch.setattr(open_clip, "create_model", _undrawn(open_clip.create_model))
    for name in ("ViT-B-16-quickgelu", "ViT-B-16"):
        config = open_clip.factory._MODEL_CONFIGS[name]
        for tower in ("vision_cfg", "text_cfg"):
            monkeypatch.setitem(config[tower], "layers", 2)


@pytest.fixture
def library_model() -> Callable[[str], nn.Module]:
    """The library's own model of a row, with random weights."""

    def build(name: str) -> nn.Module:
        if name == "clip":
            return randomized(open_clip.create_model("ViT-B-16-quickgelu").visual)
        return randomized(timm.create_model(ROWS[name].tag, num_classes=0))

    return build


def eva_official(weights: Weights) -> Weights:
    """Names of the EVA-02 pretraining files, mask token, head and fixed rotations included."""
    patterns = (
        (r"^fc_norm\.", "norm."),
        (r"attn\.([qv])_proj\.bias", r"attn.\1_bias"),
        (r"mlp\.norm\.", "mlp.ffn_ln."),
        (r"mlp\.fc1_g\.", "mlp.w1."),
        (r"mlp\.fc1_x\.", "mlp.w2."),
        (r"mlp\.fc2\.", "mlp.w3."),
    )
    result = {}
    for key, value in weights.items():
        for pattern, replacement in patterns:
            key = re.sub(pattern, replacement, key)
        result[key] = value
    extra = {"mask_token": torch.zeros(1, 1, 768), "lm_head.weight": torch.zeros(8, 768)}
    extra |= {"lm_head.bias": torch.zeros(8), "rope.freqs_cos": torch.zeros(256, 64)}
    return result | extra | {"blocks.0.attn.rope.freqs_sin": torch.zeros(256, 64)}


def prefixed(weights: Weights, prefix: str) -> Weights:
    """Every name with a prefix."""
    return {prefix + key: value for key, value in weights.items()}


def moco_official(weights: Weights) -> Weights:
    """The pretraining file: encoder and momentum encoder with projectors, and a predictor."""
    momentum = {key: value + 1 for key, value in weights.items()}
    head = {"head.0.weight": torch.zeros(4, 768), "head.1.running_mean": torch.zeros(4)}
    base = prefixed(weights | head, "module.base_encoder.")
    return (
        prefixed(momentum | head, "module.momentum_encoder.")
        | base
        | {"module.predictor.0.weight": torch.ones(2)}
    )


def moco_probe(weights: Weights) -> Weights:
    """The linear-probe file: one encoder with a 1000-way head."""
    return prefixed(
        weights | {"head.weight": torch.zeros(1000, 768), "head.bias": torch.zeros(1000)}, "module."
    )


def moco_hub(weights: Weights) -> Weights:
    """The Hugging Face copy: timm's names and a 1000-way head."""
    return weights | {"head.weight": torch.zeros(1000, 768), "head.bias": torch.zeros(1000)}


def clip_both_towers(weights: Weights) -> Weights:
    """The OpenAI names: the image tower beside the text tower's."""
    return prefixed(weights, "visual.") | {"logit_scale": torch.ones(()), "ln_final.weight": torch.ones(2)}


OFFICIAL: dict[str, tuple[str, Callable[[Weights], object], str]] = {
    "clip": ("clip", clip_both_towers, "pt"),
    "clip open_clip": ("clip", clip_both_towers, "safetensors"),
    "dinov2": ("dinov2", lambda weights: weights | {"mask_token": torch.zeros(1, 768)}, "pth"),
    "dinov2 timm": ("dinov2", lambda weights: weights, "safetensors"),
    "eva02": ("eva02", lambda weights: {"module": eva_official(weights)}, "pt"),
    "eva02 timm": ("eva02", lambda weights: weights, "safetensors"),
    "mocov3": ("mocov3", lambda weights: {"epoch": 300, "state_dict": moco_official(weights)}, "pth.tar"),
    "mocov3 probe": ("mocov3", lambda weights: {"state_dict": moco_probe(weights)}, "pth.tar"),
    "mocov3 hub": ("mocov3", moco_hub, "safetensors"),
    "dino": ("dino", lambda weights: weights, "pth"),
    "dino full": (
        "dino",
        lambda weights: {"teacher": prefixed(weights, "backbone.") | {"head.mlp.0.weight": torch.ones(3)}},
        "pth",
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", OFFICIAL)
def test_official_file_gives_the_librarys_own_features(
    layout: str, tmp_path: Path, library_model: Callable[[str], nn.Module]
) -> None:
    name, content, suffix = OFFICIAL[layout]
    reference = library_model(name)
    path = write(content(dict(reference.state_dict())), tmp_path / f"weights.{suffix}")
    backbone = open_backbone(BackboneSource(name, str(path)), input_size=SIZE)
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(values)[:, None, None] for values in STATISTICS[name])
    with torch.no_grad():
        if name == "dinov2":  # the library's own model at 224, with the authors' position embeddings
            positions = resize_positions(reference.pos_embed, 16, 0.1)
            reference.set_input_size(img_size=SIZE)
            reference.pos_embed.copy_(positions)
        expected = reference((images - mean) / std)
        features = backbone(images)
    assert features.shape == (1, WIDTHS[name])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WIDTHS)
def test_statistics_are_those_of_pretraining(name: str) -> None:
    assert (ROWS[name].mean, ROWS[name].std) == STATISTICS[name]


def test_imagenet_statistics_are_the_alternative(tmp_path: Path) -> None:
    model = timm.create_model("eva02_base_patch14_224", num_classes=0)
    path = write(model.state_dict(), tmp_path / "eva.pth")
    source = BackboneSource("eva02", str(path))
    backbone = open_backbone(source, input_size=SIZE, normalization="imagenet", device="cpu")
    assert backbone.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    assert backbone.std.flatten().tolist() == pytest.approx(IMAGENET_STD)


def test_eva_names_agree_with_timms_own_conversion(library_model: Callable[[str], nn.Module]) -> None:
    reference = library_model("eva02")
    official = eva_official(dict(reference.state_dict()))
    ours = ROWS["eva02"].keys.convert(official, reference.state_dict(), heads=("head",))
    oracle = eva_names(official, reference)
    assert set(ours) == set(oracle)
    assert all(torch.equal(ours[key], oracle[key]) for key in ours)


def test_eva_feature_is_the_normalized_mean_over_patches(library_model: Callable[[str], nn.Module]) -> None:
    model = library_model("eva02")
    images = torch.rand(1, 3, SIZE, SIZE)
    with torch.no_grad():
        tokens = model.forward_features(images)
        torch.testing.assert_close(model(images), model.fc_norm(tokens[:, 1:].mean(dim=1)))


def test_clip_uses_the_quick_activation_and_projects() -> None:
    model = open_clip.create_model("ViT-B-16-quickgelu").visual
    assert isinstance(model.transformer.resblocks[0].mlp.gelu, open_clip.transformer.QuickGELU)
    assert model.proj.shape == (768, 512)
    assert ROWS["clip"].tag == "ViT-B-16-quickgelu/openai"


def test_openai_weights_get_the_quick_activation_under_the_plain_name_too(tmp_path: Path) -> None:
    model = randomized(open_clip.create_model("ViT-B-16-quickgelu").visual)
    path = write(prefixed(dict(model.state_dict()), "visual."), tmp_path / "clip.pt")
    row = replace(row_of("open_clip:ViT-B-16/openai", path), keys=ROWS["clip"].keys)
    backbone = load_backbone(row, input_size=SIZE)
    images = torch.rand(1, 3, SIZE, SIZE)
    mean, std = (torch.tensor(values)[:, None, None] for values in STATISTICS["clip"])
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), model((images - mean) / std), rtol=1e-5, atol=1e-5)


def test_a_file_of_another_backbone_is_refused(tmp_path: Path) -> None:
    path = write(timm_model("test_vit").state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not fit"):
        load_backbone(row_of("mocov3", path), input_size=SIZE)
