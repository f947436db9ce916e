"""A frozen backbone never changes, and preparing it for speed changes nothing it computes."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from functools import partialmethod
from typing import Any

import pytest
import torch
from models.toy_models import images, normalized, random_norms, timm_model
from torch import Tensor, nn
from torch._dynamo import lookup_backend
from torch.utils._python_dispatch import TorchDispatchMode

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.models.frozen import EMBEDDED_AT_ONCE, FrozenBackbone, freeze

SIDE = 32
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)

Backbone = Callable[..., FrozenBackbone]


class OwnModel(nn.Module):
    """A module as anyone might write it: convolution, batch norm and rectifier, twice, then a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first_norm(self.first(x)))
        x = torch.relu(self.second_norm(self.second(x)))
        return self.dropout(x.mean(dim=(2, 3)))


def _own_model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return random_norms(OwnModel()).train().requires_grad_(True)


def _features_and_gradient(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor]:
    pixels = pixels.clone().requires_grad_()
    features = model(pixels)
    features.square().sum().backward()
    assert pixels.grad is not None
    return features.detach(), pixels.grad


# The backbone


def test_all_parameters_are_frozen_and_the_images_get_a_gradient(tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    _, gradient = _features_and_gradient(backbone, images(side=SIDE))
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert all(parameter.grad is None for parameter in backbone.parameters())
    assert gradient.isfinite().all()
    assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_backbone_stays_in_evaluation_mode(tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    assert backbone.train() is backbone
    assert not any(module.training for module in backbone.modules())


def test_images_are_normalised_per_channel() -> None:
    backbone = FrozenBackbone(nn.Flatten(), (0.1, 0.2, 0.3), (0.5, 0.25, 1.0))
    pixels = torch.tensor([0.6, 0.7, 0.8])[None, :, None, None]
    torch.testing.assert_close(backbone(pixels), torch.tensor([[1.0, 2.0, 0.5]]))


def test_width_is_asked_of_the_model(tiny_backbone: Backbone) -> None:
    assert tiny_backbone(width=9).width(12) == 9
    assert tiny_backbone(width=9, dtype=torch.float64).width(12) == 9


# Embedding


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that go through any backbone, in order."""
    sizes: list[int] = []
    forward = FrozenBackbone.forward

    def counting(self: FrozenBackbone, pixels: Tensor, **named: Any) -> Tensor:
        sizes.append(len(pixels))
        return forward(self, pixels, **named)

    monkeypatch.setattr(FrozenBackbone, "forward", counting)
    return sizes


@pytest.mark.parametrize("count", [1, 7])
def test_embedding_equals_the_forward_pass(count: int, tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    assert torch.equal(backbone.embed(images(count, 12)), backbone(images(count, 12)))


@pytest.mark.parametrize(
    ("count", "batches"),
    [
        (EMBEDDED_AT_ONCE, [EMBEDDED_AT_ONCE]),
        (EMBEDDED_AT_ONCE + 1, [EMBEDDED_AT_ONCE, 1]),
        (2 * EMBEDDED_AT_ONCE + 50, [EMBEDDED_AT_ONCE, EMBEDDED_AT_ONCE, 50]),
    ],
)
def test_embedding_goes_in_batches_and_keeps_the_order(
    count: int, batches: list[int], tiny_backbone: Backbone, asked: list[int]
) -> None:
    backbone, pixels = tiny_backbone(), images(count, 4)
    found = backbone.embed(pixels)
    assert asked == batches
    torch.testing.assert_close(found, backbone(pixels), rtol=1e-5, atol=1e-6)


def _room_for(backbone: FrozenBackbone, views: int) -> None:
    def check(module: object, inputs: tuple[Tensor]) -> None:
        if len(inputs[0]) > views:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.\nmore")

    backbone.model.register_forward_pre_hook(check)


def test_embedding_halves_its_batches_when_memory_runs_out(
    tiny_backbone: Backbone, asked: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    expected = tiny_backbone()(images(10, 12))
    asked.clear()
    backbone = tiny_backbone()
    _room_for(backbone, 3)
    with caplog.at_level(logging.WARNING):
        found = backbone.embed(images(10, 12))
    assert asked == [10, 5, 3, 3, 3, 1]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert "micro-batch of 3 views" in caplog.text


def test_an_image_that_does_not_fit_is_an_error_that_repairs(tiny_backbone: Backbone) -> None:
    backbone = tiny_backbone()
    _room_for(backbone, 0)
    with pytest.raises(InputError, match=r"single view.*input_size"):
        backbone.embed(images(3, 12))


def test_embedding_makes_no_graph(tiny_backbone: Backbone) -> None:
    backbone, pixels = tiny_backbone(), images(3, 12).requires_grad_()
    assert backbone(pixels).requires_grad
    with torch.enable_grad():
        assert not backbone.embed(pixels).requires_grad
    assert pixels.grad is None


# Freezing


def test_a_module_of_ones_own_keeps_its_function() -> None:
    model = _own_model()
    plain = copy.deepcopy(model).eval()
    backbone = freeze(model, (MEAN, STD), input_size=SIDE)
    pixels = images(4, SIDE)
    found, gradient = _features_and_gradient(backbone, pixels)
    expected, normal_gradient = _features_and_gradient(plain, normalized(pixels, MEAN, STD))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    expected_gradient = normal_gradient / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-3, atol=1e-5)
    assert backbone.width(SIDE) == 6
    assert backbone.input_size == SIDE


def test_a_module_of_ones_own_is_frozen_and_folded() -> None:
    backbone = freeze(_own_model(), (MEAN, STD), input_size=SIDE)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in backbone.modules())
    assert not any(part.training for part in backbone.model.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert torch.equal(backbone.embed(images(side=SIDE)), backbone.embed(images(side=SIDE)))


@pytest.mark.parametrize("tag", ["tf_efficientnet_lite0", "resnet18", "mobilenetv2_050", "test_vit"])
@pytest.mark.slow
def test_features_and_gradients_stay_the_same(tag: str) -> None:
    model = timm_model(tag, **({"img_size": SIDE} if tag == "test_vit" else {}))
    plain = FrozenBackbone(copy.deepcopy(model), MEAN, STD)
    backbone = freeze(model, (MEAN, STD), input_size=SIDE)
    features, gradient = _features_and_gradient(backbone, images(3, SIDE))
    expected, expected_gradient = _features_and_gradient(plain, images(3, SIDE))
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    assert (gradient - expected_gradient).norm() <= 1e-3 * expected_gradient.norm()


def test_an_image_of_another_size_is_refused_where_the_padding_was_fixed() -> None:
    backbone = freeze(timm_model("tf_efficientnet_lite0"), (MEAN, STD), input_size=SIDE)
    with pytest.raises(InputError, match="given another"):
        backbone(images(1, SIDE * 2))


@pytest.mark.parametrize("weight", [torch.nan, torch.inf])
def test_a_damaged_weight_is_not_hidden(weight: float) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] = weight
    backbone = freeze(model, (MEAN, STD), input_size=SIDE)
    assert not backbone.embed(images(side=SIDE)).isfinite().all()


def test_convolutions_prefer_channels_last_and_attention_does_not() -> None:
    formats = {
        tag: freeze(timm_model(tag), (MEAN, STD), input_size=size).memory_format
        for tag, size in (("test_resnet", SIDE), ("test_vit", 160))
    }
    assert formats == {"test_resnet": torch.channels_last, "test_vit": torch.contiguous_format}


# Precision


@pytest.mark.parametrize(("tag", "size"), [("test_resnet", SIDE), ("test_vit", 160)])
def test_bfloat16_changes_features_a_little_and_their_type_not_at_all(tag: str, size: int) -> None:
    exact = freeze(timm_model(tag), (MEAN, STD), input_size=size)
    rough = freeze(timm_model(tag), (MEAN, STD), input_size=size, precision="bfloat16")
    expected, found = (backbone.embed(images(3, size)) for backbone in (exact, rough))
    assert found.dtype == torch.float32
    assert 0 < (found - expected).norm() <= 0.05 * expected.norm()


def test_exact_features_are_those_of_float32_whatever_the_precision() -> None:
    """Bit for bit, also where whoever calls computes in bfloat16."""
    plain = freeze(timm_model("test_vit"), (MEAN, STD), input_size=160)
    rough = freeze(timm_model("test_vit"), (MEAN, STD), input_size=160, precision="bfloat16")
    pixels = images(3, 160)
    expected = plain.embed(pixels)
    assert torch.equal(rough.embed(pixels, exact=True), expected)
    assert not torch.equal(rough.embed(pixels), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(rough.embed(pixels, exact=True), expected)
        assert torch.equal(plain.embed(pixels, exact=True), expected)


@pytest.mark.parametrize(
    ("tag", "multiplies", "dtype"),
    [("test_vit", True, torch.bfloat16), ("test_vit", False, None), ("test_resnet", True, None)],
)
def test_auto_is_bfloat16_for_attention_on_a_processor_that_multiplies_it(
    tag: str, multiplies: bool, dtype: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies, raising=False)
    backbone = freeze(timm_model(tag), (MEAN, STD), input_size=160, precision="auto")
    assert backbone.autocast_dtype is dtype


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingError, match=r"precision is 'half'; allowed: auto \| float32 \| bfloat16"):
        freeze(_own_model(), (MEAN, STD), input_size=SIDE, precision="half")


class _Copies(TorchDispatchMode):
    """Counts the copies of whole tensors."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.clone.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", [nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.Hardswish, nn.Mish])
def test_no_activation_copies_what_it_needs_again(kind: Callable[..., nn.Module]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), kind(inplace=True), nn.Flatten())
    pixels = images(2, 8).requires_grad_()
    found = []
    for module in (FrozenBackbone(copy.deepcopy(model), MEAN, STD), freeze(model, (MEAN, STD), input_size=8)):
        with _Copies() as copies:
            features = module(pixels)
            (gradient,) = torch.autograd.grad(features.sum(), pixels)
        found.append((features.detach(), gradient, copies.count))
    (plain, plain_gradient, plain_copies), (frozen, gradient, copied) = found
    assert (plain_copies, copied) == (1, 0)
    assert torch.equal(frozen, plain) and torch.equal(gradient, plain_gradient)


