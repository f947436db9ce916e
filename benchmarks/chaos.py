"""Kill `dvc repro` at random moments of all its stages and compare the tables with an undisturbed run's.

    python -m benchmarks.chaos                    30 kills of the active suite's main table
    python -m benchmarks.chaos --toy --kills 5    small random backbones: minutes, for a first look
    python -m benchmarks.chaos --reference DIR    compare with a finished project instead of making one

The committed code is cloned into a temporary folder, twice. In one clone the table is made undisturbed; in
the other every run is disturbed, and the next goes on; the last one goes to the end. A disturbance is one of

    killed      SIGKILL to DVC and to all its children
    orphaned    SIGKILL to DVC alone: its stage goes on, and the next run begins when that has ended
    locked      another command holds DVC's lock until DVC has given up

after a random time in the first or the second stage of a run, so often in the second that the runs get
through all stages as the disturbances go on. Tables and metrics must then agree byte by byte, and no
distillation that ended may have been done again from its start.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import yaml

ROOT = Path(__file__).resolve().parent.parent
_STAGE = re.compile(r"Running stage '([^']+)'")
_DISTILLING = re.compile(r"Running stage 'distill@([^']+)'(.*?)(?=Running stage|\Z)", re.DOTALL)
_HOW = ("killed", "killed", "killed", "orphaned", "locked")


@dataclass(frozen=True)
class Run:
    """One `dvc repro`.

    Attributes:
        seconds: from the first stage's start to the end.
        stages: names of those that were started, in order.
        status: exit status.
        killed: how many seconds into the last of them it was killed; None if it was not.
    """

    seconds: float
    stages: tuple[str, ...]
    status: int
    killed: float | None = None


def _kill(process: subprocess.Popen[bytes], project: Path) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _orphan(process: subprocess.Popen[bytes], project: Path) -> None:
    process.kill()
    process.wait()
    while _alive(process.pid):
        time.sleep(0.1)


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _lock(process: subprocess.Popen[bytes], project: Path) -> None:
    with (project / ".dvc" / "tmp" / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # DVC is at its own files, which a kill may hit as well
            return _kill(process, project)
        process.wait()


_DISTURBANCES = {"killed": _kill, "orphaned": _orphan, "locked": _lock}


def repro(
    project: Path, table: str, log: Path, after: float = math.inf, how: str = "killed", *, stage: int = 1
) -> Run:
    """Run `dvc repro` in a project; disturb it so many seconds after one of its stages started.

    Args:
        project: its folder.
        table: the target.
        log: where what it says is written.
        after: seconds.
        how: one of the ways that the module's docstring has.
        stage: which of those that this run starts, from 1.
    """
    command = [sys.executable, "-m", "dvc", "repro", table]
    with log.open("w", encoding="utf-8") as written:
        process = subprocess.Popen(
            command, cwd=project, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
    starts: dict[str, float] = {}
    while process.poll() is None:
        now = time.monotonic()
        for name in _STAGE.findall(log.read_text(encoding="utf-8", errors="replace")):
            starts.setdefault(name, now)
        first = next(iter(starts.values()), now)
        last = next(reversed(starts.values()), now)
        since = [*starts.values()][stage - 1] if len(starts) >= stage else now
        if now - since > after:
            _DISTURBANCES[how](process, project)
            return Run(now - first, tuple(starts), process.returncode, now - last)
        time.sleep(0.02)
    began = next(iter(starts.values()), time.monotonic())
    return Run(time.monotonic() - began, tuple(starts), process.returncode)


@dataclass
class Distillations:
    """Those of a project that ended, and how many of them were done again from their start.

    Attributes:
        project: its folder.
        over: cells as in the stages' names.
        twice: cells, once for every time.
    """

    project: Path
    over: set[str] = field(default_factory=set)
    twice: list[str] = field(default_factory=list)

    def look(self, log: Path) -> Self:
        """Read what a run said, and which distillations it ended."""
        said = log.read_text(encoding="utf-8", errors="replace")
        again = {cell: text for cell, text in _DISTILLING.findall(said) if cell in self.over}
        self.twice += [
            cell for cell, text in again.items() if "steps/s" in text and "going on from" not in text
        ]
        results = (self.project / ".lgm" / "checkpoints").glob("*/*/*/result.json")
        self.over |= {path.parent.parent.name for path in results}
        return self


def clone(target: Path, *, toy: bool) -> None:
    """The committed code, with the toy suite where that is asked for."""
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(target)], check=True)
    (target / "dvc.lock").unlink(missing_ok=True)
    if toy:
        sys.path.insert(0, str(ROOT / "tests"))
        from toy_project import start_project

        os.chdir(target)
        start_project(target)
        os.chdir(ROOT)
        os.environ["LGM_DATA"] = str(target / "data")


def results(project: Path, table: str) -> dict[str, bytes]:
    """The table's files, its metrics too."""
    suite = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["suite"]
    folders = [project / "results" / suite / "tables", project / "metrics" / suite]
    files = [path for folder in folders for path in folder.glob(f"{Path(table).name}.*")]
    return {str(path.relative_to(project)): path.read_bytes() for path in files}


