"""Fold frozen batch norms into the convolutions before them: the same function, half the work.

In evaluation mode BN(y) = (y - μ) γ / √(σ² + ε) + β is affine per channel, so BN(conv(x)) is one convolution
with weights w γ/√(σ²+ε) and bias β + (b - μ) γ/√(σ²+ε).
"""

from __future__ import annotations

import logging

import torch
from torch import fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights

logger = logging.getLogger(__name__)

_TOLERANCE = 1e-3
# Subclasses of Conv2d that only pad their input first.
_PADDED = frozenset({"Conv2dSame", "Conv2dSameExport"})


class _WholeModuleTracer(fx.Tracer):
    """Keeps every convolution and batch norm whole, whatever library wrote it."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, nn.BatchNorm2d | nn.Conv2d) or super().is_leaf_module(
            module, qualified_name
        )


def _foldable(model: nn.Module) -> list[tuple[str, str]]:
    """Names of (convolution, batch norm) where the batch norm alone reads the convolution's result."""
    try:
        graph = _WholeModuleTracer().trace(model)
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        logger.info("batch norms are not folded: the model cannot be traced (%s)", error)
        return []
    modules = dict(model.named_modules())
    calls: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    pairs = []
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.all_input_nodes[0]
        if before.op != "call_module" or not _plain(modules[before.target], model):
            continue
        once = len(before.users) == 1 and calls[before.target] == calls[node.target] == 1
        if once and modules[node.target].running_mean is not None:
            pairs.append((before.target, node.target))
    return pairs


def _plain(module: nn.Module, model: nn.Module) -> bool:
    """Whether a module is a convolution whose weights are its own and are used as they are stored.

    Subclasses may compute their weights (weight standardisation), others are reparametrised or share them.
    """
    if not isinstance(module, nn.Conv2d) or parametrize.is_parametrized(module) or module._forward_pre_hooks:
        return False
    weights = type(module).forward is nn.Conv2d.forward or type(module).__name__ in _PADDED
    shared = sum(weight is module.weight for part in model.modules() for weight in part.parameters(False))
    return weights and shared == 1


def _after_norm(norm: nn.Module) -> nn.Module:
    """What a batch norm does besides normalising: timm's carry a dropout and an activation."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    kept = [part for part in parts if isinstance(part, nn.Module) and not isinstance(part, nn.Identity)]
    return nn.Sequential(*kept) if len(kept) > 1 else kept[0] if kept else nn.Identity()


@torch.no_grad()
def fold_batch_norm(model: nn.Module, input_size: int) -> int:
    """Fold in place where it is safe; checked on a random image against the unfolded model.

    Args:
        model: in evaluation mode, on the CPU.
        input_size: side in pixels of the image used for the check.

    Returns:
        How many batch norms were folded.

    Raises:
        RuntimeError: if the folded model's features differ, which would be a fault of this module.
    """
    pairs = _foldable(model)
    if not pairs:
        return 0
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(1, 3, input_size, input_size, generator=generator)
    expected = model(probe)
    for conv_name, norm_name in pairs:
        conv = model.get_submodule(conv_name)
        norm = model.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        # γ/√(σ²+ε) is rounded once, for weights and bias alike, and given as γ of a norm with variance 1.
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, torch.ones_like(scale), 0.0, scale, norm.bias
        )
        owner, _, attribute = norm_name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, _after_norm(norm))
    difference = (model(probe) - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
    if difference > _TOLERANCE:
        raise RuntimeError(f"folding batch norms changed the features by {difference:.2e}")
    return len(pairs)
