"""One process at a time: whoever comes second is told who is at work, and ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from lgm_core.foundation.errors import InputError

_GRACE_SECONDS = 15.0
"""How long the children of a killed process may keep its lock before they notice and end."""


@contextlib.contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock `path` for the length of the block; it is freed even if the process is killed.

    Args:
        path: a lock file; it stays, and says beside it who had it last.
        what: the work that must not be done twice at once, for the message.

    Raises:
        InputError: naming the process that holds the lock, or if the lock file cannot be made.
    """
    owner = path.with_suffix(".owner")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=0 if _is_alive(owner) else _GRACE_SECONDS)
    except Timeout:
        raise InputError(
            f"{what} is being run by {_describe(owner)}. Wait for it, or end it, then run the same command "
            "again."
        ) from None
    except OSError as error:
        raise InputError(f"Cannot lock {path}: {error.strerror or error}. {what} was not started.") from error
    try:
        with contextlib.suppress(OSError):  # the note is for people; the lock works without it
            owner.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}), encoding="utf-8")
        yield
    finally:
        lock.release()


def _read(owner: Path) -> dict[str, object]:
    try:
        content = json.loads(owner.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_running(pid: int) -> bool:
    """Whether a process of that number exists on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_alive(owner: Path) -> bool:
    """Whether the last owner may still be at work; one on another machine may be."""
    note = _read(owner)
    pid = note.get("pid")
    return not isinstance(pid, int) or note.get("host") != platform.node() or is_running(pid)


def _describe(owner: Path) -> str:
    note = _read(owner)
    return f"pid {note['pid']} on {note['host']}" if {"pid", "host"} <= set(note) else "another process"
