"""Processes that decode images: no room in /dev/shm costs nothing, one that is killed is one message."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from damage.interrupted import features_whole
from processes import StageProcess
from toy_project import DATASET, snapshot

pytestmark = pytest.mark.slow

FEATURES = ("features", DATASET, "conv")
_NEW_MOUNTS = 0x00020000
"""CLONE_NEWNS: what this process mounts, it alone sees."""
_MOUNT = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/dev/shm"]


@dataclass(frozen=True)
class NoRoomInDevShm:
    """Give the process a /dev/shm of one page, and fill that."""

    def __call__(self) -> None:
        """Install it in this process, for good."""
        assert ctypes.CDLL(None).unshare(_NEW_MOUNTS) == 0
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(_MOUNT, check=True)
        Path("/dev/shm/ballast").write_bytes(bytes(4096))
        with pytest.raises(OSError, match="No space"):
            multiprocessing.get_context("fork").Lock()


@dataclass(frozen=True)
class KilledDecoding:
    """Let the out-of-memory killer choose whoever decodes image number `number` but the stage itself."""

    number: int

    def __call__(self) -> None:
        """Install it in this process, for good."""
        from lgm_core.data.integrity import Watched

        decode, stage, number = Watched.__call__, os.getpid(), self.number

        def killed(watched: Any, index: int) -> Any:
            if os.getpid() != stage and index == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return decode(watched, index)

        Watched.__call__ = killed  # type: ignore[method-assign]


@dataclass(frozen=True)
class FewOpenFiles:
    """Let the process open no more files once it starts others."""

    def __call__(self) -> None:
        """Install it in this process, for good."""
        from lgm_core.features import loading

        start = loading._helpers

        def limited(*arguments: Any) -> Any:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 2, hard))  # noqa: PTH208
            return start(*arguments)

        loading._helpers = limited


@dataclass(frozen=True)
class SlowDecoding:
    """Let every image take a while, and write the numbers of the processes that decode."""

    report: str

    def __call__(self) -> None:
        """Install it in this process, for good."""
        from lgm_core.data.integrity import Watched

        decode, report = Watched.__call__, self.report

        def slow(watched: Any, index: int) -> Any:
            with Path(report).open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.2)
            return decode(watched, index)

        Watched.__call__ = slow  # type: ignore[method-assign]


def _at_work(report: Path) -> list[int]:
    """Processes that decode, of those that said so."""
    told = report.read_text(encoding="utf-8").split() if report.exists() else []
    return [number for number in {int(word) for word in told} if _lives(number)]


def _lives(number: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked after does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whom", ["the stage", "all"])
def test_processes_that_decode_end_with_the_stage(
    project: Path, number: signal.Signals, whom: str, tmp_path: Path
) -> None:
    report = tmp_path / "decoding"
    stage = StageProcess(project, *FEATURES, fault=SlowDecoding(str(report)), LGM_WORKERS="2")
    assert stage.wait_until(lambda: len(_at_work(report)) == 2), stage.output
    (os.killpg if whom == "all" else os.kill)(stage.pid, number)
    assert stage.wait() == (-signal.SIGKILL if number == signal.SIGKILL else 130), stage.output
    assert "Traceback" not in stage.output
    assert "A process that decodes" not in stage.output
    deadline = time.monotonic() + 20
    while _at_work(report) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _at_work(report) == []


def test_a_full_shared_memory_file_system_costs_nothing(
    project: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    if subprocess.run(["unshare", "-m", *_MOUNT], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    stage = StageProcess(project, *FEATURES, fault=NoRoomInDevShm(), LGM_WORKERS="2")
    assert stage.wait() == 0, stage.output
    assert torch.equal(features_whole(project), features_whole(long_run[0]))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (KilledDecoding(3), r"A process that decodes images has ended by SIGKILL \(memory running out is"),
        (FewOpenFiles(), r"Processes that decode images cannot be started: Too many open files\."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_process_that_is_killed_or_cannot_start_is_one_message_and_without_it_all_goes_on(
    project: Path, long_run: tuple[Path, dict[str, Any]], fault: Callable[[], None], told: str
) -> None:
    before = snapshot()
    stage = StageProcess(project, *FEATURES, fault=fault, LGM_WORKERS="2")
    assert stage.wait() == 1, stage.output
    assert re.search(rf"(?m)^error: {told}.* fewer LGM_WORKERS", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before
    stage = StageProcess(project, *FEATURES, fault=fault, LGM_WORKERS="0")
    assert stage.wait() == 0, stage.output
    assert torch.equal(features_whole(project), features_whole(long_run[0]))
