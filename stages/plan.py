"""What DVC would have to do: the stages that are not up to date, and what each of them waits for."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from lgm_core.foundation.errors import InputError

CODE = "code"
"""The stage that makes what all others depend on: their settings and code."""
_TRIES = 3
"""DVC gives up after three seconds where another process holds one of its locks; it is then asked again."""
_SHOWN_LINES = 25


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


def open_repo() -> Any:
    """The DVC repository here, which waits for its lock."""
    from dvc.repo import Repo

    logging.getLogger("dvc").propagate = False  # it has handlers of its own
    return Repo(_wait_for_lock=True)


def planned(targets: list[str]) -> Plan:
    """The stages of the targets that are not up to date, as DVC sees them once the stage `code` is."""
    plan = _planned(targets)
    if CODE in plan.waiting and plan.total > 1:
        said = logging.getLogger("dvc")
        level = said.level
        said.setLevel(logging.WARNING)
        reproduce(CODE)
        said.setLevel(level)
        plan = _planned(targets)
    return plan


def _planned(targets: list[str]) -> Plan:
    import networkx
    from dvc.exceptions import DvcException

    try:
        with open_repo() as repo:
            with repo.lock:
                wanted = {
                    stage
                    for target in targets or [None]
                    for stage in repo.stage.collect(target, with_deps=True, graph=repo.index.graph)
                }
                # What is needed comes first, and of the rest what dvc.yaml names first.
                places = {stage: number for number, stage in enumerate(repo.index.stages)}
                needs_first = repo.index.graph.subgraph(wanted).reverse()
                order = networkx.lexicographical_topological_sort(needs_first, key=places.__getitem__)
                graph = {
                    stage.addressing: {need.addressing for need in repo.index.graph.successors(stage)}
                    for stage in order
                }
            changed = repo.status(targets=targets or None, with_deps=True)
    except DvcException as error:
        raise InputError(str(error)) from error
    return stale(graph, set(changed))


def reproduce_all(targets: list[str]) -> None:
    """Plain `dvc repro`, in this process: after side by side nothing is left for it."""
    _reproduce(targets=targets or None)


def reproduce(stage: str) -> None:
    """One stage, in this process: from the cache, if it was made elsewhere."""
    _reproduce(targets=[stage], single_item=True)


def _reproduce(**how: Any) -> None:
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    for left in reversed(range(_TRIES)):
        try:
            with open_repo() as repo:
                repo.reproduce(**how)
        except DvcException as error:
            if left and isinstance(error, LockError):
                continue
            raise InputError(": ".join(map(str, filter(None, (error, error.__cause__))))) from error
        return


def failure(stage: str, reason: str, said: str, log: object) -> str:
    """What is told of a stage that failed.

    Args:
        stage: its name.
        reason: in a few words, if there is one.
        said: all that it said, of which the last lines are shown.
        log: where that is kept.
    """
    shown = [f"    {line}" for line in said.splitlines()[-_SHOWN_LINES:]]
    return "\n".join([f"{stage} failed: {reason}".rstrip(), *shown, f"  All it said is in {log}."])
