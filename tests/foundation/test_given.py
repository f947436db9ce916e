"""Paths that people give are paths, or one short message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lgm_core.data.sources import find_dataset, load_images
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.given import given_path, shown_path
from lgm_core.foundation.sources import BackboneSource, DatasetSource
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.hub import find_weights

_NOBODY = 65534
LONG = "/x" * 2500
BAD = [
    ("~nosuchuser/x", r"~nosuchuser/x: this machine knows no home folder of ~nosuchuser; write it out"),
    (LONG, r"/x/x.*… \(\d,\d\d\d characters\) cannot be looked at: File name too long\."),
    ("a" * 300, r"cannot be looked at: File name too long\."),
    ("a\0b", r"is no path: embedded null (byte|character)"),
]


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not enter."""
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(_NOBODY)
        yield folder
        os.seteuid(0)
    else:
        yield folder
    folder.chmod(0o700)


def test_home_folders_and_relative_paths_are_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/a") == tmp_path / "a"
    assert given_path("~/a", Path("data")) == tmp_path / "a"
    assert given_path("a/b", Path("data")) == Path("data/a/b")
    assert given_path("a") == Path("a")


@pytest.mark.parametrize(("text", "told"), BAD, ids=["user", "path", "name", "zero"])
def test_what_cannot_be_a_path_is_one_short_message_wherever_it_is_given(text: str, told: str) -> None:
    asked = (
        lambda: given_path(text),
        lambda: find_dataset(DatasetSource(f"folder:{text}"), Path("data")),
        lambda: load_images(DatasetSource(f"folder:{text}"), "train", Path("data")),
        lambda: find_dataset(DatasetSource(f"imagenette:{text}"), Path("data")),
        lambda: find_weights(backbone_row(BackboneSource("timm:resnet18", text))),
        lambda: find_weights(backbone_row(BackboneSource(f"timm:local-dir:{text}"))),
    )
    for ask in asked:
        with pytest.raises(InputError, match=told) as caught:
            ask()
        assert len(str(caught.value)) < 800


def test_a_folder_that_may_not_be_entered_is_told(closed: Path) -> None:
    with pytest.raises(InputError, match=r"closed/data cannot be looked at: Permission denied\."):
        find_dataset(DatasetSource(f"folder:{closed}/data"), Path("data"))


def test_a_path_that_goes_in_circles_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(InputError, match=r"cannot be looked at: Too many levels of symbolic links\."):
        given_path(str(tmp_path / "a"))


def test_a_path_of_other_bytes_can_be_shown() -> None:
    assert shown_path("a/\udcff").encode()
    assert shown_path(Path("a/b")) == "a/b"
