"""The settings of a run that takes no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lgm_core.settings.method import MethodSettings


@pytest.fixture
def small(method: Callable[..., MethodSettings]) -> Callable[..., MethodSettings]:
    """`small(ipc=2)`: a method of 6 steps on 8 × 8 images that grows before steps 2 and 4."""

    def make(**changes: Any) -> MethodSettings:
        base = {
            "steps": 6,
            "aug_rounds": 2,
            "head_draws": 2,
            "growth_interval": 2,
            "resolution": 8,
            "input_size": 8,
        }
        return method(**{**base, **changes})

    return make
