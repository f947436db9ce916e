"""A kill at any change of a file leaves the previous result or the new one."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from damage.interrupted import (
    CHECKPOINTS,
    DISTILL,
    WHOLE,
    ready_for,
    same_set,
)
from processes import CountChanges, DieAt, DieHalfway, StageProcess, run_to_end
from toy_project import DATASET, LAYOUT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("verb", ["features", "distill", "probe"])
def test_killed_at_any_change_of_a_file_the_previous_result_or_the_new_one_stands(
    request: pytest.FixtureRequest, long_run: tuple[Path, dict[str, Any]], verb: str
) -> None:
    folder = ready_for(verb, request, long_run)
    whole = WHOLE[verb]
    old, new = whole(folder), whole(long_run[0])
    assert not torch.equal(old, new)
    killed = 0
    faults = [DieHalfway(number) for number in (1, 2, 3)]
    faults += [DieAt(number, str(folder / "results")) for number in _changes(folder, verb)]
    for fault in faults:
        stage = StageProcess(folder, verb, DATASET, "conv", fault=fault)
        status = stage.wait()
        found = whole(folder)
        assert torch.equal(found, old if status else new) or torch.equal(found, new)
        if status == 0:
            continue
        assert status == -signal.SIGKILL, stage.output
        killed += 1
    assert killed >= 2
    run_to_end(folder, verb, DATASET, "conv")
    assert torch.equal(whole(folder), new)
    assert not list((folder / "results").rglob(".*.tmp"))


def _changes(folder: Path, verb: str) -> list[int]:
    """Which of a stage's changes of files to die at: some, and the last, which replace the old result."""
    copy_of, report = folder.parent / f"{folder.name}-counted", folder / ".changes"
    shutil.copytree(folder, copy_of)
    stage = StageProcess(
        copy_of, verb, DATASET, "conv", fault=CountChanges(str(copy_of / "results"), str(report))
    )
    assert stage.wait() == 0, stage.output
    count = report.stat().st_size
    return sorted({*range(1, count, max(1, count // 6)), *range(max(1, count - 9), count + 1)})


def test_killed_at_any_change_of_a_checkpoint_an_intact_one_stands(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    for fault in (DieHalfway(4), *(DieAt(number, str(ready / CHECKPOINTS)) for number in (5, 8, 11, 14, 17))):
        stage = StageProcess(ready, *DISTILL, fault=fault)
        assert stage.wait() == -signal.SIGKILL, stage.output
        assert "damaged" not in stage.output
    assert "going on from" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])


def test_a_table_killed_at_any_change_of_a_file_is_the_previous_one_or_the_new_one(project: Path) -> None:
    paths = [LAYOUT.table("table2", ".csv"), LAYOUT.table("table2", ".md"), LAYOUT.metrics("table2")]
    new = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_text("the previous one", encoding="utf-8")
    killed = 0
    half = [DieHalfway(number) for number in range(1, 6)]
    for fault in [*half, *(DieAt(number, str(project)) for number in range(1, 40, 3))]:
        status = StageProcess(project, "tables", "table2", fault=fault).wait()
        for path, expected in zip(paths, new, strict=True):
            assert path.read_bytes() in (b"the previous one", expected)
        killed += status != 0
    assert killed >= 6
    assert [path.read_bytes() for path in paths] == new