class _Counted:
    """`aot_eager`, which compiles without a compiler, and counts the graphs it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.graphs = 0
        compile_with = partialmethod(nn.Module.compile, backend=self)
        monkeypatch.setattr(nn.Module, "compile", compile_with)

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return lookup_backend("aot_eager")(graph, inputs)


# The compiler's own, as it reads a graph.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("tag", ["test_vit", "test_resnet", "test_efficientnet"])
def test_compiled_or_not_a_step_has_the_same_gradient(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _Counted(monkeypatch)
    size = timm_model(tag).default_cfg["input_size"][-1]  # pyright: ignore
    found = []
    for compiled in (False, True):
        backbone = freeze(timm_model(tag), (MEAN, STD), input_size=size, compiled=compiled)
        assert counted.graphs == 0
        pixels = images(3, size).requires_grad_()
        features = backbone(pixels)
        slope = torch.linspace(-1, 1, features.shape[1]).exp().expand_as(features)
        (gradient,) = torch.autograd.grad(features, pixels, slope)
        found.append((features.detach(), gradient))
    assert counted.graphs > 0
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5 * plain.abs().max().item())


def test_batches_of_any_size_outside_of_a_step_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _Counted(monkeypatch)
    backbone = freeze(_own_model(), (MEAN, STD), input_size=SIDE, compiled=True)
    for count in range(1, 12):
        backbone.embed(images(count, SIDE))
    assert backbone.width(SIDE) and counted.graphs == 0
    for count in (5, 2, 5, 2):
        backbone(images(count, SIDE))
    assert counted.graphs == 2


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no such compiler")

    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=broken))
    plain = freeze(_own_model(), (MEAN, STD), input_size=SIDE)
    compiled = freeze(_own_model(), (MEAN, STD), input_size=SIDE, compiled=True)
    assert torch.equal(compiled(images(2, SIDE)), plain(images(2, SIDE)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_come_to_the_backbone_batch_by_batch() -> None:
    backbone = freeze(_own_model(), (MEAN, STD), input_size=SIDE, device="cuda")
    found = backbone.embed(images(EMBEDDED_AT_ONCE + 3, SIDE))
    assert found.device.type == "cuda"
    expected = freeze(_own_model(), (MEAN, STD), input_size=SIDE).embed(images(EMBEDDED_AT_ONCE + 3, SIDE))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=1e-3)
