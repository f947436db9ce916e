"""What is known of every published data set is consistent, and told where the data set is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lgm_core.data.catalogue import DATASETS, about
from lgm_core.data.sources import load_images
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import DatasetSource


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_that_is_missing_says_where_how_and_under_what_licence(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        load_images(DatasetSource(name), "train", tmp_path)
    message = str(caught.value)
    row = DATASETS[name]
    for told in (
        row.title,
        *(str(tmp_path / folder) for folder in row.folders),
        row.layout,
        row.get,
        row.license,
    ):
        assert told in message


@pytest.mark.parametrize("name", DATASETS)
def test_expected_numbers_agree_with_each_other(name: str) -> None:
    row = DATASETS[name]
    for split, (fewest, most) in row.per_class.items():
        expected = row.images[split]
        assert expected is None or fewest * row.classes <= expected <= most * row.classes


def test_sets_that_are_built_in_have_a_line_about_them_and_others_none() -> None:
    assert "scikit-learn" in about("digits")
    assert about("folder:mine") == about("cub") == ""


def test_imagenets_subsets_are_ten_of_its_classes_each() -> None:
    subsets = {name: row for name, row in DATASETS.items() if name.startswith("image") and row.classes == 10}
    assert len(subsets) == 10
    assert all(row.images == {"train": None, "test": 500} for row in subsets.values())
