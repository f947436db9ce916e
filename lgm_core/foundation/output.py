"""Words on stdout and stderr are no result: where they cannot be written, what a program does goes on."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import Any

_STANDARD = (0, 1, 2)
"""Descriptors of stdin, stdout and stderr."""


class _Unfailing(io.RawIOBase):
    """A descriptor; what it does not take, because nobody reads it or its disk is full, is dropped.

    Args:
        descriptor: an open one; it is not closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    # The interface is io's own.

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, content: Any) -> int:
        while True:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return memoryview(content).nbytes


def never_fail_to_print() -> None:
    """Let nothing that this process prints end it: a broken pipe, a closed or full stdout, an ASCII terminal.

    Characters that the terminal cannot show are written as their numbers. Closed descriptors become the null
    device, so that no file that is opened later takes the number of stdout. Streams that somebody else has
    put in the place of the process's own stay.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            # It takes the lowest number that is free, and processes that are started have it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        before = getattr(sys, name)
        if before is not getattr(sys, f"__{name}__"):
            continue
        if before is not None:
            with contextlib.suppress(OSError, ValueError):
                before.flush()
        stream = io.TextIOWrapper(
            io.BufferedWriter(_Unfailing(descriptor)),
            encoding=getattr(before, "encoding", None) or "utf-8",
            errors="backslashreplace",
            line_buffering=getattr(before, "line_buffering", True),
            write_through=getattr(before, "write_through", False),
        )
        setattr(sys, name, stream)
