"""The real images chosen for a class are those of the definition, and always of that class."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lgm_core.evaluation.selection import (
    nearest_of_class,
    select_baselines,
    select_centroids,
    select_further,
    select_herding,
    select_k_center,
    select_random,
)
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.seeds import named_generator

CLASSES = ("cat", "dog", "owl")


def _data(per_class: int = 6, width: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features and shuffled labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(CLASSES)).repeat(per_class)
    labels = labels[torch.randperm(len(labels), generator=generator)]
    return torch.randn(len(labels), width, generator=generator), labels


def test_centroid_is_the_image_nearest_to_its_class_mean() -> None:
    # Class 0: mean (2, 0), nearest (3, 0). Class 1: mean (0, 4), nearest (0, 4) itself.
    features = torch.tensor([[0.0, 0], [0, 3], [3, 0], [0, 5], [3, 0], [0, 4]])
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    assert select_centroids(features, labels, CLASSES[:2], 1).tolist() == [2, 5]


def test_centroids_come_class_by_class_nearest_first_and_ties_in_file_order() -> None:
    features = torch.tensor([[9.0], [4], [0], [5], [7]])
    labels = torch.tensor([1, 0, 0, 0, 1])  # class 0: mean 3, distances 1, 3, 2; class 1: mean 8, a tie
    assert select_centroids(features, labels, CLASSES[:2], 2).tolist() == [1, 3, 0, 4]


def test_centroid_distance_is_euclidean_not_cosine() -> None:
    features = torch.tensor([[1.0, 1.0], [100.0, 0.0], [0.0, 100.0], [30.0, 40.0]])
    chosen = select_centroids(features, torch.zeros(4, dtype=torch.long), ("cat",), 1)
    assert chosen.tolist() == [3]  # mean (32.75, 35.25); by angle (1, 1) would win


def test_neighbor_has_the_highest_cosine_similarity_of_its_class() -> None:
    features = torch.tensor([[1.0, 0.0], [10.0, 10.0], [0.0, 1.0], [1.0, 0.1]])
    labels = torch.tensor([0, 0, 0, 1])
    synthetic = torch.tensor([[1.0, 0.1], [0.1, 5.0], [-1.0, -1.0]])
    # Image 3 equals the first synthetic image but is of another class.
    assert nearest_of_class([(synthetic, features)], torch.tensor([0, 0, 1]), labels).tolist() == [
        [0],
        [2],
        [3],
    ]


@given(st.integers(0, 10_000), st.integers(1, 3))
def test_neighbors_stay_within_their_class(seed: int, ipc: int) -> None:
    features, labels = _data(seed=seed)
    synthetic = torch.randn(3 * ipc, 4, generator=torch.Generator().manual_seed(seed + 1))
    synthetic_labels = torch.arange(3).repeat_interleave(ipc)
    chosen = nearest_of_class([(synthetic, features)], synthetic_labels, labels)[:, 0]
    assert torch.equal(labels[chosen], synthetic_labels)


def test_neighbor_of_a_real_image_is_itself_at_any_scale() -> None:
    features, labels = _data()
    chosen = nearest_of_class([(features * 7, features)], labels, labels)[:, 0]
    assert torch.equal(chosen, torch.arange(len(labels)))


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_random_takes_different_images_class_by_class(seed: int, ipc: int) -> None:
    _, labels = _data(seed=seed)
    chosen = select_random(labels, CLASSES, ipc, torch.Generator().manual_seed(seed))
    assert torch.equal(labels[chosen], torch.arange(3).repeat_interleave(ipc))
    assert len(set(chosen.tolist())) == 3 * ipc


def test_random_takes_every_image_equally_often() -> None:
    _, labels = _data()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([select_random(labels, CLASSES, 2, generator) for _ in range(3000)])
    shares = torch.bincount(drawn, minlength=18) / 3000
    assert (shares - 1 / 3).abs().max() < 0.05


def test_as_many_images_as_there_are_is_all_of_them() -> None:
    features, labels = _data()
    for chosen in (
        select_centroids(features, labels, CLASSES, 6),
        select_random(labels, CLASSES, 6, torch.Generator()),
    ):
        assert sorted(chosen.tolist()) == list(range(18))


@pytest.mark.parametrize("baseline", ["centroids", "random"])
def test_too_few_images_name_the_class_and_its_number(baseline: str) -> None:
    labels = torch.tensor([0, 0, 1, 1, 1])
    with pytest.raises(InputError, match=r"3 images per class.*ipc.*fewer: cat \(2\), owl \(0\)\."):
        if baseline == "centroids":
            select_centroids(torch.zeros(5, 2), labels, CLASSES, 3)
        else:
            select_random(labels, CLASSES, 3, torch.Generator())


def _cache(
    features: Tensor | None = None, labels: Tensor | None = None, classes: tuple[str, ...] = CLASSES
) -> FeatureCache:
    if features is None or labels is None:
        features, labels = _data()
    return FeatureCache(classes, features, labels, features, labels, features[None], features[None])


def test_baselines_are_the_centroids_and_named_random_draws() -> None:
    cache = _cache()
    chosen = select_baselines(cache, 2, draws=3, seed=5)
    assert chosen["centroids"] == [select_centroids(cache.train, cache.train_labels, CLASSES, 2).tolist()]
    second = select_random(cache.train_labels, CLASSES, 2, named_generator(5, "draw", 1))
    assert chosen["random"][1] == second.tolist()
    assert len({tuple(draw) for draw in chosen["random"]}) == 3


def test_more_draws_do_not_change_the_first_ones() -> None:
    few, many = (select_baselines(_cache(), 1, draws=draws, seed=0)["random"] for draws in (2, 5))
    assert many[:2] == few


# Further selections


def test_herding_keeps_the_mean_of_what_it_chose_near_the_class_mean() -> None:
    # Mean μ = 4. w = 4: the largest 4z is 10. w = 4 + 4 - 10 = -2: the largest -2z is 0 (z = 0).
    # w = -2 + 4 - 0 = 2: the largest 2z that is left is 5.
    features = torch.tensor([[0.0], [1], [10], [5]])
    chosen = select_herding(features, torch.zeros(4, dtype=torch.long), ("cat",), 3)
    assert chosen.tolist() == [2, 0, 3]


def test_k_center_begins_at_the_mean_and_goes_where_it_is_farthest() -> None:
    # Mean 5: image 3. Distances 5, 4, 5, -: the first of the farthest, 0. Then 10 is 5 from 5.
    features = torch.tensor([[0.0], [1], [10], [5], [9]])
    chosen = select_k_center(features, torch.zeros(5, dtype=torch.long), ("cat",), 4)
    assert chosen.tolist() == [3, 0, 2, 1]


def test_medoids_are_the_images_nearest_to_the_centres_of_clusters() -> None:
    features = torch.tensor([[0.0], [1], [2], [10], [11], [12], [13]])
    labels = torch.zeros(7, dtype=torch.long)
    cache = _cache(features, labels, ("cat",))
    found = select_further(cache, 2, seed=0)
    assert found["medoids"] == [[4, 1]]
    assert set(found) == {"herding", "medoids", "k_center"}


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_further_selections_are_different_images_class_by_class(seed: int, ipc: int) -> None:
    features, labels = _data(seed=seed)
    for name, (numbers,) in select_further(_cache(features, labels, CLASSES), ipc, seed=seed).items():
        assert labels[numbers].tolist() == [label for label in range(3) for _ in range(ipc)], name
        assert len({*numbers}) == 3 * ipc, name


def test_neighbors_of_several_backbones_have_the_highest_mean_similarity() -> None:
    synthetic = torch.tensor([[1.0, 0.0]])
    first = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    second = torch.tensor([[0.0, 1.0], [0.8, 0.6], [1.0, 0.0]])
    labels, of = torch.zeros(3, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    assert nearest_of_class([(synthetic, first)], of, labels).tolist() == [[0]]
    # Mean cosines: 0.5, 0.8, 0.5.
    assert nearest_of_class([(synthetic, first), (synthetic, second)], of, labels).tolist() == [[1]]


def test_the_next_nearest_follow_and_a_small_class_has_fewer() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.1], [2.0, 2.0]])
    synthetic = torch.tensor([[1.0, 0.2]])
    labels = torch.tensor([0, 0, 0, 1, 0])
    of = torch.zeros(1, dtype=torch.long)
    # Of the equal images 1 and 4 the one that stands first comes first.
    assert nearest_of_class([(synthetic, features)], of, labels, 3).tolist() == [[0, 1, 4]]
    assert nearest_of_class([(synthetic, features)], of, labels, 9).tolist() == [[0, 1, 4, 2]]
    both = torch.tensor([0, 1])
    assert nearest_of_class([(synthetic.repeat(2, 1), features)], both, labels, 3).tolist() == [[0], [3]]
