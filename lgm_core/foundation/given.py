"""Paths as people give them: looked at once, so that what cannot be one is told and not run into."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from lgm_core.foundation.errors import InputError

_SHOWN = 100
_LONGEST_NAME = 255
"""Bytes of one name in a path, on every common file system."""
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR}


def shown_path(path: object) -> str:
    """A path in a message: as it is, or of a long one the beginning."""
    text = str(path).encode("utf-8", "replace").decode()
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def given_path(text: str, base: Path | None = None) -> Path:
    """A path that somebody gave, which may lead nowhere yet.

    Args:
        text: `~` and `~user` at its beginning are somebody's home folder.
        base: folder that relative paths start from; the current one by default.

    Raises:
        InputError: if there is no such user, or the system refuses to look there: the path is too long, has a
            zero byte or goes round in circles, or a folder on the way may not be entered.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0]
        raise InputError(
            f"{shown_path(text)}: this machine knows no home folder of {shown_path(user)}; write it out."
        ) from None
    path = path if base is None else base / path
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise InputError(f"{shown_path(path)} cannot be looked at: {os.strerror(errno.ENAMETOOLONG)}.")
    try:
        path.stat()
    except ValueError as error:
        raise InputError(f"{shown_path(path)} is no path: {error}.") from error
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise InputError(f"{shown_path(path)} cannot be looked at: {error.strerror}.") from error
    return path
