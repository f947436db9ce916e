"""Folders are whole or untouched, and nothing that a killed process left behind stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lgm_core.foundation import store
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import replacing_folder, write_text


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for names in (["a", "b"], ["b", "c"]):
        with replacing_folder(folder) as temporary:
            for name in names:
                (temporary / name).write_text(name)
        assert sorted(path.name for path in folder.iterdir()) == names
    assert list(folder.parent.iterdir()) == [folder]


def test_error_inside_the_block_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing_folder(folder) as temporary:
        (temporary / "new").write_text("new")
        raise ZeroDivisionError
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot swap two names in one step."""
    monkeypatch.setattr(store, "_exchange", lambda one, other: False)


@pytest.mark.usefixtures("no_exchange")
def test_folder_is_replaced_where_names_cannot_be_swapped(tmp_path: Path) -> None:
    test_folder_is_replaced_as_a_whole(tmp_path)


@pytest.mark.usefixtures("no_exchange")
def test_the_old_folder_returns_if_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".folder.tmp."):
            raise PermissionError(1, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    told = pytest.raises(InputError, match=r"Cannot write .*folder: Operation not permitted\. What was there")
    with told, replacing_folder(folder) as temporary:
        (temporary / "new").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [folder]


def _left_behind(path: Path, host: str, pid: int) -> list[Path]:
    """A temporary file and folder of a process that was to become `path`."""
    file, folder = (path.with_name(f".{path.name}.{kind}.{host}.{pid}.tmp") for kind in ("tmp", "old"))
    file.write_text("half")
    folder.mkdir()
    (folder / "part").write_text("half")
    return [file, folder]


def test_what_killed_processes_of_this_machine_left_behind_is_removed(tmp_path: Path) -> None:
    path, gone = tmp_path / "result [1]", 2**22 + 1
    dead = _left_behind(path, store._HOST, gone)
    kept = [
        *_left_behind(path, store._HOST, os.getppid()),
        *_left_behind(path, "elsewhere", gone),
        *_left_behind(tmp_path / "other", store._HOST, gone),
    ]
    write_text(path, "new")
    assert not any(stale.exists() for stale in dead)
    assert sorted(tmp_path.iterdir()) == sorted([path, *kept])


def test_folder_that_cannot_be_replaced_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(InputError, match=r"Cannot write .*folder"),
        replacing_folder(tmp_path / "file" / "folder"),
    ):
        pass
