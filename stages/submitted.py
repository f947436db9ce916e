"""Jobs through submitit: an executor with the user's settings, and what became of every job."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lgm_core.foundation.errors import InputError, SettingError
from stages.elsewhere import Elsewhere
from stages.plan import failure

_TRACEBACK = "submitit ERROR"
"""Where what the stage itself said ends."""
CLUSTERS = ("slurm", "local")


def opened_executor(cluster: str, settings: str, logs: Path) -> Any:
    """A submitit executor.

    Args:
        cluster: one of :data:`CLUSTERS`; empty: Slurm.
        settings: words `name=value`, submitit's parameters of a job, `slurm_…` ones too.
        logs: folder of what jobs say.

    Raises:
        InputError: if submitit is missing, there is no such cluster here, or a setting is not known.
    """
    if cluster and cluster not in CLUSTERS:
        raise SettingError("cluster", cluster, " | ".join(CLUSTERS))
    try:
        import submitit
    except ImportError:
        raise InputError("Jobs need the package submitit: pip install '.[cluster]'.") from None
    # Jobs unpickle what is here, and then work in clones.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=cluster or "slurm")
        executor.update_parameters(**_parsed(settings))
    except (RuntimeError, TypeError, NameError, ValueError) as error:
        raise InputError(
            f"submitit refuses --cluster {cluster or 'slurm'} --slurm {settings!r}: {error}"
        ) from error
    return executor


def _parsed(settings: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": "lgm"}
    for word in settings.split():
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise SettingError("slurm", word, "words like timeout_min=240")
        found[name] = int(value) if value.lstrip("-").isdecimal() else value
    return found


def run_jobs(executor: Any, tasks: list[Elsewhere]) -> list[str]:
    """Run tasks as an array of jobs, and wait for all; what is to be said of those that failed."""
    with executor.batch():
        jobs = [executor.submit(task) for task in tasks]
    failed = []
    for task, job in zip(tasks, jobs, strict=True):
        error = job.exception()
        if error is not None:
            said = (job.stderr() or str(error)).partition(_TRACEBACK)[0].strip()
            failed.append(failure(task.stage, "", said, job.paths.stderr))
    return failed
