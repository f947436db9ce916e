"""How a stage runs as a process: arguments, settings, errors, signals, and one process a cell.

A stage's file begins with :func:`run_stage`, above its imports: what is wrong with the command line or the
params file is said in the first second, before torch is loaded, and `--help` does not wait for it either.
"""

from __future__ import annotations

import argparse
import logging
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn
from urllib.parse import quote

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.locks import alone
from stages.advice import explained
from stages.params import PRIVATE, read_params


def run_stage(
    verb: str,
    about: str | None,
    usage: str = "",
    *,
    shared: bool = False,
    params: bool = True,
    options: tuple[str, ...] = (),
) -> NoReturn:
    """Run a stage as its command line says, and end the process.

    A user's error is one message and exit status 1; an interruption is 130.

    Args:
        verb: name of the stage, whose `main` takes the arguments.
        about: what it does, for `--help`.
        usage: names of its arguments; `[name]` may be left out.
        shared: whether several processes may share it, on all visible GPUs or as LGM_RANKS says.
        params: whether it needs a params file that is right.
        options: names of arguments that are given as `--name value`, in the order in which `main` takes them.
    """
    signal.signal(signal.SIGTERM, _terminated)
    arguments = _parsed(verb, about, usage, options)
    with guarded():
        if params:
            read_params()
        if shared:
            from stages.launch import run_shared

            run_shared(verb, arguments)
        else:
            with alone_with(verb, arguments):
                run_verb(verb, arguments)
    sys.exit(0)


def run_elsewhere(flag: str, verb: str) -> None:
    """Become another command where the command line has a flag of it."""
    if flag in sys.argv:
        runpy.run_module(f"stages.{verb}", run_name="__main__", alter_sys=True)


def run_verb(verb: str, arguments: list[str]) -> None:
    """Call a stage's `main`."""
    import_module(f"stages.{verb}").main(*arguments)


def _parsed(verb: str, about: str | None, usage: str, options: tuple[str, ...]) -> list[str]:
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{verb}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = usage.split()
    for name in names:
        optional = name.startswith("[")
        parser.add_argument(name.strip("[]"), nargs="?" if optional else None)  # pyright: ignore[reportArgumentType]
    for option in options:
        parser.add_argument(f"--{option.strip('[]')}", required=not option.startswith("["), default="")
    given = vars(parser.parse_args())
    values = [given[name.strip("[]")] for name in (*names, *options)]
    return [value for value in values if value is not None]


def alone_with(verb: str, arguments: list[str]):
    """Be the only process that runs this stage with these arguments in this folder."""
    cell = " ".join([verb, *arguments])
    return alone(PRIVATE / "locks" / f"{quote(cell, safe=' ')}.lock", f"The cell {cell!r}")


@contextmanager
def guarded(speaker: str = "") -> Iterator[None]:
    """A user's error is one message, begun by `speaker`, and exit status 1; an interruption is 130."""
    logging.basicConfig(format=f"{speaker}%(levelname)s: %(message)s")
    try:
        yield
    except InputError as error:
        _fail(speaker, explained(error))
    except (MemoryError, RuntimeError) as error:
        from lgm_core.foundation.microbatch import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        _fail(
            speaker,
            f"Memory ran out ({reason}). Set LGM_MICRO_BATCH to a smaller number, use fewer LGM_WORKERS, "
            "free memory, or set LGM_DEVICE=cpu.",
        )
    except KeyboardInterrupt:
        print(f"{speaker}interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)


def _fail(speaker: str, message: str) -> NoReturn:
    print(f"{speaker}error: {message}", file=sys.stderr)
    sys.exit(1)


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


def end_as_interrupted() -> None:
    """Let SIGTERM end this process as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminated)
