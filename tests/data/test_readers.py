"""Layouts on disk are read as they lie, and what is missing in them is named."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.miniatures import lay_out_classes, picture
from scipy.io import savemat

from lgm_core.data.readers import (
    Listing,
    first_folder,
    image_names,
    listing,
    read_class_folders,
    read_lines,
    read_mat,
    read_split_folders,
    some,
)
from lgm_core.foundation.errors import InputError


def test_first_folder_is_the_first_that_holds_what_is_asked(tmp_path: Path) -> None:
    for name in ("b", "c"):
        (tmp_path / name / "x").mkdir(parents=True)
    places = [tmp_path / name for name in ("a", "b", "c")]
    assert first_folder(places, holding="x") == first_folder(iter(places)) == tmp_path / "b"


def test_first_folder_names_all_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for .*/a/x, .*/b/x"):
        first_folder([tmp_path / "a", tmp_path / "b"], holding="x")
    with pytest.raises(InputError, match=r"looked for .*/a, .*/b\.$"):
        first_folder([tmp_path / "a", tmp_path / "b"])


def test_image_names_are_paths_below_the_root_sorted(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "more/c.tiff", "more/deep/d.webp"):
        picture(tmp_path / "set" / "train" / name)
    names = ["train/a.JPG", "train/b.png", "train/more/c.tiff", "train/more/deep/d.webp"]
    assert image_names(tmp_path / "set", "train") == names


def test_files_that_are_no_images_by_name_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture(tmp_path / "cat" / "1.png")
    for name in ("photo.dat", "README"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    assert image_names(tmp_path, "cat") == ["cat/1.png"]
    assert f"2 files in {tmp_path / 'cat'} are no images by their names, such as cat/README" in caplog.text


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    picture(tmp_path / "more" / "far.png")
    picture(tmp_path / "set" / "cat" / "near.png")
    (tmp_path / "set" / "cat" / "more").symlink_to(tmp_path / "more")
    (tmp_path / "set" / "cat" / "loop").symlink_to(tmp_path / "set" / "cat")
    assert image_names(tmp_path / "set", "cat") == ["cat/more/far.png", "cat/near.png"]


def test_files_of_a_list_that_are_not_there_are_left_out_with_their_groups(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        picture(tmp_path / name)
    entries = [("a/1.png", 0), ("a/gone.png", 1), ("b/2.png", 1), ("c/gone.png", 0)]
    groups = ["sand", "snow", "snow", "sand"]
    found = listing(tmp_path, ("x", "y"), entries, groups, ("snow", "sand"))
    assert found == Listing(tmp_path, ("x", "y"), ("a/1.png", "b/2.png"), (0, 1), (1, 0), ("snow", "sand"))
    assert listing(tmp_path, ("x", "y"), entries).groups == ()


def test_class_folders_are_labelled_in_the_asked_or_in_sorted_order(tmp_path: Path) -> None:
    lay_out_classes(tmp_path, ("b", "a", "c"))
    found = read_class_folders(tmp_path, "train")
    assert (found.classes, found.labels) == (("a", "b", "c"), (0, 1, 2))
    found = read_class_folders(tmp_path, "train", ("c", "a"))
    assert (found.names, found.labels) == (("train/c/0.png", "train/a/0.png"), (0, 1))


def test_class_folders_that_are_missing_or_empty_are_counted_and_named(tmp_path: Path) -> None:
    lay_out_classes(tmp_path, ("a", "b"))
    wanted = ("a", *(f"x{number}" for number in range(7)))
    with pytest.raises(InputError, match=r"lacks 7 of 8 class folders in .*train: x0, x1, x2, x3, x4 …"):
        read_class_folders(tmp_path, "train", wanted)
    (tmp_path / "train" / "e").mkdir()
    with pytest.raises(InputError, match="class folders without an image: e"):
        read_class_folders(tmp_path, "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no class folders in .*empty"):
        read_class_folders(tmp_path, "empty")


def test_a_split_that_is_missing_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no train split: looked for .*/train\."):
        read_split_folders(tmp_path, "train")
    with pytest.raises(InputError, match=r"has no test split: looked for .*/test and .*/val\."):
        read_split_folders(tmp_path, "test")


def test_some_names_stand_for_many() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([*"abcde"]) == "a, b, c, d, e"
    assert some([*"abcdef"]) == "a, b, c, d, e …"


def test_lists_and_matrices_are_read_or_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(" a \n\nb c\n", encoding="utf-8")
    assert read_lines(tmp_path / "list.txt") == ["a", "b c"]
    savemat(tmp_path / "x.mat", {"labels": np.array([[1, 2, 3]])})
    assert read_mat(tmp_path / "x.mat")["labels"].tolist() == [1, 2, 3]
    for read in (read_lines, read_mat):
        with pytest.raises(InputError, match=r"gone\.txt is missing"):
            read(tmp_path / "gone.txt")
    with pytest.raises(InputError, match=r"list\.txt is no readable MATLAB file"):
        read_mat(tmp_path / "list.txt")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """`closed(folder)`: nobody may read what is in it, root included."""
    whole = os.scandir

    def close(folder: Path) -> None:
        def scan(place: str | Path) -> object:
            if Path(place) == folder:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
            return whole(place)

        monkeypatch.setattr(os, "scandir", scan)

    return close


@pytest.mark.parametrize("place", ["train", "train/cat", "train/cat/more"])
def test_a_folder_that_cannot_be_read_is_named_and_none_is_left_out(
    tmp_path: Path, closed: Callable[[Path], None], place: str
) -> None:
    for name in ("cat/1.png", "cat/more/2.png", "dog/1.png"):
        picture(tmp_path / "train" / name)
    closed(tmp_path / place)
    with pytest.raises(InputError, match=rf"cannot be read, {tmp_path / place} \(Permission denied\)"):
        read_split_folders(tmp_path, "train")


def test_one_image_in_two_classes_through_a_link_is_refused(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/1.png"):
        picture(tmp_path / "train" / name)
    (tmp_path / "train" / "dog" / "cats").symlink_to(tmp_path / "train" / "cat")
    with pytest.raises(
        InputError, match=r"one image in the two classes cat and dog.*cat/1\.png and .*cats/1"
    ):
        read_split_folders(tmp_path, "train")


def test_links_within_a_class_and_to_images_elsewhere_are_followed(tmp_path: Path) -> None:
    picture(tmp_path / "store" / "a.png")
    picture(tmp_path / "train" / "cat" / "1.png")
    picture(tmp_path / "train" / "dog" / "1.png")
    (tmp_path / "train" / "cat" / "again.png").symlink_to(tmp_path / "train" / "cat" / "1.png")
    (tmp_path / "train" / "dog" / "stored").symlink_to(tmp_path / "store")
    (tmp_path / "train" / "dog" / "circle").symlink_to(tmp_path / "train" / "dog")
    names = ("train/cat/1.png", "train/cat/again.png", "train/dog/1.png", "train/dog/stored/a.png")
    assert read_split_folders(tmp_path, "train").names == names
