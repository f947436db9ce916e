"""One run of a verb: alone with its cell, and every error a user can mend is one message."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import NoReturn
from urllib.parse import quote

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.given import shown_path
from lgm_core.foundation.importing import uncollected
from lgm_core.foundation.locks import alone
from stages.advice import explained
from stages.params import PRIVATE

_LONGEST_NAME = 240
"""Of a file system's 255 bytes, without the suffix."""


def run_verb(verb: str, arguments: list[str]) -> None:
    """Call a stage's `main`."""
    with uncollected():
        stage = import_module(f"stages.{verb}")
    stage.main(*arguments)


def alone_with(verb: str, arguments: list[str]) -> AbstractContextManager[None]:
    """Be the only process that runs this stage with these arguments in this folder."""
    cell = " ".join([verb, *arguments])
    return alone(PRIVATE / "locks" / f"{_file_name(cell)}.lock", f"The cell {shown_path(cell)!r}")


def _file_name(cell: str) -> str:
    """A name for a cell's files: as it is typed, but for paths or lists that are longer than names can be."""
    name = quote(cell, safe=" ", errors="surrogateescape")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:100]} {hashlib.sha256(cell.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


def run_alone(verb: str, arguments: list[str]) -> None:
    """Call a stage's `main`, as the only process with this cell."""
    with alone_with(verb, arguments):
        run_verb(verb, arguments)


@contextmanager
def guarded(speaker: str = "") -> Iterator[None]:
    """What a user can mend is one message, begun by `speaker`, and exit status 1; an interruption is 130.

    That is wrong input, a file that the system refuses, and memory that runs out.
    """
    logging.basicConfig(format=f"{speaker}%(levelname)s: %(message)s")
    try:
        yield
    except InputError as error:
        _fail(speaker, explained(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(speaker, f"{shown_path(error.filename)}: {error.strerror}.")
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
