"""A full disk is a message and costs nothing; a read-only data folder is enough."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from damage.interrupted import (
    CELL,
    DISTILL,
    WHOLE,
    features_whole,
    same_set,
    saved_steps,
)
from processes import StageProcess, run_to_end
from toy_project import DATASET, snapshot

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, int], Path]]:
    """`small_disk(folder, kib)`: put a folder on a disk of its own with that much room left.

    Returns the file that takes the rest.
    """
    mounted: list[Path] = []

    def mount(folder: Path, kib: int) -> Path:
        folder.mkdir(exist_ok=True, parents=True)
        content = tmp_path / f".content-{len(mounted)}"
        shutil.copytree(folder, content)
        try:
            command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small disk cannot be mounted here ({error})")
        mounted.append(folder)
        shutil.copytree(content, folder, dirs_exist_ok=True)
        with pytest.raises(OSError, match="No space"), (folder / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - kib * 1024)
        return folder / "ballast"

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("verb", ["features", "distill", "probe"])
def test_a_full_disk_is_a_message_and_costs_nothing(
    request: pytest.FixtureRequest,
    long_run: tuple[Path, dict[str, Any]],
    small_disk: Callable[[Path, int], Path],
    verb: str,
) -> None:
    folder: Path = request.getfixturevalue("project" if verb == "features" else "ready")
    if verb == "probe":
        shutil.rmtree(folder / CELL.distilled)
        shutil.copytree(long_run[0] / CELL.distilled, folder / CELL.distilled)
    ballast = small_disk(folder / "results", 0 if verb == "probe" else 16)
    before = snapshot()
    stage = StageProcess(folder, verb, DATASET, "conv")
    assert stage.wait() == 1, stage.output
    assert re.search(r"(?m)^error: .*No space left on device", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before
    ballast.unlink()
    run_to_end(folder, verb, DATASET, "conv")
    if verb != "probe":
        assert torch.equal(WHOLE[verb](folder), WHOLE[verb](long_run[0]))


def test_a_full_disk_under_the_checkpoints_keeps_the_last_good_one(
    ready: Path, long_run: tuple[Path, dict[str, Any]], small_disk: Callable[[Path, int], None]
) -> None:
    """The pyramid grows, and with it the checkpoints, until one does not fit."""
    ballast = small_disk(ready / ".lgm", 80)
    stage = StageProcess(ready, *DISTILL)
    assert stage.wait() == 1, stage.output
    assert re.search(r"(?m)^error: Cannot write .*step-\d+.*No space left on device", stage.output)
    kept = saved_steps(ready)
    assert kept
    ballast.unlink()
    assert f"step-{kept[-1]:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])


def test_a_read_only_data_folder_is_enough(project: Path, long_run: tuple[Path, dict[str, Any]]) -> None:
    data = project / "data"
    mount = subprocess.run(["mount", "--bind", str(data), str(data)], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip(f"a folder cannot be mounted read-only here ({mount.stderr.decode().strip()})")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(data)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (data / "x").write_text("")
        run_to_end(project, "features", DATASET, "conv", LGM_WORKERS="2")
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)
    assert torch.equal(features_whole(project), features_whole(long_run[0]))
