"""A convolution and the ReLU behind it as one operation, for frozen weights on a CPU: a tenth less time.

oneDNN clips while it writes the convolution's result, so that it is not read and written again, and the
backward pass needs the clipped result only. Features and gradients stay the same to the last bit, with one
exception: oneDNN clips not-a-number to 0. A damaged checkpoint must not become plausible features that way,
so a model with weights from which such a number could come is left as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable

from lgm_core.folding import WholeModuleTracer
from lgm_core.padding import FixedSizeConvolution

_TOLERANCE = 1e-4
_LARGEST_WEIGHT = 1e4
"""Far above any weight of a trained model, far below what overflows."""
# Upper bounds of what is fused; a plain ReLU has none.
_BOUNDS: dict[type[nn.Module], float | None] = {nn.ReLU: None, nn.ReLU6: 6.0}


class _RectifiedConvolution(torch.autograd.Function):
    """min(max(conv(x), 0), bound); its gradient's only reader must be a convolution, for it is changed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, convolution: nn.Conv2d, bound: float | None) -> Tensor:
        result = torch.ops.mkldnn._convolution_pointwise(
            x, convolution.weight, convolution.bias, *_geometry(convolution), convolution.groups,
            *(("relu", []) if bound is None else ("hardtanh", [0.0, bound])), "",
        )  # fmt: skip
        ctx.save_for_backward(x, result)
        ctx.convolution, ctx.bound = convolution, bound
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,), (x, result), convolution = gradients, ctx.saved_tensors, ctx.convolution
        # In place: a convolution made this gradient for us alone, and what is read once is soon forgotten.
        if ctx.bound is None:
            torch.ops.aten.threshold_backward.grad_input(gradient, result, 0, grad_input=gradient)
        else:
            torch.ops.aten.hardtanh_backward.grad_input(gradient, result, 0, ctx.bound, grad_input=gradient)
        padding, stride, dilation = _geometry(convolution)
        found, _, _ = torch.ops.aten.convolution_backward(
            gradient, x, convolution.weight, None, stride, padding, dilation, False, [0, 0],
            convolution.groups, [True, False, False],
        )  # fmt: skip
        return found, None, None


def _geometry(convolution: nn.Conv2d) -> tuple[list[int], list[int], list[int]]:
    """Padding, stride and dilation."""
    assert not isinstance(convolution.padding, str)
    return list(convolution.padding), list(convolution.stride), list(convolution.dilation)


class RectifiedConvolution(nn.Module):
    """A frozen convolution with its ReLU.

    Args:
        convolution: whose weights it uses.
        bound: upper bound of the result; None for no bound.
    """

    def __init__(self, convolution: nn.Conv2d, bound: float | None) -> None:
        super().__init__()
        self.convolution, self.bound = convolution, bound

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d p q"]:
        """The clipped convolution; differentiable once, in `x` alone."""
        if isinstance(self.convolution, FixedSizeConvolution):
            self.convolution.check(x)
        return _RectifiedConvolution.apply(x, self.convolution, self.bound)


def _simple(module: nn.Module) -> bool:
    """Whether a module is a float32 convolution that does nothing besides."""
    return (
        type(module) in {nn.Conv2d, FixedSizeConvolution}
        and not isinstance(module.padding, str)
        and module.padding_mode == "zeros"
        and module.weight.dtype == torch.float32
        and not (module.weight.requires_grad or module._forward_hooks or module._forward_pre_hooks)
    )


def _sole_user(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """The one module call that reads a node's result, past modules that do nothing."""
    while len(node.users) == 1:
        (node,) = node.users
        if node.op != "call_module":
            return None
        if not isinstance(modules[str(node.target)], nn.Identity):
            return node
    return None


@torch.no_grad()
def fuse_rectifiers(model: nn.Module, input_size: int) -> int:
    """Fuse, in place, every frozen convolution with the ReLU or ReLU6 that alone reads it, where a
    convolution alone reads that; checked on a random image against the model before.

    Args:
        model: on the CPU, after :func:`lgm_core.folding.fold_batch_norm`.
        input_size: side in pixels of the image used for the check.

    Returns:
        How many were fused; none where this build of torch has no oneDNN, or weights are not sound.

    Raises:
        RuntimeError: if the features differ, which would be a fault of this module.
    """
    image = torch.rand(1, 3, input_size, input_size, generator=torch.Generator().manual_seed(0))
    expected = model(image)
    # Written so that not-a-number fails: it is larger than nothing.
    sound = all(bool((weight.abs() <= _LARGEST_WEIGHT).all()) for weight in model.parameters())
    if not sound or not expected.isfinite().all():
        return 0
    count = _fuse(model)
    difference = (model(image) - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
    if difference > _TOLERANCE:
        raise RuntimeError(f"fusing rectifiers changed the features by {difference:.2e}")
    return count


def _fuse(model: nn.Module) -> int:
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return 0
    try:
        graph = WholeModuleTracer().trace(model)
    except Exception:  # tracing runs the model's own code, which may raise anything
        return 0
    modules = dict(model.named_modules())
    targets = [node.target for node in graph.nodes if node.op == "call_module"]
    count = 0
    for node in graph.nodes:
        if node.op != "call_module" or targets.count(node.target) > 1 or not _simple(modules[node.target]):
            continue
        rectifier = _sole_user(node, modules)
        if rectifier is None or targets.count(rectifier.target) > 1:
            continue
        reader = _sole_user(rectifier, modules)
        if type(modules[str(rectifier.target)]) not in _BOUNDS or reader is None:
            continue
        if not isinstance(modules[str(reader.target)], nn.Conv2d):
            continue
        bound = _BOUNDS[type(modules[str(rectifier.target)])]
        _replace(model, node.target, RectifiedConvolution(modules[node.target], bound))  # type: ignore[arg-type]
        _replace(model, str(rectifier.target), nn.Identity())
        count += 1
    return count


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, module)
