"""A source is one word, and knows what stands beside it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from lgm_core.foundation.sources import BackboneSource, DatasetSource


@pytest.mark.parametrize(
    ("source", "kind", "place"),
    [
        ("digits", "digits", ""),
        ("toy:shapes", "toy", "shapes"),
        ("folder:~/photos", "folder", "~/photos"),
        ("torch/cifar10:/data/x:y", "torch/cifar10", "/data/x:y"),
        ("folder:", "folder", ""),
        ("", "", ""),
    ],
)
def test_a_source_is_a_kind_and_perhaps_a_place(source: str, kind: str, place: str) -> None:
    found = DatasetSource(source)
    assert (found.kind, found.place) == (kind, place)


def test_what_was_given_beside_a_source_is_known_by_name() -> None:
    assert DatasetSource("cub").beside == ()
    assert DatasetSource("cub", partial=False).beside == ("partial",)
    assert DatasetSource("hfds/x", label_key="y", train_split="z").beside == ("train_split", "label_key")


def test_equal_sources_are_equal_and_none_can_be_changed() -> None:
    assert BackboneSource("dino") == BackboneSource("dino", None) != BackboneSource("dino", "a.pth")
    for source in (BackboneSource("dino"), DatasetSource("cub")):
        with pytest.raises(FrozenInstanceError):
            source.source = "x"  # type: ignore[misc]
