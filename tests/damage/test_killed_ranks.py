"""One of several ranks is killed, or the whole run is stopped."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from damage.interrupted import (
    DISTILL,
    reached,
    saved_steps,
)
from processes import StageProcess
from toy_project import write_settings

pytestmark = pytest.mark.slow


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ranks_of(stage: StageProcess) -> list[int]:
    """The processes of a run's ranks, in order; not the tracker that multiprocessing keeps beside them."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(stage.pid)}
    return sorted(pid for pid, command in commands.items() if b"spawn_main" in command)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="child processes are listed in /proc")
@pytest.mark.parametrize("fault", ["a rank killed", "the run stopped"])
def test_a_run_of_three_ranks_ends_within_a_minute_and_goes_on(
    ready: Path, long_run: tuple[Path, dict[str, Any]], fault: str
) -> None:
    write_settings(
        long_run[1] | {"steps": 600, "growth_interval": 6, "checkpoint": {"steps": 3, "minutes": 60.0}}
    )
    stage = StageProcess(ready, *DISTILL, LGM_RANKS="3")
    assert stage.wait_until(reached(ready, 6)), stage.output
    ranks = ranks_of(stage)
    assert len(ranks) == 3
    begun = time.monotonic()
    if fault == "a rank killed":
        os.kill(ranks[1], signal.SIGKILL)
        assert stage.wait() == 1
        assert "error: Rank 1 of 3 was ended by SIGKILL" in stage.output
    else:
        stage.send(signal.SIGTERM)
        assert stage.wait() == 130
    assert time.monotonic() - begun < 60
    assert "Traceback" not in stage.output
    assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()]
    kept = saved_steps(ready)[-1]
    # One process goes on where three were, up to rounding.
    stage = StageProcess(ready, *DISTILL, LGM_RANKS="1")
    assert stage.wait_until(reached(ready, kept + 3)), stage.output
    stage.kill()
    assert f"step-{kept:09d}" in stage.output
