"""Progress on stderr: a bar with speed, time left and loss; in a log file a line now and then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm


def progress_bar(total: int, what: str, unit: str, *, shown: bool = True) -> Any:
    """A progress bar on stderr; in a log file one line now and then instead of a moving bar."""
    quiet = not sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        mininterval=10 if quiet else 0.1,
        ascii=quiet,
        dynamic_ncols=not quiet,
        disable=not shown,
    )


def losses_on(bar: Any) -> Callable[[int, float], None]:
    """What shows a step's loss on a progress bar."""

    def show(step: int, loss: float) -> None:
        bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        bar.update()

    return show
