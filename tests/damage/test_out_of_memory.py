"""Memory that runs out is answered with smaller micro-batches, or with one message."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from damage.interrupted import (
    CHECKPOINTS,
    DISTILL,
    features_whole,
    images_of,
)
from processes import FewViews, StageProcess, run_to_end
from toy_project import DATASET, snapshot, write_settings

pytestmark = pytest.mark.slow


def test_where_memory_runs_out_smaller_micro_batches_are_used_and_told(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    write_settings(long_run[1] | {"steps": 3, "aug_rounds": 5})
    run_to_end(ready, *DISTILL)
    whole = images_of(ready)
    shutil.rmtree(ready / CHECKPOINTS)
    stage = StageProcess(ready, *DISTILL, fault=FewViews(4))
    assert stage.wait() == 0, stage.output
    assert (
        "can't allocate memory: you tried to allocate 9 bytes.); going on with a micro-batch of 4 views"
        in (stage.output)
    )
    assert torch.allclose(images_of(ready), whole, atol=1e-3)


def test_where_not_even_one_view_fits_the_message_says_so(ready: Path) -> None:
    before = snapshot()
    stage = StageProcess(ready, *DISTILL, fault=FewViews(0))
    assert stage.wait() == 1
    assert re.search(r"(?m)^error: Memory (ran|runs) out .*LGM_DEVICE=cpu", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before


def test_features_are_made_in_smaller_batches_where_memory_runs_out(
    project: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    stage = StageProcess(project, "features", DATASET, "conv", fault=FewViews(3))
    assert stage.wait() == 0, stage.output
    assert "out of memory" in stage.output
    torch.testing.assert_close(features_whole(project), features_whole(long_run[0]))


def test_memory_that_runs_out_elsewhere_is_a_message_too(project: Path) -> None:
    before = snapshot()
    stage = StageProcess(project, "features", DATASET, "conv", fault=FewViews(0))
    assert stage.wait() == 1
    assert re.search(r"(?m)^error: Memory (ran|runs) out .*LGM_", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before
