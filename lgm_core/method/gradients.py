"""Gradient of the cross-entropy loss of a linear head, in closed form, and the loss that matches two of them.

With logits A = Z Wᵀ + b, the loss L = mean_i CE(A_i, y_i) has ∂L/∂A = (softmax(A) - Y) / n, hence
    G_W = (softmax(A) - Y)ᵀ Z / n      [C, F]
    G_b = mean_i (softmax(A_i) - Y_i)  [C]
so matching gradients needs one ordinary backward pass through the backbone and no second one (Eq. 1-3).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Heads = tuple[Float[Tensor, "m c f"], Float[Tensor, "m c"]]


def draw_heads(
    count: int, classes: int, width: int, *, init: str, std: float, generator: torch.Generator
) -> Heads:
    """Random linear heads on the generator's device.

    Args:
        count: M, number of heads.
        classes: C.
        width: F, the features' width.
        init: `normal`, W ~ N(0, std²) and b = 0; or `linear`, both U(-F^-½, F^-½) as `nn.Linear` draws them.
        std: standard deviation for `normal`.
        generator: where the numbers come from.

    Returns:
        Weights [M, C, F] and biases [M, C].
    """
    device = generator.device
    weight = torch.empty(count, classes, width, device=device)
    bias = torch.zeros(count, classes, device=device)
    if init == "normal":
        weight.normal_(0, std, generator=generator) if std > 0 else weight.zero_()
    else:
        bound = 1 / math.sqrt(width)
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)
    return weight, bias


def head_gradient(
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    heads: Heads,
    *,
    include_bias: bool,
    count: int | None = None,
) -> Float[Tensor, "m c g"]:
    """Gradient of the mean cross-entropy with respect to every head (Eq. 1, 2).

    Args:
        features: Z, [n, F].
        labels: class numbers, [n].
        heads: weights [M, C, F] and biases [M, C].
        include_bias: append G_b as the last column.
        count: divide by this instead of n, where `features` is one part of a larger batch, so that the
            parts' gradients add up to the whole one.

    Returns:
        [M, C, F], or [M, C, F + 1] with the bias.
    """
    weight, bias = heads
    weight, bias = weight.to(features.dtype), bias.to(features.dtype)
    draws, classes, width = weight.shape
    n = features.shape[0] if count is None else count
    # One matrix product for all heads, [M·C, F] × [F, n], and one back; the samples come last, so that the
    # softmax over few classes runs along long rows.
    logits = torch.addmm(bias.reshape(-1, 1), weight.reshape(-1, width), features.mT)
    probabilities = logits.reshape(draws, classes, -1).softmax(dim=1)
    targets = functional.one_hot(labels, classes).mT.to(features.dtype)
    residual = ((probabilities - targets) / n).reshape(draws * classes, -1)
    gradient = (residual @ features).reshape(draws, classes, width)
    if include_bias:
        bias_gradient = residual.sum(dim=1).reshape(draws, classes, 1)
        gradient = torch.cat([gradient, bias_gradient], dim=-1)
    return gradient


def matching_loss(real: Float[Tensor, "m c g"], synthetic: Float[Tensor, "m c g"]) -> Float[Tensor, ""]:
    """1 - cos of the flattened gradients, averaged over the heads (Eq. 3)."""
    return 1 - functional.cosine_similarity(real.flatten(1), synthetic.flatten(1), dim=1).mean()
