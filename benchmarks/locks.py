"""Failures of DVC's locks where stages run side by side: python -m benchmarks.locks --runs 10

Every run is a new project of many stages that are over at once, the hardest case for the locks, and one at
the end that needs all others, made as `make repro JOBS=4` makes them. What fails by a lock after all tries
counts as one failure; any other failure ends the benchmark.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.measure import table

ROOT = Path(__file__).resolve().parent.parent
LAST = "last"
_BY_A_LOCK = re.compile(
    r"^\S.*(?:acquire lock|is busy, it is being blocked|RWLock-file .* corrupted)", re.MULTILINE
)
"""DVC without one of its locks. Lines of a stage's log, which may say it again, are indented."""


def main(words: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--stages", type=int, default=24, help="of a run, without the last one")
    parser.add_argument("--jobs", type=int, default=4, help="at a time")
    given = parser.parse_args(words)
    found = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            found.append(run(Path(folder), given.stages, given.jobs))
    seconds = sorted(taken for _, taken in found)[len(found) // 2]
    cells = [given.runs, given.stages + 1, given.jobs, f"{seconds:.0f} s", sum(count for count, _ in found)]
    print(
        table(["runs", "stages", "at a time", "median run", "lock failures"], [[str(one) for one in cells]])
    )


def run(folder: Path, stages: int, jobs: int) -> tuple[int, float]:
    """Make a project in an empty folder and all its stages side by side.

    Returns:
        How many stages a lock let fail, and seconds.

    Raises:
        RuntimeError: if something else than a lock fails.
    """
    _made(folder, [f"stage{number}" for number in range(stages)])
    began = time.monotonic()
    done = _python(folder, "-P", "-m", "stages.side_by_side", "--jobs", str(jobs))
    seconds = time.monotonic() - began
    failures = lock_failures(done.stderr)
    if not failures and (done.returncode or not (folder / LAST).exists()):
        raise RuntimeError(done.stdout + done.stderr)
    return failures, seconds


def lock_failures(said: str) -> int:
    """How many lines of what a run says tell of a lock that could not be had."""
    return len(_BY_A_LOCK.findall(said))


def _made(folder: Path, names: list[str]) -> None:
    """A DVC pipeline without git: stages that write their name, and one that reads all of that."""
    shutil.copy(ROOT / "params.yaml", folder)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
    pipeline = {name: {"cmd": f"echo {name} > {name}", "outs": [name]} for name in names}
    pipeline[LAST] = {"cmd": f"cat {' '.join(names)} > {LAST}", "deps": names, "outs": [LAST]}  # type: ignore[dict-item]
    with (folder / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML().dump({"stages": pipeline}, file)


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, text=True, capture_output=True)


if __name__ == "__main__":
    main()
