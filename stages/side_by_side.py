"""Stages side by side: `make repro JOBS=4`, or python -m stages.side_by_side --jobs 4 tables/table2.

Every job is a process that has DVC reproduce one stage after another, as `dvc repro --single-item` does, each
as soon as all that it depends on is done. A plain `dvc repro` comes last and finds nothing left to do. What a
stage says goes to .lgm/jobs/<stage>.log; if it fails, its last lines are shown and nothing new begins.

Without --jobs there is one job for every core, with one thread each; where there are GPUs, which a stage uses
all at once, there is one job. Several jobs claim a GPU each (LGM_DEVICE=claim).
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("side_by_side", __doc__, "[targets...]", options=("[jobs]",))

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lgm_core.foundation.errors import InputError, SettingError
from stages.cores import available_cores
from stages.params import PRIVATE

_LOGS = PRIVATE / "jobs"
_TRIES = 3
"""DVC gives up after three seconds where another process holds one of its locks; it is then asked again."""
_SHOWN_LINES = 25
_SECONDS_TO_END = 60
"""How long a stage may take to write its checkpoint when all is interrupted."""


@dataclass
class Plan:
    """Stages that are left to do, and what each of them waits for.

    Attributes:
        waiting: stage → stages that it depends on and that are not done.
        running: stages that have begun.
        total: how many there were.
    """

    waiting: dict[str, set[str]]
    running: set[str] = field(default_factory=set)
    total: int = 0

    def __post_init__(self) -> None:
        self.total = len(self.waiting)

    def begin(self) -> str | None:
        """Take a stage that waits for none; None if there is no such one now."""
        for name, needs in self.waiting.items():
            if not needs:
                del self.waiting[name]
                self.running.add(name)
                return name
        return None

    def done(self, name: str) -> None:
        """A stage has ended well."""
        self.running.remove(name)
        for needs in self.waiting.values():
            needs.discard(name)

    @property
    def over(self) -> bool:
        """Whether all is done."""
        return not self.waiting and not self.running


def stale(graph: dict[str, set[str]], changed: set[str]) -> Plan:
    """What has to be looked at: what changed, and all that depends on it.

    Args:
        graph: stage → stages that it depends on, every stage after those.
        changed: stages whose own dependencies, settings or results are not as they were.
    """
    left: dict[str, set[str]] = {}
    for name, needs in graph.items():
        if name in changed or any(need in left for need in needs):
            left[name] = {need for need in needs if need in left}
    return Plan(left)


def main(targets: str = "", jobs: str = "") -> None:
    """Reproduce targets, all stages without any, as many at once as there are jobs."""
    count = _job_count(jobs)
    if count > 1:
        plan = _planned(targets.split())
        if not plan.over:
            _run(plan, min(count, plan.total), _shared_settings(count))
        logging.getLogger("dvc").setLevel(logging.WARNING)
    _whole(targets.split())
    print("All is up to date.")


def _job_count(given: str) -> int:
    if given and (not given.isdecimal() or int(given) < 1):
        raise SettingError("jobs", given, "a whole number from 1")
    return int(given) if given else 1 if _gpus() else available_cores()


def _gpus() -> bool:
    """Whether stages would use GPUs."""
    return os.environ.get("LGM_DEVICE") != "cpu" and any(Path("/dev").glob("nvidia[0-9]*"))


def _shared_settings(count: int) -> dict[str, str]:
    """What jobs need to know so that they do not stand in each other's way, unless the user knows better."""
    threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // count)), "OMP_WAIT_POLICY": "PASSIVE"}
    claim = {"LGM_DEVICE": "claim"} if count > 1 and _gpus() else {}
    return {key: value for key, value in (threads | claim).items() if not os.environ.get(key)}


def _repo() -> Any:
    from dvc.repo import Repo

    return Repo(_wait_for_lock=True)


def _planned(targets: list[str]) -> Plan:
    """The stages of the targets that are not up to date, as DVC sees them."""
    import networkx
    from dvc.exceptions import DvcException

    try:
        with _repo() as repo, repo.lock:
            wanted = {
                stage
                for target in targets or [None]
                for stage in repo.stage.collect(target, with_deps=True, graph=repo.index.graph)
            }
            order = reversed(list(networkx.topological_sort(repo.index.graph.subgraph(wanted))))
            graph = {
                stage.addressing: {need.addressing for need in repo.index.graph.successors(stage)}
                for stage in order
            }
        with _repo() as repo:
            changed = repo.status(targets=targets or None, with_deps=True)
    except DvcException as error:
        raise InputError(str(error)) from error
    return stale(graph, set(changed))


def _whole(targets: list[str]) -> None:
    """Plain `dvc repro`, in this process: after side by side nothing is left for it."""
    from dvc.exceptions import DvcException

    try:
        with _repo() as repo:
            repo.reproduce(targets=targets or None)
    except DvcException as error:
        raise InputError(str(error)) from error


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


def _run(plan: Plan, count: int, settings: dict[str, str]) -> None:
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
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])
    return [f"{stage} failed: {trouble}\n{shown}\n  All it said is in {log}."]


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
            if job.stage and job.process.pid is not None:
                # The group: DVC leaves the end to its command, which writes a checkpoint first.
                os.killpg(job.process.pid, signal.SIGINT)
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
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    for _ in range(_TRIES):
        try:
            with _repo() as repo:
                repo.reproduce(targets=[stage], single_item=True)
        except LockError as error:
            trouble = str(error)
        except DvcException as error:
            return str(error)
        else:
            return None
    return trouble
