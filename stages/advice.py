"""What to type: the library's errors say what is wrong, this says where to change it and what to run."""

from __future__ import annotations

from lgm_core.foundation.errors import (
    FileError,
    InputError,
    KeyFaultError,
    MissingFileError,
    NoMemoryError,
    SettingError,
    WorkersError,
)
from lgm_core.foundation.layout import Layout
from stages.params import PARAMS_FILE, read_layout, read_params

# As `stages.machine` reads them; that module imports torch, and messages should not wait for it.
_MACHINE = frozenset({"device", "ranks", "workers", "micro_batch", "precision", "compile", "inputs"})


def explained(error: InputError) -> str:
    """The message for someone who runs the pipeline."""
    if isinstance(error, SettingError) and error.key in _MACHINE:
        return f"LGM_{error.key.upper()} {str(error).removeprefix(error.key + ' ')}"
    if isinstance(error, SettingError) and error.key.startswith("--"):
        return str(error)
    if isinstance(error, SettingError | KeyFaultError):
        shown = " The files in suites/ show every key." if _misses_keys(error) else ""
        return f"{PARAMS_FILE}: {error}{shown}"
    if isinstance(error, FileError):
        return f"{error}{_command(error)}"
    if isinstance(error, NoMemoryError):
        return f"{error} LGM_DEVICE=cpu does that."
    if isinstance(error, WorkersError):
        return (
            f"{error} Run the same command again with fewer LGM_WORKERS (0: the stage decodes by itself), or "
            "give it more of what ran out: memory, processes (`ulimit -u`), open files (`ulimit -n`)."
        )
    return str(error)


def _misses_keys(error: InputError) -> bool:
    return isinstance(error, KeyFaultError) and error.fault == "missing"


def _command(error: FileError) -> str:
    """The command that makes the file, where a stage does."""
    try:
        layout: Layout = read_layout(read_params())
    except InputError:
        return ""
    stage = layout.stage(error.path)
    if stage is None:
        return ""
    if isinstance(error, MissingFileError):
        return f" Make it with: dvc repro {stage}"
    return f" Make it again with: dvc repro -f {stage}"
