"""Where distilled images lie among the real ones of their class: the periphery, says the write-up, §4.1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Periphery:
    """Place of a class's distilled images in feature space; means over them.

    Attributes:
        name: of the class.
        nearer: share of the class's real images that lie nearer to their mean than the distilled image, in
            the full space. 0.5 is where a real image lies, 1 outside of all.
        nearer_in_plane: the same in the plane of two principal components.
        projection: of (distilled − grand mean) on (class mean − grand mean), relative to the latter; 1 is as
            far out as the class mean.
    """

    name: str
    nearer: float
    nearer_in_plane: float
    projection: float


def _nearer(real: np.ndarray, distilled: np.ndarray) -> float:
    """Mean share of the rows [n, F] that lie nearer to their mean than the rows [k, F] do."""
    mean = real.mean(axis=0)
    own = np.linalg.norm(real - mean, axis=1)
    return float(np.mean([(own < distance).mean() for distance in np.linalg.norm(distilled - mean, axis=1)]))


def periphery(
    name: str, real: np.ndarray, distilled: np.ndarray, center: np.ndarray, plane: np.ndarray
) -> Periphery:
    """Where a class's distilled images lie.

    Args:
        name: of the class.
        real: features [n, F] of its real images.
        distilled: features [k, F] of its distilled images.
        center: grand mean [F] of all real images.
        plane: [F, 2], orthonormal directions.
    """
    direction = real.mean(axis=0) - center
    projection = (distilled - center) @ direction / (direction @ direction)
    return Periphery(
        name,
        _nearer(real, distilled),
        _nearer(real @ plane, distilled @ plane),
        float(projection.mean()),
    )
