"""Kill `dvc repro` at random moments in every stage and compare the tables with an undisturbed run's.

    python -m benchmarks.chaos                  20 kills of the active suite's main table
    python -m benchmarks.chaos --toy --kills 5  small random backbones: minutes, for a first look

The committed code is cloned twice into a temporary folder. In one clone the table is made undisturbed; in
the other every run is killed with SIGKILL, with all its children, at a random moment of a stage drawn at
random, and the last run goes to the end. Tables and metrics must then agree byte by byte.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
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
        seconds: of every stage that ran, by name, in order.
        status: exit status.
        killed: the stage and the second in it, where it was killed.
    """

    seconds: dict[str, float]
    status: int
    killed: tuple[str, float] | None = None


@dataclass(frozen=True)
class Kill:
    """A moment: so many seconds into a stage, or the start of any stage after it.

    Attributes:
        stage: its name.
        after: seconds.
        later: names of the stages that come after it.
    """

    stage: str
    after: float
    later: frozenset[str]

    def has_come(self, starts: dict[str, float], now: float) -> bool:
        """Whether it is now, given when stages started."""
        return bool(self.later & set(starts)) or now - starts.get(self.stage, now) > self.after


def repro(project: Path, table: str, log: Path, kill: Kill | None = None) -> Run:
    """Run `dvc repro` in a project; SIGKILL to all of it at the moment `kill`, where one is given."""
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
        if kill is not None and kill.has_come(starts, now):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            last = list(starts)[-1]
            return Run({}, process.returncode, (last, now - starts[last]))
        time.sleep(0.02)
    ends = [*list(starts.values())[1:], time.monotonic()]
    seconds = {name: end - start for (name, start), end in zip(starts.items(), ends, strict=False)}
    return Run(seconds, process.returncode)


def clone(target: Path, *, toy: bool) -> None:
    """The committed code, with the toy suite where that is asked for."""
    subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), str(target)], check=True)
    (target / "dvc.lock").unlink(missing_ok=True)
    if toy:
        sys.path.insert(0, str(ROOT / "tests"))
        from test_stages import start_project

        os.chdir(target)
        start_project(target)
        os.chdir(ROOT)
        os.environ["LGM_DATA"] = str(target / "data")


def results(project: Path) -> dict[str, bytes]:
    """Every table and metrics file of the active suite."""
    suite = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["suite"]
    folders = [project / "results" / suite / "tables", project / "metrics" / suite]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
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
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["LGM_DATA"] = str(Path(os.environ.get("LGM_DATA") or "data").resolve())
    with tempfile.TemporaryDirectory(prefix="lgm-chaos-") as folder:
        calm, wild, log = Path(folder) / "calm", Path(folder) / "wild", Path(folder) / "log"
        clone(calm, toy=arguments.toy)
        clone(wild, toy=arguments.toy)
        undisturbed = repro(calm, arguments.table, log)
        if undisturbed.status:
            print(log.read_text(encoding="utf-8"))
            return 1
        print(f"undisturbed: {len(undisturbed.seconds)} stages in {sum(undisturbed.seconds.values()):.0f} s")
        kills = disturb(wild, arguments.table, log, undisturbed.seconds, arguments.kills, chance)
        last = repro(wild, arguments.table, log)
        if last.status:
            shutil.copy(log, ROOT / "chaos.log")
            print("the run after all kills failed; see chaos.log")
            return 1
        same = results(calm) == results(wild) and bool(results(calm))
        print(f"{kills} kills; {len(results(calm))} files {'are identical' if same else 'DIFFER'}")
        return 0 if same else 1


def disturb(
    project: Path, table: str, log: Path, seconds: dict[str, float], kills: int, chance: random.Random
) -> int:
    """Kill `kills` runs, moving through the stages in order; how many were hit."""
    names = list(seconds)
    places = sorted(chance.randrange(len(names)) for _ in range(kills))
    moments = [
        Kill(names[place], chance.random() * seconds[names[place]], frozenset(names[place + 1 :]))
        for place in places
    ]
    hit = 0
    for number, kill in enumerate(moments, 1):
        run = repro(project, table, log, kill)
        if run.killed is None and run.status:
            print(log.read_text(encoding="utf-8"))
            raise SystemExit("a run that was not killed failed")
        hit += run.killed is not None
        where = f"not killed: {kill.stage} was done"
        if run.killed is not None:
            where = f"{run.killed[1]:.1f} s into {run.killed[0]}"
        print(f"{number:3d}  {where}", flush=True)
    return hit


if __name__ == "__main__":
    sys.exit(main())
