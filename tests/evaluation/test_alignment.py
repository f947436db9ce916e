"""Mutual k-NN counts shared neighbours, ignores scale and rotation, and is at chance where none is shared."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from lgm_core.evaluation.alignment import alignment_matrix, mutual_knn, nearest_neighbors
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import named_generator
from lgm_core.settings.evaluation import AlignmentSettings


def _gaussian(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def _on_circle(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_shared_neighbours_by_hand() -> None:
    a = _on_circle(0, 10, 90, 101)  # pairs 0-1 and 2-3
    b = _on_circle(0, 10, 92, 50)  # 0 → 1, 1 → 0, 2 → 3, 3 → 1
    assert nearest_neighbors(a, 1).flatten().tolist() == [1, 0, 3, 2]
    assert nearest_neighbors(b, 1).flatten().tolist() == [1, 0, 3, 1]
    assert mutual_knn(a, b, 1) == 3 / 4


def test_two_neighbours_share_by_hand() -> None:
    a, b = _on_circle(0, 10, 21, 90), _on_circle(0, 90, 21, 10)
    # a: 0→{1,2} 1→{0,2} 2→{1,0} 3→{2,1}; b: 0→{3,2} 1→{2,3} 2→{3,0} 3→{0,2}
    assert mutual_knn(a, b, 2) == pytest.approx((1 + 1 + 1 + 1) / 8)


@pytest.mark.parametrize("count", [1, 5, 20])
def test_neighbours_equal_those_of_sklearn(count: int) -> None:
    features = _gaussian(60, 6, 0) * torch.rand(60, 1, generator=torch.Generator().manual_seed(1))
    model = NearestNeighbors(n_neighbors=count, metric="cosine").fit(features.numpy())
    expected = model.kneighbors(return_distance=False)  # excludes the sample itself
    np.testing.assert_array_equal(nearest_neighbors(features, count).numpy(), expected)


@pytest.mark.parametrize(("samples", "count"), [(400, 10), (200, 40)])
def test_unrelated_features_align_at_chance(samples: int, count: int) -> None:
    values = [
        mutual_knn(_gaussian(samples, 16, seed), _gaussian(samples, 24, 100 + seed), count)
        for seed in range(10)
    ]
    chance = count / (samples - 1)
    assert np.mean(values) == pytest.approx(chance, abs=4 * np.std(values) / math.sqrt(10) + 1e-3)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_rotation_and_scale_change_nothing(seed: int, scale: float) -> None:
    a, b = _gaussian(40, 5, seed).double(), _gaussian(40, 5, seed + 1).double()
    rotation = torch.linalg.qr(_gaussian(5, 5, seed + 2).double()).Q
    assert mutual_knn(a, a @ rotation * scale, 7) == 1
    assert mutual_knn(a @ rotation * scale, b, 7) == pytest.approx(mutual_knn(a, b, 7))
    assert mutual_knn(b, a, 7) == mutual_knn(a, b, 7)


def test_all_others_as_neighbours_are_always_shared() -> None:
    assert mutual_knn(_gaussian(9, 3, 0), _gaussian(9, 4, 1), 8) == 1


def test_a_sample_is_never_its_own_neighbour() -> None:
    found = nearest_neighbors(_gaussian(30, 4, 0), 29)
    assert not (found == torch.arange(30)[:, None]).any()


def test_features_are_not_centred() -> None:
    a = torch.tensor([[10.0, 1.0], [10.0, -1.0], [20.0, 2.5], [20.0, -2.5]])
    assert nearest_neighbors(a, 1).flatten().tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize("count", [0, 4, 5])
def test_too_many_neighbours_name_the_setting_and_its_range(count: int) -> None:
    message = rf"alignment\.neighbors is {count}; allowed: 1 to 3, for there are 4 samples"
    with pytest.raises(InputError, match=message):
        mutual_knn(_gaussian(4, 2, 0), _gaussian(4, 2, 1), count)


def test_matrix_holds_every_pair_on_the_same_random_samples() -> None:
    features = {"a": _gaussian(50, 4, 0), "b": _gaussian(50, 6, 1)}
    spec = AlignmentSettings(neighbors=5, samples=30, seed=3)
    result = alignment_matrix(features, spec)
    chosen = torch.randperm(50, generator=named_generator(3, "alignment"))[:30]
    expected = mutual_knn(features["a"][chosen], features["b"][chosen], 5)
    assert result["matrix"] == {"a": {"a": 1.0, "b": expected}, "b": {"a": expected, "b": 1.0}}
    assert (result["neighbors"], result["samples"]) == (5, 30)
    assert result["chance"] == pytest.approx(5 / 29)


def test_fewer_images_than_samples_are_all_used() -> None:
    result = alignment_matrix(
        {"a": _gaussian(20, 4, 0)}, AlignmentSettings(neighbors=5, samples=1000, seed=0)
    )
    assert result["samples"] == 20


def test_backbones_that_saw_different_numbers_of_images_are_refused_and_named() -> None:
    features = {"a": _gaussian(20, 4, 0), "b": _gaussian(19, 4, 0)}
    with pytest.raises(InputError, match=r"different numbers of test images: \{'a': 20, 'b': 19\}"):
        alignment_matrix(features, AlignmentSettings(neighbors=5, samples=10, seed=0))
