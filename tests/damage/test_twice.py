"""The same cell twice at once, other settings of it, and steps that explode."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from damage.interrupted import (
    DISTILL,
    images_of,
    reached,
    same_set,
    saved_steps,
)
from processes import StageProcess, run_to_end
from toy_project import snapshot, write_settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_second_run_of_a_cell_is_refused_and_the_first_is_undisturbed(
    ready: Path,
    long_run: tuple[Path, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
    elsewhere: bool,
) -> None:
    """In the same folder, and in a copy that shares its checkpoints, as DVC's experiments do."""
    first = StageProcess(ready, *DISTILL)
    assert first.wait_until(reached(ready, 3)), first.output
    first.send(signal.SIGSTOP)
    folder = ready
    if elsewhere:
        folder = tmp_path_factory.mktemp("copy")
        shutil.copytree(ready, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lgm"))
    second = StageProcess(folder, *DISTILL, DVC_ROOT=str(ready))
    assert second.wait() == 1
    assert f"is being run by pid {first.pid} on" in second.output
    first.send(signal.SIGCONT)
    assert first.wait() == 0
    assert same_set(ready, long_run[0])


def test_other_settings_of_a_cell_may_run_at_the_same_time_elsewhere(
    ready: Path, long_run: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ready, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_settings(long_run[1] | {"learning_rate": 0.01})
    stages = [StageProcess(place, *DISTILL, DVC_ROOT=str(ready)) for place in (ready, folder)]
    assert [stage.wait() for stage in stages] == [0, 0]
    assert same_set(ready, long_run[0])
    assert not torch.equal(images_of(folder), images_of(ready))


def test_a_checkpoint_of_other_settings_is_told_and_left_alone(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    write_settings(long_run[1] | {"learning_rate": 0.01})
    stage = StageProcess(ready, *DISTILL)
    assert stage.wait_until(reached(ready, 3)), stage.output
    stage.kill()
    kept = saved_steps(ready)
    write_settings(long_run[1])
    output = run_to_end(ready, *DISTILL)
    assert "method.learning_rate: 0.01 there, 0.05 here" in output
    assert "going on" not in output
    assert saved_steps(ready) == [*kept, long_run[1]["steps"]]
    assert same_set(ready, long_run[0])


def test_exploding_steps_stop_with_what_was_seen(ready: Path, long_run: tuple[Path, dict[str, Any]]) -> None:
    write_settings(long_run[1] | {"learning_rate": 1e6, "learning_rate_schedule": "constant"})
    before = snapshot()
    stage = StageProcess(ready, *DISTILL)
    assert stage.wait() == 1, stage.output
    assert re.search(r"(?m)^error: The images exploded before step 1: .*1e\+06.*learning_rate", stage.output)
    assert "Traceback" not in stage.output
    assert snapshot() == before
