"""A stage that several processes may share, on all visible GPUs or as LGM_RANKS and torchrun say."""

from __future__ import annotations

from typing import NoReturn

from lgm_core.foundation.importing import uncollected
from stages.process import run_elsewhere, run_stage


def run_shared_stage(
    verb: str, about: str | None, usage: str, elsewhere: dict[str, str] | None = None
) -> NoReturn:
    """:func:`stages.process.run_stage` for a stage whose `main` knows its part by `own_ranks()`.

    Args:
        verb, about, usage: as there.
        elsewhere: flags of the command line that ask for another command → that command.
    """
    for flag, command in (elsewhere or {}).items():
        run_elsewhere(flag, command)
    run_stage(verb, about, usage, work=_shared)


def _shared(verb: str, arguments: list[str]) -> None:
    # Once the command line and the settings are checked: it imports torch.
    with uncollected():
        from stages.launch import run_shared

    run_shared(verb, arguments)
