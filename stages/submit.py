"""Stages as jobs of a Slurm cluster: python -m stages.submit --slurm 'timeout_min=240' tables/table2.

Stages that do not depend on each other are one array of jobs; each runs in a clone of its own and leaves its
result in the project's cache. What is small runs here. Afterwards this folder has all results and the one
dvc.lock. A killed or preempted stage goes on from its checkpoint. --cluster local tries it on this machine.
docs/clusters.md says more.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("submit", __doc__, "[targets...]", options=("[cluster]", "[slurm]", "[scratch]"))

from pathlib import Path

from lgm_core.foundation.errors import InputError
from stages.elsewhere import Elsewhere, check_committed
from stages.params import PRIVATE
from stages.plan import planned, reproduce, reproduce_all
from stages.submitted import opened_executor, run_jobs

_SMALL = ("code", "inputs@", "tables/", "tables@", "figures/", "report")
"""Beginnings of the names of stages that are over sooner than a job begins."""


def main(targets: str = "", cluster: str = "", slurm: str = "", scratch: str = "") -> None:
    """Reproduce targets, all stages without any, on a cluster."""
    project = Path.cwd()
    check_committed(project)
    folder = Path(scratch or PRIVATE / "submitted").resolve()
    executor = opened_executor(cluster, slurm, folder / "logs")
    plan = planned(targets.split())
    while not plan.over:
        level = []
        while (stage := plan.begin()) is not None:
            level.append(stage)
        large = [stage for stage in level if not stage.startswith(_SMALL)]
        left = len(plan.waiting) + len(level)
        print(f"{left} stages left, {len(large)} of them as jobs now: {', '.join(large)}", flush=True)
        failed = run_jobs(executor, [Elsewhere(stage, project, folder / "clones") for stage in large])
        if failed:
            raise InputError("\n".join(failed))
        for stage in level:
            reproduce(stage)
            plan.done(stage)
    reproduce_all(targets.split())
    print("All is up to date.")
