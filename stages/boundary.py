"""Where the outside comes in: the params file, the environment, the command line, errors and progress.

Machine settings are environment variables, never params, so that results stay valid on another machine:
    LGM_DEVICE       cpu, cuda, cuda:1 …            default: a GPU where there is one
    LGM_WORKERS      processes that decode images    default: up to 8, one per core
    LGM_DATA         folder of the data sets         default: data
    LGM_MICRO_BATCH  most views in the backbone at once   default: auto, as many as fit into memory
    LGM_PRECISION    auto, float32, bfloat16         default: auto, bfloat16 where it is faster
    LGM_COMPILE      1: torch.compile the backbone   default: 0
    LGM_INPUTS       own: start although data sets are missing that tables show beside this one

DVC_ROOT, which DVC sets, is where checkpoints are kept: an experiment in a temporary copy goes on from them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from lgm_core.errors import InputError
from lgm_core.layout import Layout
from lgm_core.locks import alone
from lgm_core.specs import Params, parse_params

PARAMS_FILE = Path("params.yaml")
PRIVATE = Path(".lgm")
"""Checkpoints and locks; neither results nor inputs, so unknown to git and DVC."""


@dataclass(frozen=True)
class Machine:
    """What this machine offers a stage."""

    device: str
    workers: int
    data_root: Path
    micro_batch: int | None
    precision: str
    compiled: bool
    alone: bool


def read_machine() -> Machine:
    """Read the `LGM_*` environment variables."""
    import torch

    device = os.environ.get("LGM_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"LGM_DEVICE is {device!r}, which this machine does not offer ({error}).") from None
    workers = whole_number("LGM_WORKERS", minimum=0)
    return Machine(
        device=device,
        workers=_default_workers() if workers is None else workers,
        data_root=Path(os.environ.get("LGM_DATA") or "data"),
        micro_batch=whole_number("LGM_MICRO_BATCH", minimum=1, automatic="auto"),
        precision=os.environ.get("LGM_PRECISION") or "auto",
        compiled=bool(whole_number("LGM_COMPILE", minimum=0)),
        alone=_own_inputs(),
    )


def _own_inputs() -> bool:
    given = os.environ.get("LGM_INPUTS") or "all"
    if given not in {"all", "own"}:
        raise InputError(f"LGM_INPUTS is {given!r}; allowed: all | own.")
    return given == "own"


def _default_workers() -> int:
    return min(8, len(os.sched_getaffinity(0)))


def whole_number(variable: str, *, minimum: int, automatic: str = "") -> int | None:
    """An environment variable as a number; None where it is not set, or is the word `automatic`."""
    given = os.environ.get(variable)
    if not given or given == automatic:
        return None
    if not given.isdecimal() or int(given) < minimum:
        word = f", or {automatic}" if automatic else ""
        raise InputError(f"{variable} is {given!r}; allowed: a whole number from {minimum}{word}.")
    return int(given)


def read_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check the params file, as YAML 1.2 like DVC itself."""
    from ruamel.yaml import YAML

    try:
        content: Any = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; run stages from the project's folder, or `make suite`."
        ) from None
    except Exception as error:  # the parser has many: bad dates, numbers of a thousand digits, deep nesting
        raise InputError(f"{path} is not valid YAML: {type(error).__name__}: {error}") from None
    return parse_params(content)


def check_cell(params: Params, dataset: str, backbone: str | None = None) -> None:
    """Refuse a data set or backbone that the params file does not name."""
    named(params.datasets, dataset, "datasets")
    if backbone is not None and backbone not in params.figure_backbones:
        named(params.backbones, backbone, "backbones")


def read_layout(params: Params) -> Layout:
    """Paths of the active suite's results, below the current folder."""
    return Layout(Path(), params.suite)


def checkpoint_folder(params: Params, *cell: str) -> Path:
    """Where the checkpoints of a cell lie: in the project itself, also where DVC runs a copy of it."""
    name = "-".join(filter(None, cell)).replace("/", "-")
    return Path(os.environ.get("DVC_ROOT") or ".") / PRIVATE / "checkpoints" / params.suite / name


def named(known: dict[str, dict[str, Any]], name: str, group: str) -> dict[str, Any]:
    """The source of a data set or backbone that the params file names."""
    if name not in known:
        raise InputError(f"{name!r} is not among {group} in params.yaml; there are: {', '.join(known)}.")
    return known[name]


def progress_bar(total: int, what: str, unit: str, *, shown: bool = True) -> Any:
    """A progress bar on stderr; in a log file one line now and then instead of a moving bar."""
    from tqdm import tqdm

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


def terminated(signum: int, frame: object) -> NoReturn:
    """Signal handler: end as Ctrl-C does."""
    raise KeyboardInterrupt


@contextmanager
def guarded(speaker: str = "") -> Iterator[None]:
    """A user's error is one message, begun by `speaker`, and exit status 1; an interruption is 130."""
    logging.basicConfig(format=f"{speaker}%(levelname)s: %(message)s")
    try:
        yield
    except InputError as error:
        print(f"{speaker}error: {error}", file=sys.stderr)
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        from lgm_core.memory import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        print(
            f"{speaker}error: Memory ran out ({reason}). Set LGM_MICRO_BATCH to a smaller number, use fewer "
            "LGM_WORKERS, free memory, or set LGM_DEVICE=cpu.",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{speaker}interrupted; run the same command again", file=sys.stderr)
        sys.exit(130)


def parsed_arguments(parameters: tuple[str, ...], optional: tuple[str, ...] = ()) -> list[str]:
    """The command line's arguments, one for every parameter, and up to as many more as are optional."""
    arguments = sys.argv[1:]
    if not len(parameters) <= len(arguments) <= len(parameters) + len(optional):
        usage = " ".join([*(f"<{name}>" for name in parameters), *(f"[{name}]" for name in optional)])
        raise InputError(f"usage: python -m stages.{Path(sys.argv[0]).stem} {usage}")
    return arguments


def alone_with(arguments: list[str]) -> AbstractContextManager[None]:
    """Be the only process that runs this stage with these arguments in this folder."""
    cell = " ".join([Path(sys.argv[0]).stem, *arguments])
    return alone(PRIVATE / "locks" / f"{quote(cell, safe=' ')}.lock", f"The cell {cell!r}")


def run_stage(main: Callable[..., None], parameters: tuple[str, ...]) -> None:
    """Call a stage with its command-line arguments; a user's error is one message and exit status 1.

    Args:
        main: the stage; takes one string per parameter.
        parameters: their names, for the usage line.
    """
    signal.signal(signal.SIGTERM, terminated)
    with guarded():
        arguments = parsed_arguments(parameters)
        with alone_with(arguments):
            main(*arguments)
