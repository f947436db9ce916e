"""Signals: SIGTERM ends a stage as Ctrl-C does, and a distillation finishes its step first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def finishing_steps() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM and Ctrl-C only ask to end: yields whether one came. A second Ctrl-C ends."""
    received: list[int] = []

    def note(signum: int, frame: object) -> None:
        if signum == signal.SIGINT and signum in received:
            raise KeyboardInterrupt
        received.append(signum)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminated(signum: int, frame: object) -> NoReturn:
    """Signal handler: end as Ctrl-C does."""
    raise KeyboardInterrupt


@contextmanager
def ended_silently() -> Iterator[None]:
    """Once the block is over, SIGTERM ends the process at once: all is said, and what Python still does on
    its way out, such as the exit handlers of libraries, would show an interruption as a traceback."""
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_as_interrupted() -> None:
    """Let SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)
