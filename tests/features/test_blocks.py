"""A killed extraction goes on with the first block that is not finished, and gives the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from features.test_extraction import Backbone, Spec, _image_set
from features.test_extraction import feature_spec as feature_spec
from PIL import Image

from lgm_core.data.integrity import Inspection, digest
from lgm_core.features.blocks import Kept, mapped
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features, extraction_facts
from lgm_core.foundation.errors import InputError
from lgm_core.images import ImageSet

FACTS = {"settings": {"sides": (16, 12)}, "seed": 0}
TRAIN, TEST = 330, 120
Extract = Callable[..., FeatureCache]


def counted(images: ImageSet, decoded: list[int]) -> ImageSet:
    """The images, with a decoder that says which ones it decoded."""

    def decode(index: int) -> Image.Image:
        decoded.append(index)
        return images.decode(index)

    return replace(images, decode=decode)


@pytest.fixture
def extract(feature_spec: Spec, tiny_backbone: Backbone) -> Extract:
    """`extract(folder, stop_after=2)`: features with blocks in a folder; killed after so many."""

    def run(
        folder: Path | None, decoded: list[int] | None = None, stop_after: int = 99, **facts: Any
    ) -> FeatureCache:
        splits = _image_set(TRAIN), _image_set(TEST, seed=1)
        if decoded is not None:
            splits = counted(splits[0], decoded), counted(splits[1], decoded)
        blocks = None if folder is None else Kept(folder, FACTS | facts)
        inspection = Inspection.of(splits)
        if blocks is not None:
            inspection.note_in(blocks.noted)
        finished: list[int] = []

        def progress(count: int) -> None:
            finished.extend([count] if count else [])
            if len(finished) >= stop_after:
                raise KeyboardInterrupt

        found = extract_features(
            tiny_backbone(), inspection.splits, feature_spec(), seed=0, blocks=blocks, progress=progress
        )
        inspection.finish()
        for watched in inspection.watched:
            seen = [digest(watched.images.decode(index)) for index in (0, len(watched.images) - 1)]
            assert [watched.digests[0], watched.digests[-1]] == seen
        return found

    return run


def same(one: FeatureCache, other: FeatureCache) -> bool:
    """Whether two caches are equal to the last bit."""
    names = ("train", "test", "real_views", "full_views")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("stop_after", [1, 3, 4, 5])
def test_a_killed_run_goes_on_with_the_same_bits(extract: Extract, tmp_path: Path, stop_after: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path / "blocks", stop_after=stop_after)
    decoded: list[int] = []
    found = extract(tmp_path / "blocks", decoded)
    assert same(found, extract(None))
    blocks = [100, 100, 100, 30, 100, 20]  # finished in this order, train first
    assert len(decoded) == sum(blocks[stop_after:]) + 4  # and the four that `extract` looks at


def test_a_finished_run_has_nothing_left_to_do_until_forgotten(extract: Extract, tmp_path: Path) -> None:
    expected = extract(tmp_path / "blocks")
    decoded: list[int] = []
    assert same(extract(tmp_path / "blocks", decoded), expected)
    assert len(decoded) == 4
    Kept(tmp_path / "blocks", FACTS).remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".features", ".noted"])
def test_a_damaged_block_is_made_again(extract: Extract, tmp_path: Path, suffix: str) -> None:
    expected = extract(tmp_path / "blocks")
    path = tmp_path / "blocks" / f"train{suffix}"
    content = bytearray(path.read_bytes())
    content[5] ^= 1  # of the first block
    path.write_bytes(content)
    decoded: list[int] = []
    assert same(extract(tmp_path / "blocks", decoded), expected)
    assert set(decoded[:100]) == set(range(100))
    assert len(decoded) == 104


@pytest.mark.parametrize("damage", ["[1, 2", "", '{"a": 1}\n', "null\n", "[[], 3]\n"])
def test_a_journal_that_a_kill_cut_in_half_costs_its_last_block(
    extract: Extract, tmp_path: Path, damage: str
) -> None:
    expected = extract(tmp_path / "blocks")
    path = tmp_path / "blocks" / "train.done"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + damage, encoding="utf-8")
    decoded: list[int] = []
    assert same(extract(tmp_path / "blocks", decoded), expected)
    assert len(decoded) == 30 + 4


def test_blocks_of_anything_else_are_not_used(extract: Extract, tmp_path: Path) -> None:
    extract(tmp_path / "blocks")
    decoded: list[int] = []
    extract(tmp_path / "blocks", decoded, seed=1)
    assert len(decoded) == TRAIN + TEST + 4
    (tmp_path / "blocks" / "facts.json").write_text("{", encoding="utf-8")
    decoded.clear()
    extract(tmp_path / "blocks", decoded, seed=1)
    assert len(decoded) == TRAIN + TEST + 4


def test_a_rank_keeps_its_own_images_and_their_notes(tmp_path: Path) -> None:
    """Of 330 images the second of two ranks has the last 130, noted under their numbers in the split."""
    places = {2: slice(0, 100), 3: slice(100, 130)}

    def opened(**changes: int) -> frozenset[int]:
        blocks = Kept(tmp_path / "blocks", FACTS)
        noted = blocks.noted("train", 330)
        for key, value in changes.items():
            noted[int(key[1:])] = value
        part = blocks.part("train", (2, 130, 4), places, 200)
        if not part.done:
            part.features.copy_(torch.arange(2 * 130 * 4.0).reshape(2, 130, 4))
            for number, place in places.items():
                part.finish(number, place)
        return part.done

    assert opened(n250=7) == frozenset()
    assert opened() == {2, 3}
    assert opened(n0=5, n199=5) == {2, 3}  # another rank's
    assert opened(n299=5) == {3}
    assert opened(n300=5) == frozenset()


def test_facts_tell_weights_seeds_and_precisions_apart(feature_spec: Spec, tiny_backbone: Backbone) -> None:
    backbone, other, rough = tiny_backbone(), tiny_backbone(), tiny_backbone()
    with torch.no_grad():
        next(iter(other.model.parameters())).add_(1)
    rough.autocast_dtype = torch.bfloat16
    spec = feature_spec()
    found = [
        extraction_facts(*given)
        for given in ((backbone, spec, 0), (backbone, spec, 1), (other, spec, 0), (rough, spec, 0))
    ]
    assert len({json.dumps(facts, sort_keys=True) for facts in found}) == 4
    assert extraction_facts(backbone, spec, 0) == found[0]
    assert found[0]["threads"] == torch.get_num_threads()


def test_a_disk_without_room_is_an_error_that_repairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GB of features have no room"):
        mapped(tmp_path / "x", (2**50,), torch.float32)
    with pytest.raises(InputError, match=r"no room in .*missing"):
        mapped(tmp_path / "missing/x", (1,), torch.float32)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Cannot keep features in .*file/below"):
        Kept(tmp_path / "file/below", {})


def test_a_mapped_tensor_is_there_for_the_next_one(tmp_path: Path) -> None:
    mapped(tmp_path / "x", (3, 4), torch.float32).copy_(torch.arange(12.0).reshape(3, 4))
    assert mapped(tmp_path / "x", (3, 4), torch.float32).sum() == 66
    assert mapped(tmp_path / "x", (2, 4), torch.float32).sum() == 0  # another shape is another tensor
    assert mapped(tmp_path / "y", (0, 4), torch.float32).shape == (0, 4)
