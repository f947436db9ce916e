"""A stage that is killed or stopped at work goes on; a rerun ends as if nothing had happened."""

from __future__ import annotations

import random
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from damage.interrupted import (
    CELL,
    CHECKPOINTS,
    DISTILL,
    WHOLE,
    features_whole,
    reached,
    ready_for,
    same_set,
    saved_steps,
)
from processes import StageProcess, run_to_end
from toy_project import DATASET, snapshot, write_settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(2))
def test_a_distillation_killed_again_and_again_ends_with_the_same_bits(
    ready: Path, long_run: tuple[Path, dict[str, Any]], seed: int
) -> None:
    for step in sorted(random.Random(seed).sample(range(1, 24), 3)):
        further = max(step, max(saved_steps(ready), default=0) + 1)
        stage = StageProcess(ready, *DISTILL)
        assert stage.wait_until(reached(ready, further)), stage.output
        assert stage.kill() == -signal.SIGKILL
    kept = saved_steps(ready)[-1]
    assert f"step-{kept:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])
    assert saved_steps(ready) == [long_run[1]["steps"]]


def test_a_finished_distillation_whose_result_is_lost_takes_no_step_again(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    """DVC deletes what a stage made before it runs the stage again."""
    run_to_end(ready, *DISTILL)
    shutil.rmtree(ready / CELL.distilled)
    assert f"step-{long_run[1]['steps']:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])
    run_to_end(ready, "probe", DATASET, "conv")
    assert saved_steps(ready) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_distillation_saves_and_says_so_and_goes_on(
    ready: Path, long_run: tuple[Path, dict[str, Any]], number: signal.Signals
) -> None:
    """No checkpoint is due before the end, so the one there is was made because of the signal."""
    rare = {"checkpoint": {"steps": 10**6, "minutes": 1e6}}
    write_settings(long_run[1] | rare)
    stage = StageProcess(ready, *DISTILL)
    owners = f'"pid": {stage.pid},'
    begun = stage.wait_until(
        lambda: any(owners in path.read_text() for path in (ready / CHECKPOINTS).glob("*.owner"))
    )
    assert begun, stage.output
    stage.send(number)
    assert stage.wait() == 130, stage.output
    assert "run the same command again" in stage.output
    assert "Traceback" not in stage.output
    assert len(saved_steps(ready)) == 1
    assert f"step-{saved_steps(ready)[0]:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])


def test_a_stopped_stage_without_checkpoints_ends_at_once(project: Path) -> None:
    before = snapshot()
    stage = StageProcess(project, "features", DATASET, "conv")
    stage.wait_until(lambda: "images" in stage.output)
    stage.send(signal.SIGTERM)
    assert stage.wait() == 130
    assert "Traceback" not in stage.output
    assert snapshot() == before


@pytest.mark.parametrize("verb", ["features", "probe"])
def test_killed_at_work_a_rerun_gives_the_same_result_without_double_rows(
    request: pytest.FixtureRequest, long_run: tuple[Path, dict[str, Any]], verb: str
) -> None:
    folder = ready_for(verb, request, long_run)
    before = snapshot()
    for _ in range(2):
        stage = StageProcess(folder, verb, DATASET, "conv")
        assert stage.wait_until(lambda at=stage: re.search(r"\d+/\d+ \[", at.output) is not None)
        assert stage.kill() == -signal.SIGKILL
        assert snapshot() == before
    run_to_end(folder, verb, DATASET, "conv")
    assert torch.equal(WHOLE[verb](folder), WHOLE[verb](long_run[0]))
    if verb == "features":
        assert features_whole(folder).shape[1] == 18
