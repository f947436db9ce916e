"""The nearest real images of distilled ones are of their class, found by what the backbone sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from evaluation.plain_colors import PURE, SIDE, plain
from PIL import Image

from lgm_core.evaluation.neighbors import Neighbors, find_neighbors, save_neighbors
from lgm_core.evaluation.small_sets import LabeledImages, real_sets
from lgm_core.features.augment import center_crop
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import read_json, read_tensors
from lgm_core.images import ImageSet, squares
from lgm_core.models.frozen import FrozenBackbone


def test_the_distilled_images_own_neighbors_are_found_again(
    backbone: FrozenBackbone,
) -> None:
    labels = torch.arange(3).repeat_interleave(5)
    # Every picture, 16 × 12 pixels, has in its middle the colour that surrounds the next one of its class.
    palette = ("red", "lime", "blue", "yellow", "magenta")
    pictures = [Image.new("RGB", (16, SIDE), palette[number % 5]) for number in range(15)]
    for number, picture in enumerate(pictures):
        picture.paste(palette[(number + 1) % 5], (6, 4, 10, 8))
    train = ImageSet(("r", "g", "b"), labels, tuple(map(str, range(15))), lambda index: pictures[index])
    images = squares(train, list(range(15)), SIDE)
    features = backbone(center_crop(images, 10))
    cache = FeatureCache(train.classes, features, labels, features, labels, features[None], features[None])
    numbers = [3, 0, 12, 7, 9]
    distilled = LabeledImages(images[numbers], labels[numbers])
    chosen = {"centroids": [[1, 6, 11]], "random": [[0, 5, 10], [4, 9, 14]]}
    near = find_neighbors([(backbone, cache)], distilled.images, distilled.labels, 10)
    found = real_sets(train, {"neighbors": [near.nearest], **chosen}, SIDE)
    assert list(found) == ["neighbors", "centroids", "random"]
    assert len(found["neighbors"]) == 1
    assert torch.equal(found["neighbors"][0].images, distilled.images)
    assert torch.equal(found["neighbors"][0].labels, distilled.labels)
    for draw, numbers in zip(found["random"], chosen["random"], strict=True):
        assert torch.equal(draw.images, images[numbers])
        assert draw.labels.tolist() == [0, 1, 2]


def test_features_of_distilled_images_are_exact(tiny_backbone: Callable[..., FrozenBackbone]) -> None:
    images = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    labels, rough = torch.arange(3), tiny_backbone()
    rough.autocast_dtype = torch.bfloat16
    features = tiny_backbone().embed(images)
    cache = FeatureCache(("r", "g", "b"), features, labels, features, labels, features[None], features[None])
    assert torch.equal(find_neighbors([(rough, cache)], images, labels, SIDE).features, features)


def test_a_neighbor_is_of_its_own_class(backbone: FrozenBackbone) -> None:
    labels = torch.arange(3)
    pictures = [Image.new("RGB", (SIDE, SIDE), color) for color in ("red", "lime", "blue")]
    train = ImageSet(("r", "g", "b"), labels, ("0", "1", "2"), lambda index: pictures[index])
    features = backbone(squares(train, [0, 1, 2], SIDE))
    cache = FeatureCache(train.classes, features, labels, features, labels, features[None], features[None])
    wrongly_blue = LabeledImages(plain(PURE[[2, 2, 2]]), labels)
    found = find_neighbors([(backbone, cache)], wrongly_blue.images, labels, SIDE)
    assert found.nearest == labels.tolist()
    assert found.similarities[2, 0] == pytest.approx(1)
    assert found.similarities[:2].max() < 1


def test_neighbors_are_written_with_their_pictures_and_names(
    backbone: FrozenBackbone, tmp_path: Path
) -> None:
    labels = torch.tensor([0, 1, 0])
    pictures = [Image.new("RGB", (SIDE + 4, SIDE), color) for color in ("red", "lime", "maroon")]
    train = ImageSet(("r", "g"), labels, ("r/0", "g/0", "r/1"), lambda index: pictures[index])
    features = backbone(squares(train, [0, 1, 2], SIDE))
    cache = FeatureCache(train.classes, features, labels, features, labels, features[None], features[None])
    wanted = torch.tensor([0, 0, 1])
    found = find_neighbors([(backbone, cache)], squares(train, [2, 0, 1], SIDE), wanted, SIDE)
    save_neighbors(tmp_path / "near", found, train, wanted, 8, {"source": "a"})
    assert read_json(tmp_path / "near" / "neighbors.json") == {
        "source": "a",
        "neighbors": [
            {"name": "r/1", "picture": "images/0_r/0.png", "similarity": 1.0, "further": []},
            {"name": "r/0", "picture": "images/0_r/1.png", "similarity": 1.0, "further": []},
            {"name": "g/0", "picture": "images/1_g/0.png", "similarity": 1.0, "further": []},
        ],
    }
    tensors, _ = read_tensors(tmp_path / "near" / "features.safetensors")
    assert torch.equal(tensors["features"], features[[2, 0, 1]])
    assert torch.equal(tensors["labels"], wanted)
    with Image.open(tmp_path / "near" / "images" / "0_r" / "1.png") as opened:
        assert (opened.size, opened.getpixel((0, 0))) == ((8, 8), (255, 0, 0))


def test_the_next_nearest_images_lie_beside(backbone: FrozenBackbone, tmp_path: Path) -> None:
    labels = torch.tensor([0, 0, 0])
    pictures = [Image.new("RGB", (SIDE, SIDE), color) for color in ("red", "orange", "blue")]
    train = ImageSet(("r",), labels, ("0", "1", "2"), lambda index: pictures[index])
    images = squares(train, [0, 1, 2], SIDE)
    features = backbone(images)
    cache = FeatureCache(train.classes, features, labels, features, labels, features[None], features[None])
    found = find_neighbors([(backbone, cache)], images[:1], labels[:1], SIDE, 3)
    assert found.nearest == [0]
    save_neighbors(tmp_path / "near", found, train, labels[:1], 8, {})
    (entry,) = read_json(tmp_path / "near" / "neighbors.json")["neighbors"]
    assert (entry["picture"], entry["name"]) == ("images/r/0.png", "0")
    assert [one["picture"] for one in entry["further"]] == [f"further/r/0/{rank}.png" for rank in (1, 2)]
    for one in entry["further"]:
        with Image.open(tmp_path / "near" / one["picture"]) as opened:
            assert opened.getpixel((0, 0)) == pictures[int(one["name"])].getpixel((0, 0))
    ordered = [entry["similarity"], *(one["similarity"] for one in entry["further"])]
    assert ordered == sorted(ordered, reverse=True)


def test_a_picture_that_cannot_be_read_leaves_the_neighbors_of_before(tmp_path: Path) -> None:
    def decode(index: int) -> Image.Image:
        raise InputError("0.png cannot be decoded")

    labels, features = torch.tensor([0]), torch.ones(1, 3)
    found = Neighbors(features, labels[:, None], torch.ones(1, 1))
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "neighbors.json").write_text("of before")
    with pytest.raises(InputError, match="cannot be decoded"):
        save_neighbors(tmp_path / "near", found, ImageSet(("r",), labels, ("0",), decode), labels, 8, {})
    assert (tmp_path / "near" / "neighbors.json").read_text() == "of before"
    assert [path.name for path in tmp_path.iterdir()] == ["near"]
