"""Kill `dvc repro` at random moments of all its stages and compare the tables with an undisturbed run's.

    python -m benchmarks.chaos                    20 kills of the active suite's main table
    python -m benchmarks.chaos --toy --kills 5    small random backbones: minutes, for a first look
    python -m benchmarks.chaos --reference DIR    compare with a finished project instead of making one

The committed code is cloned into a temporary folder, twice. In one clone the table is made undisturbed; in
the other every run is killed with SIGKILL, with all its children, and the next goes on; the last one goes to
the end. Runs are killed after random times of such a mean that all kills together last as long as the
undisturbed run. Tables and metrics must then agree byte by byte.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
_STAGE = re.compile(r"Running stage '([^']+)'")


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


def repro(project: Path, table: str, log: Path, kill_after: float = math.inf) -> Run:
    """Run `dvc repro` in a project; SIGKILL to all of it so many seconds after its first stage started."""
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
        if now - first > kill_after:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return Run(now - first, tuple(starts), process.returncode, now - last)
        time.sleep(0.02)
    began = next(iter(starts.values()), time.monotonic())
    return Run(time.monotonic() - began, tuple(starts), process.returncode)


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
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--table", default="tables/table2")
    parser.add_argument("--toy", action="store_true", help="a toy suite instead of the active one")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--reference", type=Path, help="a project where the table was made undisturbed")
    parser.add_argument("--seconds", type=float, help="mean time of a run until it is killed")
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
        mean = arguments.seconds
        if arguments.reference is None:
            clone(calm, toy=arguments.toy)
            undisturbed = finished(calm, arguments.table, log)
            print(f"undisturbed: {len(undisturbed.stages)} stages in {undisturbed.seconds:.0f} s", flush=True)
            mean = mean or undisturbed.seconds / arguments.kills
        kills = disturb(wild, arguments.table, log, arguments.kills, mean, chance)
        finished(wild, arguments.table, log)
        found, expected = (
            results(project, arguments.table) for project in (wild, arguments.reference or calm)
        )
        same = bool(found) and found == expected
        print(f"{kills} kills; {len(found)} files {'are identical' if same else 'DIFFER'}")
        return 0 if same else 1


def finished(project: Path, table: str, log: Path) -> Run:
    """A run to the end, or else the end of this program."""
    run = repro(project, table, log)
    if run.status:
        print(log.read_text(encoding="utf-8"))
        raise SystemExit("a run that was not killed failed")
    return run


def disturb(project: Path, table: str, log: Path, kills: int, mean: float, chance: random.Random) -> int:
    """Kill `kills` runs after `mean` seconds each on average; how many were hit before they were done."""
    hit = 0
    for number in range(1, kills + 1):
        run = repro(project, table, log, kill_after=2 * mean * chance.random())
        if run.killed is None:
            if run.status:
                print(log.read_text(encoding="utf-8"))
                raise SystemExit("a run that was not killed failed")
            print(f"{number:3d}  not killed: all was done")
            break
        hit += 1
        print(
            f"{number:3d}  {run.killed:.1f} s into {run.stages[-1]}, {len(run.stages)} stages begun",
            flush=True,
        )
        told = subprocess.run(
            [sys.executable, "-m", "stages.unlock"], cwd=project, check=True, capture_output=True, text=True
        )
        print(told.stdout, end="", flush=True)
    return hit


if __name__ == "__main__":
    sys.exit(main())
