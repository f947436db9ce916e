"""Where distilled images lie among real ones, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgm_core.reporting.periphery import periphery

# Four real images around (2, 0, 0), two of them farther from it along the third axis, which the plane lacks.
REAL = np.array([[2.0, 1.0, 0.0], [2.0, -1.0, 0.0], [2.0, 0.0, 3.0], [2.0, 0.0, -3.0]])
PLANE = np.eye(3)[:, :2]


def test_shares_and_projection_by_hand() -> None:
    found = periphery("cat", REAL, np.array([[4.0, 0.0, 0.0]]), np.zeros(3), PLANE)
    assert found.name == "cat"
    # Distances to the mean: 1, 1, 3, 3 in the space, 1, 1, 0, 0 in the plane; the distilled image's is 2.
    assert (found.nearer, found.nearer_in_plane) == (0.5, 1.0)
    assert found.projection == 2.0


def test_several_distilled_images_are_averaged() -> None:
    found = periphery("cat", REAL, np.array([[4.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), np.zeros(3), PLANE)
    assert (found.nearer, found.projection) == (0.25, 1.5)


@given(st.integers(0, 100))
def test_the_class_mean_itself_is_as_far_out_as_the_class_mean(seed: int) -> None:
    real = np.random.default_rng(seed).normal(size=(7, 5)) + 3
    plane = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(5, 2)))[0]
    found = periphery("any", real, real.mean(axis=0, keepdims=True), np.zeros(5), plane)
    assert (found.nearer, found.nearer_in_plane) == (0.0, 0.0)
    assert found.projection == pytest.approx(1)


def test_a_rotation_of_the_space_changes_nothing() -> None:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    distilled = np.array([[4.0, 0.5, 1.0]])
    plain = periphery("cat", REAL, distilled, np.ones(3), PLANE)
    turned = periphery("cat", REAL @ turn, distilled @ turn, np.ones(3) @ turn, turn.T @ PLANE)
    assert turned.nearer == plain.nearer
    assert turned.nearer_in_plane == plain.nearer_in_plane
    assert turned.projection == pytest.approx(plain.projection)
