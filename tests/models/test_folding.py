"""Folding batch norms keeps the function and leaves alone whatever it could change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from models.toy_models import random_norms
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from lgm_core.models.cpu import folding
from lgm_core.models.cpu.folding import fold_batch_norm

SIDE = 32


def _images(count: int = 3) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def _norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_folded_model_equals_the_unfolded_one(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = random_norms(timm.create_model(name, pretrained=False, num_classes=0))
    images = _images().requires_grad_()
    expected = model(images)
    (expected_gradient,) = torch.autograd.grad(expected.square().sum(), images)
    count = _norms(model)
    assert fold_batch_norm(model, SIDE) == count > 0
    assert _norms(model) == 0
    found = model(images)
    (gradient,) = torch.autograd.grad(found.square().sum(), images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    scale = expected_gradient.abs().max().item()
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-3 * scale)


def test_folded_weights_by_hand() -> None:
    conv, norm = nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=1.0)
    with torch.no_grad():
        conv.weight.fill_(2.0)
        conv.bias.fill_(1.0)
        norm.running_mean.fill_(3.0)
        norm.running_var.fill_(3.0)  # √(σ² + ε) = 2
        norm.weight.fill_(5.0)
        norm.bias.fill_(7.0)
    model = nn.Sequential(conv, norm).eval()
    assert fold_batch_norm(model, SIDE) == 1
    assert conv.weight.flatten().tolist() == [5.0] * 3  # 2 · 5/2
    assert conv.bias is not None
    assert conv.bias.tolist() == [2.0]  # 7 + (1 - 3) · 5/2
    assert isinstance(model[1], nn.Identity)


def _pair(*, bias: bool, affine: bool = True, groups: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """A convolution and a batch norm, every tensor random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pair = nn.Sequential(nn.Conv2d(3, 96, 3, bias=bias, groups=groups), nn.BatchNorm2d(96, affine=affine))
    conv, norm = random_norms(pair)
    return conv, norm


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_folded_weights_are_those_of_the_formula(bias: bool, affine: bool, groups: int) -> None:
    """w γ/√(σ²+ε) and β + (b - μ) γ/√(σ²+ε), in double precision."""
    conv, norm = _pair(bias=bias, affine=affine, groups=groups)
    scale = 1 / (norm.running_var.double() + norm.eps).sqrt()
    offset = -norm.running_mean.double() * scale
    if conv.bias is not None:
        offset = offset + conv.bias.double() * scale
    if affine:
        scale, offset = scale * norm.weight.double(), offset * norm.weight.double() + norm.bias.double()
    expected = conv.weight.double() * scale[:, None, None, None]
    assert fold_batch_norm(nn.Sequential(conv, norm), SIDE) == 1
    assert conv.bias is not None
    torch.testing.assert_close(conv.weight.double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(conv.bias.double(), offset, rtol=1e-6, atol=1e-6)


def test_a_convolution_without_bias_folds_to_the_bits_of_one_rounded_factor() -> None:
    """γ/√(σ²+ε) is rounded once and used for weights and bias alike."""
    conv, norm = _pair(bias=False)
    scale = torch.rsqrt(norm.running_var + norm.eps) * norm.weight
    weight, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
    assert fold_batch_norm(nn.Sequential(conv, norm), SIDE) == 1
    assert torch.equal(conv.weight, weight)
    assert torch.equal(conv.bias, bias)


def test_a_fold_that_changed_the_features_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(weight: Tensor, *rest: object) -> tuple[nn.Parameter, nn.Parameter]:
        return nn.Parameter(weight * 1.01, False), nn.Parameter(torch.zeros(len(weight)), False)

    monkeypatch.setattr(folding, "fuse_conv_bn_weights", wrong)
    with pytest.raises(RuntimeError, match="folding batch norms changed the features by"):
        fold_batch_norm(nn.Sequential(*_pair(bias=False)), SIDE)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d(4, affine=False)),
        nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1)),
        nn.Sequential(nn.Conv2d(3, 4, 5, stride=2, dilation=2, padding=2), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), timm.layers.BatchNormAct2d(4, act_layer=nn.SiLU)),
        nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Identity(), nn.Sequential(nn.BatchNorm2d(4))),
    ],
    ids=["no bias", "no affine", "grouped", "dilated", "with activation", "nested"],
)
def test_every_kind_of_convolution_keeps_its_function(model: nn.Module) -> None:
    random_norms(model)
    expected = model(_images())
    fold_batch_norm(model, SIDE)
    torch.testing.assert_close(model(_images()), expected, rtol=1e-4, atol=1e-4)


