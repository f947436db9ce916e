"""How a stage runs as a process: arguments, settings, errors, signals, and one process a cell.

A stage's file begins with :func:`run_stage`, above its imports: what is wrong with the command line or the
params file is said in the first second, before torch is loaded, and `--help` does not wait for it either.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable
from typing import NoReturn

from lgm_core.foundation.output import never_fail_to_print
from stages.guard import guarded, run_alone
from stages.params import read_params
from stages.signals import end_as_interrupted, ended_silently


def run_stage(
    verb: str,
    about: str | None,
    usage: str = "",
    *,
    params: bool = True,
    options: tuple[str, ...] = (),
    work: Callable[[str, list[str]], None] = run_alone,
) -> NoReturn:
    """Run a stage as its command line says, and end the process.

    A user's error is one message and exit status 1; an interruption is 130.

    Args:
        verb: name of the stage, whose `main` takes the arguments.
        about: what it does, for `--help`.
        usage: names of its arguments; `[name]` may be left out, `[name...]` is any number of words, which
            `main` takes as one.
        params: whether it needs a params file that is right.
        options: names of arguments that are given as `--name value`, in the order in which `main` takes them.
        work: what runs the verb with its arguments.
    """
    never_fail_to_print()
    end_as_interrupted()
    arguments = _parsed(verb, about, usage, options)
    with ended_silently(), guarded():
        if params:
            read_params()
        work(verb, arguments)
    sys.exit(0)


def run_elsewhere(flag: str, verb: str) -> None:
    """Become another command where the command line has a flag of it."""
    if flag in sys.argv:
        runpy.run_module(f"stages.{verb}", run_name="__main__", alter_sys=True)
        sys.exit(0)


def _parsed(verb: str, about: str | None, usage: str, options: tuple[str, ...]) -> list[str]:
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{verb}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = usage.split()
    for name in names:
        count = "*" if name.endswith("...]") else "?" if name.startswith("[") else None
        parser.add_argument(_plain(name), nargs=count)  # pyright: ignore[reportArgumentType]
    for option in options:
        parser.add_argument(f"--{_plain(option)}", required=not option.startswith("["), default="")
    given = vars(parser.parse_args())
    values = [given[_plain(name)] for name in (*names, *options)]
    words = [" ".join(value) if isinstance(value, list) else value for value in values]
    return [word for word in words if word is not None]


def _plain(name: str) -> str:
    return name.strip("[.]")
