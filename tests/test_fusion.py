"""Fused rectifiers change neither features nor gradients, and are left out wherever they could."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from lgm_core.backbones import FrozenBackbone, freeze
from lgm_core.errors import InputError
from lgm_core.folding import fold_batch_norm
from lgm_core.fusion import RectifiedConvolution, fuse_rectifiers
from lgm_core.padding import fix_padding

SIDE = 32
pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN"
)


def _features_and_gradient(model: nn.Module) -> tuple[Tensor, Tensor]:
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)).requires_grad_()
    features = model(images)
    features.square().sum().backward()
    assert images.grad is not None
    return features.detach(), images.grad


@pytest.mark.parametrize(
    ("tag", "fused"),
    [("tf_efficientnet_lite0", 32), ("resnet18", 8), ("mobilenetv2_050", 34), ("test_vit", 0)],
)
def test_features_and_gradients_stay_the_same(tag: str, fused: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sized = {"img_size": SIDE} if tag == "test_vit" else {}
        model = timm.create_model(tag, pretrained=False, num_classes=0, **sized).eval().requires_grad_(False)
    fold_batch_norm(model, SIDE)
    fix_padding(model, SIDE)
    fast = copy.deepcopy(model)
    assert fuse_rectifiers(fast, SIDE) == fused
    (features, gradient), (expected, expected_gradient) = map(_features_and_gradient, (fast, model))
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-6)
    assert (gradient - expected_gradient).norm() <= 1e-5 * expected_gradient.norm()


def test_a_step_by_hand() -> None:
    """x = -1, 1, 9 through w = 2, b = 1: clipped from -1, 3, 19; only the middle one passes a gradient."""
    first, second = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        for conv, weight in ((first, 2.0), (second, 5.0)):
            conv.weight.fill_(weight)
        first.bias.fill_(1.0)
    model = nn.Sequential(first, RectifiedConvolution(first, 6.0), second).requires_grad_(False)
    x = torch.tensor([-1.0, 1.0, 9.0]).reshape(1, 1, 1, 3).requires_grad_()
    result = model[2](model[1](x))
    assert result.flatten().tolist() == [0, 15, 30]
    result.sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0, 10, 0]


class _TwoReaders(nn.Module):
    """The rectifier's result is added to what a convolution makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.second = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        return (x + self.second(x)).flatten(1)


class _Reused(nn.Module):
    """One rectifier behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.act(self.second(self.act(self.first(x))))).flatten(1)


class _Untraceable(nn.Module):
    """Its way depends on what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.way = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.way(x) if x.sum() > 0 else self.way(-x)


def _chain(*middle: nn.Module, **first: object) -> nn.Sequential:
    conv = nn.Conv2d(3, 4, 3, **first)  # type: ignore[arg-type]
    return nn.Sequential(conv, *middle, nn.Conv2d(4, 4, 3), nn.Flatten())


def _hooked() -> nn.Sequential:
    model = _chain(nn.ReLU())
    model[0].register_forward_hook(lambda module, inputs, output: output + 1)
    return model


def _trained() -> nn.Sequential:
    return _chain(nn.ReLU())


@pytest.mark.parametrize(
    ("make", "fused"),
    [
        (lambda: _chain(nn.ReLU()), 1),
        (lambda: _chain(nn.Identity(), nn.ReLU6(), nn.Identity()), 1),
        (lambda: _chain(nn.SiLU()), 0),
        (lambda: _chain(nn.ReLU(), nn.BatchNorm2d(4)), 0),
        (lambda: _chain(nn.ReLU(), padding="same"), 0),
        (lambda: _chain(nn.ReLU(), padding=1, padding_mode="reflect"), 0),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()), 0),
        (_TwoReaders, 0),
        (_Reused, 0),
        (_Untraceable, 0),
        (_hooked, 0),
        (_trained, 0),
    ],
)
def test_only_what_is_safe_is_fused(make: Callable[[], nn.Module], fused: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().eval()
    model.requires_grad_(make is _trained)
    expected = _features_and_gradient(model)
    assert fuse_rectifiers(model, SIDE) == fused
    for found, before in zip(_features_and_gradient(model), expected, strict=True):
        torch.testing.assert_close(found, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [torch.nan, torch.inf, 1e30])
def test_a_damaged_weight_is_not_hidden(weight: float) -> None:
    """Fused, oneDNN may turn the NaN it leads to into 0, and the features look like any others."""
    model = _chain(nn.ReLU()).requires_grad_(False)
    model[0].weight[0, 0, 0, 0] = weight  # type: ignore[index,operator]
    assert fuse_rectifiers(model, SIDE) == 0
    assert not isinstance(model[0], RectifiedConvolution)


def test_a_backbone_is_fused_on_a_cpu_in_float32_and_not_for_a_compiler() -> None:
    def fused(**how: object) -> int:
        backbone = freeze(_chain(nn.ReLU()), ((0.5,) * 3, (0.2,) * 3), input_size=SIDE, **how)  # type: ignore[arg-type]
        assert isinstance(backbone, FrozenBackbone)
        return sum(isinstance(part, RectifiedConvolution) for part in backbone.modules())

    assert fused() == 1
    assert fused(precision="bfloat16") == 0
    assert fused(compiled=True) == 0


def test_a_fused_convolution_still_refuses_another_image_size() -> None:
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    backbone = freeze(model, ((0.5,) * 3, (0.2,) * 3), input_size=SIDE)
    assert any(isinstance(part, RectifiedConvolution) for part in backbone.modules())
    with pytest.raises(InputError, match="given another"):
        backbone(torch.rand(1, 3, SIDE * 2, SIDE * 2))


def test_a_second_derivative_is_refused_not_wrong() -> None:
    model = _chain(nn.ReLU()).requires_grad_(False)
    assert fuse_rectifiers(model, SIDE) == 1
    images = torch.rand(1, 3, SIDE, SIDE, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(images).square().sum(), images, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
