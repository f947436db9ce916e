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
import os
from pathlib import Path

from lgm_core.foundation.errors import SettingError
from stages.cores import available_cores
from stages.jobs import run
from stages.plan import planned, reproduce_all


def main(targets: str = "", jobs: str = "") -> None:
    """Reproduce targets, all stages without any, as many at once as there are jobs."""
    count = _job_count(jobs)
    if count > 1:
        plan = planned(targets.split())
        if not plan.over:
            run(plan, min(count, plan.total), _shared_settings(count))
        logging.getLogger("dvc").setLevel(logging.WARNING)
    reproduce_all(targets.split())
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
