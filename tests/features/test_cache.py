"""The feature cache returns as it was written, or names the file that is missing or damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lgm_core.features.cache import FeatureCache, load_features, save_features
from lgm_core.foundation.errors import DamagedFileError, MissingFileError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import read_tensors
from stages import advice

FILES = ("train.safetensors", "views.safetensors", "test.safetensors")
TENSORS = ("train", "train_labels", "test", "test_labels", "real_views", "full_views")


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _cache() -> FeatureCache:
    return FeatureCache(
        classes=("cat", "ägypten dog"),
        train=_random(4, 3),
        train_labels=torch.tensor([0, 1, 1, 0]),
        test=_random(2, 3, seed=1),
        test_labels=torch.tensor([1, 0]),
        real_views=_random(2, 4, 3, seed=2),
        full_views=_random(5, 4, 3, seed=3),
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stage `features@shapes-lite0` of a suite in `tmp_path` puts its cache."""
    layout = Layout(tmp_path, "embedded")
    monkeypatch.setattr(advice, "read_params", lambda: None)
    monkeypatch.setattr(advice, "read_layout", lambda params: layout)
    return layout.cell("shapes", "lite0").features


def test_cache_returns_as_it_was_written(folder: Path) -> None:
    cache = _cache()
    save_features(folder, cache, {"seed": 3})
    found = load_features(folder)
    assert found.classes == cache.classes
    for name in TENSORS:
        assert torch.equal(getattr(found, name), getattr(cache, name)), name
    assert found.test_groups is None
    assert found.group_names == ()


def test_groups_of_the_test_images_return(folder: Path) -> None:
    groups = torch.tensor([2, 0])
    save_features(folder, replace(_cache(), test_groups=groups, group_names=("a", "b", "c")), {})
    found = load_features(folder)
    assert found.test_groups is not None
    assert torch.equal(found.test_groups, groups)
    assert found.group_names == ("a", "b", "c")


@pytest.mark.parametrize("name", FILES)
def test_every_file_says_what_made_it(name: str, folder: Path) -> None:
    save_features(folder, _cache(), {"seed": 3})
    assert read_tensors(folder / name)[1] == {"seed": 3, "classes": ["cat", "ägypten dog"], "groups": []}


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named_with_what_makes_it(name: str, folder: Path) -> None:
    save_features(folder, _cache(), {})
    (folder / name).unlink()
    with pytest.raises(MissingFileError, match=rf"{name} is missing\.$") as caught:
        load_features(folder)
    assert advice.explained(caught.value).endswith("Make it with: dvc repro features@shapes-lite0")


@pytest.mark.parametrize("name", FILES)
def test_file_cut_short_is_named_with_what_makes_it(name: str, folder: Path) -> None:
    save_features(folder, _cache(), {})
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-3])
    with pytest.raises(DamagedFileError, match=rf"{name} is damaged") as caught:
        load_features(folder)
    assert advice.explained(caught.value).endswith("Make it again with: dvc repro -f features@shapes-lite0")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [-1, -10, -20])
def test_flipped_bit_in_the_features_is_detected(name: str, place: int, folder: Path) -> None:
    save_features(folder, _cache(), {})
    content = bytearray((folder / name).read_bytes())
    content[place] ^= 1
    (folder / name).write_bytes(content)
    message = rf"{name} is damaged: its content does not match its checksum"
    with pytest.raises(DamagedFileError, match=message):
        load_features(folder)