def main() -> int:
    """Run everything; 0 if the tables agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--table", default="tables/table2")
    parser.add_argument("--toy", action="store_true", help="a toy suite instead of the active one")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--reference", type=Path, help="a project where the table was made undisturbed")
    parser.add_argument("--seconds", type=float, help="mean time in a stage until it is disturbed")
    arguments = parser.parse_args()
    if arguments.reference and not arguments.seconds:
        parser.error("--reference needs --seconds, for no run tells how long one takes")
    chance = random.Random(arguments.seed)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["LGM_DATA"] = str(Path(os.environ.get("LGM_DATA") or "data").resolve())
    with tempfile.TemporaryDirectory(prefix="lgm-chaos-") as folder:
        calm = Path(folder) / "calm"
        wild = Path(folder) / "wild"
        log = Path(folder) / "log"
        clone(wild, toy=arguments.toy)
        mean, often = arguments.seconds, 0.5
        if arguments.reference is None:
            clone(calm, toy=arguments.toy)
            undisturbed = finished(calm, arguments.table, log)
            print(f"undisturbed: {len(undisturbed.stages)} stages in {undisturbed.seconds:.0f} s", flush=True)
            mean = mean or undisturbed.seconds / len(undisturbed.stages) / 2
            often = 0.8 * len(undisturbed.stages) / arguments.kills
        seen = Distillations(wild)
        kills = disturb(seen, arguments.table, log, arguments.kills, mean, often, chance)
        finished(wild, arguments.table, log)
        twice = seen.look(log).twice
        found, expected = (
            results(project, arguments.table) for project in (wild, arguments.reference or calm)
        )
        same = bool(found) and found == expected
        print(f"{kills} disturbances; {len(found)} files {'are identical' if same else 'DIFFER'}")
        print(f"distillations that had ended and were done again: {', '.join(twice) or 'none'}")
        return 0 if same and not twice else 1


def finished(project: Path, table: str, log: Path) -> Run:
    """A run to the end, or else the end of this program."""
    run = repro(project, table, log)
    if run.status:
        print(log.read_text(encoding="utf-8"))
        raise SystemExit("a run that was not killed failed")
    return run


def disturb(
    seen: Distillations, table: str, log: Path, kills: int, mean: float, often: float, chance: random.Random
) -> int:
    """Disturb `kills` runs, `mean` seconds on average into their first stage, or, with probability `often`,
    into their second; how many were hit before they were done."""
    for number in range(kills):
        how = _HOW[number % len(_HOW)]
        after, stage = 2 * mean * chance.random(), 2 if chance.random() < often else 1
        run = repro(seen.project, table, log, after, how, stage=stage)
        seen.look(log)
        if run.killed is None:
            if run.status:
                print(log.read_text(encoding="utf-8"))
                raise SystemExit("a run that was not disturbed failed")
            print(f"{number + 1:3d}  not disturbed: all was done")
            return number
        where = f"{run.killed:.1f} s into {run.stages[-1]}, {len(run.stages)} stages begun"
        print(f"{number + 1:3d}  {how:8s} {where}", flush=True)
        told = subprocess.run(
            [sys.executable, "-m", "stages.unlock"],
            cwd=seen.project, check=True, capture_output=True, text=True,
        )  # fmt: skip
        print(told.stdout, end="", flush=True)
    return kills


if __name__ == "__main__":
    sys.exit(main())
