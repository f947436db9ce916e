"""Decorrelated colour space (Olah et al., Feature Visualization, 2017), as Lucid defines it."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

# Square root of the correlation matrix of ImageNet's colours.
_CORRELATION_SQRT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@lru_cache
def decorrelation_matrix(
    device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Float[Tensor, "3 3"]:
    """The matrix that maps decorrelated channels to RGB; its largest column norm is 1."""
    matrix = torch.tensor(_CORRELATION_SQRT, dtype=torch.float64)
    return (matrix / matrix.norm(dim=0).max()).to(device=device, dtype=dtype)


def decorrelate(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """The inverse of :func:`correlate`."""
    matrix = torch.linalg.inv(decorrelation_matrix(dtype=torch.float64)).to(images)
    return torch.einsum("rc,nchw->nrhw", matrix, images)


def correlate(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Map images from the decorrelated space to (unsquashed) RGB."""
    matrix = decorrelation_matrix(images.device, images.dtype)
    return torch.einsum("rc,nchw->nrhw", matrix, images)
