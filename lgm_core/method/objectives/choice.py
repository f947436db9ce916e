"""Which objective a method has: one row each."""

from __future__ import annotations

from collections.abc import Callable

from lgm_core.method.objectives.gradient import GradientSide
from lgm_core.method.objectives.means import MeansSide
from lgm_core.method.objectives.objective import Real, RealSide
from lgm_core.method.objectives.ridge import RidgeSide
from lgm_core.settings.method import GRADIENT, MEANS, RIDGE

SIDES: dict[str, Callable[[Real], RealSide]] = {GRADIENT: GradientSide, MEANS: MeansSide, RIDGE: RidgeSide}


def real_side(real: Real) -> RealSide:
    """What the method's objective keeps of the real images."""
    return SIDES[real.method.objective](real)
