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
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from timm.models.eva import checkpoint_filter_fn as eva_names
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError
from lgm_core.models.catalogue import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    OPENAI_MEAN,
    OPENAI_STD,
    ROWS,
    BackboneRow,
    backbone_row,
)
from lgm_core.models.libraries import load_backbone, open_backbone
from lgm_core.models.positions import resize_positions, set_input_size
from lgm_core.models.weights import read_state_dict

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


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with every tensor random, so that no two could be mixed up unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            spread = 1.0 if "norm" in name or "ln_" in name or "gamma" in name else 0.0
            value.copy_(torch.randn(value.shape, generator=generator) * 0.02 + spread)
    return model.eval()


@pytest.fixture(autouse=True)
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries build transformers two blocks deep: the layout is the same, the tests are quick."""
    create = timm.create_model

    def create_shallow(tag: str, **named: object) -> nn.Module:
        return create(tag, **({"depth": 2} if "_base_" in tag else {}), **named)

    monkeypatch.setattr(timm, "create_model", create_shallow)
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


def write(content: object, path: Path) -> Path:
    """The content as a file of its kind."""
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in content.items()}, path)  # type: ignore[union-attr]
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", OFFICIAL)
def test_official_file_gives_the_librarys_own_features(
    layout: str, tmp_path: Path, library_model: Callable[[str], nn.Module]
) -> None:
    name, content, suffix = OFFICIAL[layout]
    reference = library_model(name)
    path = write(content(dict(reference.state_dict())), tmp_path / f"weights.{suffix}")
    source = {"source": name, "checkpoint": str(path)}
    backbone = open_backbone(source, input_size=SIZE, normalization="pretrained", device="cpu")
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(values)[:, None, None] for values in STATISTICS[name])
    with torch.no_grad():
        if name == "dinov2":  # the library's own model at 224, with the authors' position embeddings
            positions = resize_positions(reference.pos_embed, 16, 0.1)
            reference.set_input_size(img_size=SIZE)
            reference.pos_embed.copy_(positions)
        expected = reference((images - mean) / std)
        features = backbone(images)
    assert features.shape == (2, WIDTHS[name])
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WIDTHS)
def test_statistics_are_those_of_pretraining(name: str) -> None:
    assert (ROWS[name].mean, ROWS[name].std) == STATISTICS[name]


def test_imagenet_statistics_are_the_alternative(tmp_path: Path) -> None:
    model = timm.create_model("eva02_base_patch14_224", num_classes=0)
    source = {"source": "eva02", "checkpoint": str(write(model.state_dict(), tmp_path / "eva.pth"))}
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
    row = replace(backbone_row("open_clip:ViT-B-16/openai"), checkpoint=str(path), keys=ROWS["clip"].keys)
    backbone = load_backbone(row, input_size=SIZE)
    images = torch.rand(1, 3, SIZE, SIZE)
    mean, std = (torch.tensor(values)[:, None, None] for values in STATISTICS["clip"])
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), model((images - mean) / std), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_compiled_archive_gives_its_tensors(tmp_path: Path) -> None:
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.visual(x)

    tower = Tower()
    torch.jit.trace(tower, torch.zeros(1, 3)).save(str(tmp_path / "tower.pt"))
    stored = read_state_dict(tmp_path / "tower.pt")
    assert torch.equal(stored["visual.weight"], tower.visual.weight)


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


def small(tmp_path: Path, **changes: object) -> BackboneRow:
    """A row of a small transformer with a checkpoint on disk."""
    model = timm.create_model("test_vit", num_classes=0)
    stored = dict(model.state_dict()) | {key: value for key, value in changes.items() if value is not None}
    for key, value in changes.items():
        if value is None:
            del stored[key]
    path = write(stored, tmp_path / "small.pth")
    return backbone_row("timm:test_vit", {"checkpoint": str(path)})


def test_missing_and_unexpected_names_are_named(tmp_path: Path) -> None:
    row = small(tmp_path, **{"norm.weight": None, "extra.weight": torch.ones(2)})
    with pytest.raises(InputError, match=r"missing: norm\.weight; unexpected: extra\.weight"):
        load_backbone(row, input_size=160)


def test_another_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"of another shape: norm\.weight \(\(3,\) in the file"):
        load_backbone(small(tmp_path, **{"norm.weight": torch.ones(3)}), input_size=160)


def test_classifiers_of_generic_files_are_left_out(tmp_path: Path) -> None:
    row = small(tmp_path, **{"head.weight": torch.ones(5, 64), "head.bias": torch.ones(5)})
    assert load_backbone(row, input_size=160).width(160) == 64


def test_a_file_of_another_backbone_is_refused(tmp_path: Path) -> None:
    path = write(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not fit"):
        load_backbone(backbone_row("mocov3", {"checkpoint": str(path)}), input_size=SIZE)


def test_transformers_take_the_suites_input_size(tmp_path: Path) -> None:
    assert load_backbone(small(tmp_path), input_size=64).width(64) == 64


def test_a_model_of_one_size_says_so() -> None:
    model = timm.create_model("cait_xxs24_224", num_classes=0, depth=1)
    with pytest.raises(InputError, match="224 × 224 pixels only"):
        set_input_size(model, 64, backbone_row("timm:cait_xxs24_224"))


def test_a_local_folder_of_timm_is_a_tag(tmp_path: Path) -> None:
    model = randomized(timm.create_model("test_vit", num_classes=5))
    timm.models.save_for_hf(model, tmp_path / "own", model_config={"label_names": list("abcde")})
    row = backbone_row(f"timm:local-dir:{tmp_path / 'own'}")
    backbone = load_backbone(row, input_size=160)
    images = torch.rand(1, 3, 160, 160)
    model.reset_classifier(0)
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), model((images - 0.5) / 0.5), rtol=1e-5, atol=1e-5)


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(InputError, match="clip, dinov2, eva02, mocov3, dino"):
        backbone_row("dinov3")
