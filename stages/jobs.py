"""Processes that have DVC reproduce one stage after another, each as soon as what it depends on is done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import quote

from lgm_core.foundation.errors import InputError
from stages.params import PRIVATE
from stages.plan import Plan, failure, reproduce

_LOGS = PRIVATE / "jobs"
_SECONDS_TO_END = 60
"""How long a stage may take to write its checkpoint when all is interrupted."""


@dataclass
class _Job:
    """A process that reproduces stages, and the one that it is at."""

    process: BaseProcess
    pipe: Connection
    stage: str = ""
    began: float = 0.0

    def begin(self, stage: str) -> None:
        self.stage, self.began = stage, time.monotonic()
        self.pipe.send(stage)

    def interrupt(self) -> None:
        if self.stage and self.process.pid is not None:
            try:
                # The group: DVC leaves the end to its command, which writes a checkpoint first.
                os.killpg(self.process.pid, signal.SIGINT)
            except ProcessLookupError:  # it has not come to that yet
                self.process.terminate()


def run(plan: Plan, count: int, settings: dict[str, str]) -> None:
    """Do all of a plan.

    Raises:
        InputError: if a stage fails.
    """
    _LOGS.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    print(f"{plan.total} stages are not up to date; {count} at a time, logs in {_LOGS}/", flush=True)
    with _jobs(count, settings) as jobs:
        while True:
            idle = [job for job in jobs if not job.stage]
            for job in idle if not failed else []:
                stage = plan.begin()
                if stage is not None:
                    job.begin(stage)
            busy = {job.pipe: job for job in jobs if job.stage}
            if not busy:
                break
            for pipe in wait(list(busy)):
                job = busy[pipe]  # pyright: ignore[reportArgumentType]
                failed += _ended(job, plan)
    if failed:
        raise InputError("\n".join(failed))


def _ended(job: _Job, plan: Plan) -> list[str]:
    """Take note of a stage's end; what is to be said if it failed."""
    stage, seconds = job.stage, time.monotonic() - job.began
    job.stage = ""
    try:
        trouble = job.pipe.recv()
    except EOFError:
        trouble = "its process ended"
        job.process.join()
    if trouble is None:
        plan.done(stage)
        number = plan.total - len(plan.waiting) - len(plan.running)
        print(f"[{number}/{plan.total}] {stage}  {seconds:.0f} s", flush=True)
        return []
    log = _log_of(stage)
    said = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    return [failure(stage, trouble, said, log)]


def _log_of(stage: str) -> Path:
    return _LOGS / f"{quote(stage, safe='@')}.log"


@contextmanager
def _jobs(count: int, settings: dict[str, str]) -> Iterator[list[_Job]]:
    """Processes that wait for stages; what they are at when all is interrupted is interrupted too."""
    context = multiprocessing.get_context("spawn")
    jobs: list[_Job] = []
    try:
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, settings))
            process.start()
            there.close()
            jobs.append(_Job(process, here))
        yield jobs
    except BaseException:
        for job in jobs:
            job.interrupt()
        raise
    finally:
        for job in jobs:
            job.pipe.close()
        for job in jobs:
            job.process.join(_SECONDS_TO_END)


def _serve(pipe: Connection, settings: dict[str, str]) -> None:
    """A job: reproduce what the pipe names until it is closed; answers None, or what went wrong."""
    os.setsid()
    os.environ |= settings
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        try:
            stage = pipe.recv()
            _speak_into(_log_of(stage))
            trouble = _reproduced(stage)
            pipe.send(trouble)
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return


def _speak_into(log: Path) -> None:
    """Let this process and the commands that it starts write to a file, emptied first."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _reproduced(stage: str) -> str | None:
    """Have DVC reproduce one stage; what went wrong, or None."""
    try:
        reproduce(stage)
    except InputError as error:
        return str(error)
    return None
