"""What users are meant to read: errors that carry facts. Who called adds what to type.

The library does not know whether a setting stood in a file, on a command line or in a program, nor which
command makes a missing file: the errors say which setting or path it is, and the caller's boundary says the
rest.
"""

from __future__ import annotations

import reprlib
from pathlib import Path

# A message shows what was given, but not all of a text or list that somebody nested without end.
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = 100
_SHORT.maxother = 100
_SHORT.maxlong = 1000


class InputError(Exception):
    """Something given from outside (a setting, a file, a data set, a machine) cannot be used.

    The message says what was given and what is allowed. Boundaries print it alone, without a traceback, and
    exit non-zero.
    """

    def __reduce__(self) -> tuple[object, ...]:
        """Between processes it keeps its message and its facts."""
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[InputError], arguments: tuple[object, ...], facts: dict[str, object]) -> InputError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(facts)
    return error


class SettingError(InputError):
    """A setting cannot be used.

    Args:
        key: its dotted name, as in `augment.crop_scale`.
        given: its value.
        allowed: what it may be, in words.
    """

    def __init__(self, key: str, given: object, allowed: str) -> None:
        super().__init__(f"{key} is {_SHORT.repr(given)}; allowed: {allowed}.")
        self.key = key
        self.given = given
        self.allowed = allowed


class KeyFaultError(InputError):
    """Settings have a key too many or too few.

    Args:
        fault: `unknown` or `missing`.
        keys: dotted names.
        told: what there is, or where to look.
    """

    def __init__(self, fault: str, keys: list[str], told: str) -> None:
        super().__init__(f"{fault} key {', '.join(keys)}; {told}.")
        self.fault = fault
        self.keys = keys


class NoMemoryError(InputError):
    """Memory ran out even with the smallest parts that work can be done in."""


class FileError(InputError):
    """A file or folder that something here makes cannot be used as it is.

    Args:
        path: which.
        reason: a sentence's end: `is missing`, `is damaged (…)`.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}.")
        self.path = path
        self.reason = reason


class MissingFileError(FileError):
    """There is none."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "is missing")


class DamagedFileError(FileError):
    """It is not what was written: truncated, with other bytes than its checksum says, or of another kind."""


class StaleFileError(FileError):
    """It was made from something else than what is there now."""


class WorkersError(InputError):
    """Processes that help cannot be started, or one of them has ended before its time."""
