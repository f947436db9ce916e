"""Samples around fixed class means, and what is trained and tried on them."""

from __future__ import annotations

import torch
from torch import Tensor

CLASSES, WIDTH = 3, 4


def clusters(count: int, *, seed: int = 0, spread: float = 1.0, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """Samples around fixed class means, labels shuffled."""
    means = torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(99)) * 2
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    labels = labels[torch.randperm(count, generator=generator)]
    return means[labels] + torch.randn(count, width, generator=generator) * spread, labels


def random_heads(count: int = 4, seed: int = 0) -> Tensor:
    """Heads that nothing was learned by."""
    return torch.randn(count, CLASSES, WIDTH + 1, generator=torch.Generator().manual_seed(seed))
