"""`same` padding without a padded copy: the same pixels under the same weights, for one image size only."""

from __future__ import annotations

import pytest
import torch
from models.toy_models import timm_model
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError
from lgm_core.models.cpu.padding import FixedSizeConvolution, fix_padding


def _same(
    kernel: int | tuple[int, int] = 3, stride: int = 2, channels: int = 4, **settings: object
) -> Conv2dSame:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Conv2dSame(3, channels, kernel, stride=stride, **settings).eval().requires_grad_(False)  # type: ignore[arg-type]


def _random(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("side", [5, 8, 9, 12])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, (3, 4)])
def test_every_kernel_stride_and_size_keeps_its_function(
    kernel: int | tuple[int, int], stride: int, side: int
) -> None:
    model = nn.Sequential(_same(kernel, stride))
    images, same = _random(side).requires_grad_(), _random(side).requires_grad_()
    expected = model(same)
    expected.square().sum().backward()
    assert fix_padding(model, side) == 1
    assert isinstance(model[0], FixedSizeConvolution)
    found = model(images)
    found.square().sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(images.grad, same.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "settings", [{"groups": 3, "channels": 6}, {"bias": False}], ids=["grouped", "no bias"]
)
def test_every_kind_keeps_its_function(settings: dict[str, int]) -> None:
    model = nn.Sequential(_same(**settings))
    expected = model(_random(8))
    assert fix_padding(model, 8) == 1
    torch.testing.assert_close(model(_random(8)), expected, rtol=1e-5, atol=1e-5)
    assert (model[0].bias is None) == (settings.get("bias") is False)


def test_a_whole_model_keeps_its_function() -> None:
    model = timm_model("tf_efficientnet_lite0")
    expected = model(_random(64))
    assert fix_padding(model, 64) == 5  # one for every halving of the sides
    assert not any(isinstance(part, Conv2dSame) for part in model.modules())
    found = model(_random(64))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_parameters_stay_frozen_and_the_model_in_its_mode() -> None:
    model = nn.Sequential(_same())
    fix_padding(model, 8)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model[0].training


def test_an_image_of_another_size_is_refused_not_computed_wrongly() -> None:
    model = nn.Sequential(_same())
    fix_padding(model, 8)
    with pytest.raises(InputError, match=r"given another: a layer expected \(8, 8\), got \(9, 9\)"):
        model(_random(9))


class _TwoSizes(nn.Module):
    """One convolution at two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = _same(channels=3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


@pytest.mark.parametrize(
    "model",
    [
        _TwoSizes(),
        nn.Sequential(_same(dilation=2)),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")),
    ],
    ids=["two sizes", "dilated", "plain", "torch's own same"],
)
def test_what_cannot_be_fixed_is_left_alone(model: nn.Module) -> None:
    kinds = [type(part) for part in model.modules()]
    assert fix_padding(model, 8) == 0
    assert [type(part) for part in model.modules()] == kinds
    assert not any(part._forward_pre_hooks for part in model.modules())