class _Model(nn.Module):
    """A convolution, a batch norm and a way to combine them."""

    def __init__(self, forward: Callable[[nn.Module, nn.Module, Tensor], Tensor], **norm: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, **norm)
        self.combine = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.combine(self.conv, self.norm, x)


def _read_twice(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    y = conv(x)
    return norm(y) + y


def _convolved_twice(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    return norm(conv(x)) + conv(x)


def _normalised_twice(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    return norm(norm(conv(x)))


def _activation_between(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    return norm(torch.tanh(conv(x)))


def _norm_first(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    return conv(norm(x))


def _in_order(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    return norm(conv(x))


def _branching(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    y = conv(x)
    return norm(y) if y.sum() > 0 else y


def _by_keyword(conv: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    return norm(input=conv(x))


class _Standardized(nn.Conv2d):
    """Its weights are standardised in every call, so a factor on them has no effect."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight / weight.std(dim=(1, 2, 3), keepdim=True), self.bias)


def _standardized() -> nn.Module:
    return nn.Sequential(_Standardized(3, 3, 3), nn.BatchNorm2d(3))


def _reparametrized() -> nn.Module:
    return nn.Sequential(weight_norm(nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3))


def _tied_weights() -> nn.Module:
    model = nn.Sequential(*(part for _ in range(2) for part in (nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))))
    model[2].weight = model[0].weight
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: _Model(_read_twice),
        lambda: _Model(_convolved_twice),
        lambda: _Model(_normalised_twice),
        lambda: _Model(_activation_between),
        lambda: _Model(_norm_first),
        lambda: _Model(_branching),
        lambda: _Model(_in_order, track_running_stats=False),
        _standardized,
        _reparametrized,
        _tied_weights,
    ],
    ids=[
        "output read twice",
        "convolution called twice",
        "norm called twice",
        "activation between",
        "norm first",
        "cannot be traced",
        "norm without statistics",
        "standardised weights",
        "reparametrised weights",
        "tied weights",
    ],
)
def test_what_cannot_be_folded_safely_is_left_alone(make: Callable[[], nn.Module]) -> None:
    model = random_norms(make())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected, norms = model(_images()), _norms(model)
    assert fold_batch_norm(model, SIDE) == 0
    assert _norms(model) == norms
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(model(_images()), expected)


def test_norm_called_by_keyword_keeps_its_function() -> None:
    model = random_norms(_Model(_by_keyword))
    expected = model(_images())
    fold_batch_norm(model, SIDE)
    torch.testing.assert_close(model(_images()), expected, rtol=1e-4, atol=1e-5)


def test_folding_twice_changes_nothing_more() -> None:
    model = random_norms(_Model(_in_order))
    assert fold_batch_norm(model, SIDE) == 1
    expected = model(_images())
    assert fold_batch_norm(model, SIDE) == 0
    assert torch.equal(model(_images()), expected)


def test_folded_parameters_stay_frozen() -> None:
    model = random_norms(nn.Sequential(nn.Conv2d(3, 3, 3, bias=False), nn.BatchNorm2d(3)))
    fold_batch_norm(model, SIDE)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert len(list(model.parameters())) == 2
