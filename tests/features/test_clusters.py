"""Clusters of a class's images: by hand, none empty, numbered so that nothing depends on k-means's order."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lgm_core.features.clusters import cluster_classes
from lgm_core.foundation.errors import InputError

CLASSES = ("cat", "dog")


def test_clusters_and_medoids_by_hand() -> None:
    # cat: {0, 1, 2} around 1 and {10}; dog: {5} and {20, 21, 22, 30}.
    features = torch.tensor([[0.0], [5], [1], [20], [2], [21], [10], [22], [30]])
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 1])
    found = cluster_classes(features, labels, 2, seed=0, classes=CLASSES)
    # The larger cluster of a class comes first; 23.25 is nearest to 22.
    assert found.slots.tolist() == [0, 3, 0, 2, 0, 2, 1, 2, 2]
    assert found.medoids.tolist() == [2, 6, 7, 1]


def test_one_cluster_is_the_class_and_its_medoid_the_image_nearest_to_the_mean() -> None:
    features = torch.tensor([[0.0], [4], [5], [9]])
    labels = torch.tensor([0, 0, 0, 1])
    found = cluster_classes(features, labels, 1, seed=3, classes=CLASSES)
    assert found.slots.tolist() == [0, 0, 0, 1]
    assert found.medoids.tolist() == [1, 3]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_every_slot_has_images_of_its_class_and_its_medoid_is_one_of_them(seed: int, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(2).repeat(7)[torch.randperm(14, generator=generator)]
    features = torch.randn(14, 3, generator=generator)
    found = cluster_classes(features, labels, count, seed=seed, classes=CLASSES)
    assert set(found.slots.tolist()) == set(range(2 * count))
    assert torch.equal(found.slots // count, labels)
    assert found.slots[found.medoids].tolist() == list(range(2 * count))
    again = cluster_classes(features, labels, count, seed=seed, classes=CLASSES)
    assert torch.equal(again.slots, found.slots)


def test_equal_images_are_shared_out_so_that_no_cluster_is_empty() -> None:
    features = torch.zeros(8, 2)
    found = cluster_classes(features, torch.arange(2).repeat(4), 3, seed=0, classes=CLASSES)
    assert sorted(set(found.slots.tolist())) == [0, 1, 2, 3, 4, 5]
    assert len({*found.medoids.tolist()}) == 6


def test_a_class_with_fewer_images_than_clusters_is_named() -> None:
    with pytest.raises(InputError, match=r"3 images per class .* fewer: dog \(2\)"):
        cluster_classes(torch.zeros(5, 2), torch.tensor([0, 0, 0, 1, 1]), 3, seed=0, classes=CLASSES)
