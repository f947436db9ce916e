"""Shared by the tests of the evaluation: a short probe, and a backbone that sees mean colours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.params import Params


@pytest.fixture
def short_probe(params: Callable[..., Params]) -> Callable[..., ProbeSettings]:
    """`short_probe(patience=3)`: a short probe of a batch of 12 with a high learning rate."""
    small = {
        "epochs": 20,
        "full_epochs": 20,
        "batch_size": 12,
        "learning_rate": 2.0,
        "view_rounds": 3,
        "seeds": 2,
    }
    return lambda **changes: params(probe={**small, **changes}).probe


@pytest.fixture
def backbone() -> FrozenBackbone:
    """Mean colour, from -1 to 1 in every channel."""
    return FrozenBackbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (0.5,) * 3, (0.5,) * 3)
