"""One stage on another machine that sees the same disk: in a clone of its own, with the project's cache.

Two DVC processes of different machines must not share a folder: DVC's locks ask for processes of one machine.
They may share a cache, where results lie under their hashes and DVC looks up what it would have to run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lgm_core.foundation.errors import InputError
from stages.params import PARAMS_FILE
from stages.plan import open_repo

_OF_THIS_RUN = (PARAMS_FILE.name, "dvc.lock")
"""Tracked files that may differ from the last commit, and that a clone gets as they are."""
_OWN = {".git", ".dvc", ".lgm", "results", "report", "metrics", "dvc_plots", "site"}
"""What a clone has or makes itself; all else that it lacks, such as data and weights, it sees by a link."""


@dataclass(frozen=True)
class Elsewhere:
    """A stage to reproduce in a clone of a project.

    Attributes:
        stage: as `dvc repro` takes it.
        project: the folder whose cache and checkpoints it uses.
        scratch: where clones are made; removed afterwards.
    """

    stage: str
    project: Path
    scratch: Path

    def __call__(self) -> None:
        """Reproduce it; the result is in the project's cache.

        Raises:
            DvcException: if the stage fails.
        """
        clone = self.scratch / self.stage.replace("/", "_")
        shutil.rmtree(clone, ignore_errors=True)  # of an attempt that was killed
        try:
            _clone(self.project, clone)
            os.chdir(clone)
            _use(self.project)
            with open_repo() as repo:
                (stage,) = repo.stage.collect(self.stage)
                needs = [need.addressing for need in repo.index.graph.successors(stage)]
                if needs:
                    repo.checkout(targets=needs)
                repo.reproduce(targets=[self.stage], single_item=True)
        finally:
            os.chdir(self.project)
            shutil.rmtree(clone, ignore_errors=True)

    def checkpoint(self, *arguments: Any, **named: Any) -> Any:
        """What submitit asks for before a job is preempted: the same again, from the stage's checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *arguments, **named)


def check_committed(project: Path) -> None:
    """Refuse changes of tracked files that a clone would not have.

    Raises:
        InputError: naming them.
    """
    said = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], cwd=project, text=True, capture_output=True
    )
    if said.returncode:
        raise InputError(f"{project} is no git checkout: {said.stderr.strip()}")
    changed = [line[3:] for line in said.stdout.splitlines()]
    foreign = [name for name in changed if name not in _OF_THIS_RUN and not name.startswith("metrics/")]
    if foreign:
        raise InputError(
            f"Jobs run the last commit, and these differ from it: {', '.join(foreign)}. Commit them first."
        )


def _clone(project: Path, clone: Path) -> None:
    clone.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", "--shared", str(project), str(clone)], check=True)
    for name in _OF_THIS_RUN:
        if (project / name).exists():
            shutil.copy(project / name, clone / name)
    for entry in project.iterdir():
        if entry.name not in _OWN and not (clone / entry.name).exists():
            (clone / entry.name).symlink_to(entry.resolve())
    (clone / ".dvc/config.local").write_text(
        f"[cache]\n    dir = {project / '.dvc/cache'}\n", encoding="utf-8"
    )


def _use(project: Path) -> None:
    """Let the stage's command find this Python, the data, and the project's checkpoints."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ["DVC_ROOT"] = str(project)
    os.environ.pop("PYTHONPATH", None)  # the clone's own code
    data = os.environ.get("LGM_DATA")
    if data:
        os.environ["LGM_DATA"] = str((project / data).resolve())
