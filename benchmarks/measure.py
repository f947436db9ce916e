"""Measuring: turns of all candidates in one run, medians, peak memory, arithmetic, and tables of it."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

_WARM_UP = 2


@dataclass(frozen=True)
class Measured:
    """Medians of one candidate.

    Attributes:
        seconds: of one call.
        peak_bytes: more memory than before the call, at its peak.
    """

    seconds: float
    peak_bytes: int


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reset_peak(device: torch.device) -> int:
    """Begin a new peak; what is held now, in bytes. A CPU's is the process's resident memory, on Linux."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls have freed goes back, so that it counts again
    Path("/proc/self/clear_refs").write_text("5")
    return status_bytes("VmRSS")


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else status_bytes("VmHWM")


def status_bytes(field: str, process: int | str = "self") -> int:
    """A field of a process's status on Linux, such as VmHWM, the most resident memory so far.

    Raises:
        OSError, StopIteration: if there is no such process any more.
    """
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def interleaved(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, device: torch.device
) -> dict[str, Measured]:
    """Call all candidates in turn, so that whatever else the machine does hits them alike.

    Args:
        candidates: what to call, by name.
        rounds: calls of each that count.
        device: to wait for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(_WARM_UP + rounds):
        for name, call in candidates.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if number >= _WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    # Apart from the timed calls, because a new peak begins with giving memory back.
    peaks = {name: _peak_of(call, device) for name, call in candidates.items()}
    return {name: Measured(statistics.median(seconds[name]), peaks[name]) for name in candidates}


Maker = Callable[[], Callable[[], object]]
"""Makes a candidate, in the process that is to call it."""


def interleaved_processes(makers: Mapping[str, Maker], *, rounds: int) -> dict[str, Measured]:
    """:func:`interleaved` on a CPU, with a process for each candidate: what one does to the allocator is its
    own matter, as it is outside a benchmark.

    Args:
        makers: module-level functions, or partials of them, by name.
        rounds: calls of each that count.
    """
    with ExitStack() as stack:
        asked = {name: stack.enter_context(_process(make)) for name, make in makers.items()}
        seconds = [{name: ask("seconds") for name, ask in asked.items()} for _ in range(_WARM_UP + rounds)]
        peaks = {name: int(ask("peak")) for name, ask in asked.items()}
    return {
        name: Measured(statistics.median(turn[name] for turn in seconds[_WARM_UP:]), peaks[name])
        for name in makers
    }


@contextmanager
def _process(make: Maker) -> Iterator[Callable[[str], float]]:
    """A process that makes a candidate and, asked for `seconds` or `peak`, calls it once and says it."""
    context = multiprocessing.get_context("spawn")
    own, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make, torch.get_num_threads()), daemon=True)
    process.start()
    theirs.close()

    def ask(what: str) -> float:
        own.send(what)
        return own.recv()

    try:
        yield ask
    finally:
        own.close()
        process.join()


def _serve(connection: Connection, make: Maker, threads: int) -> None:
    torch.set_num_threads(threads)
    device = torch.device("cpu")
    call = make()
    while True:
        try:
            wanted = connection.recv()
        except EOFError:
            return
        start = time.perf_counter()
        if wanted == "peak":
            connection.send(_peak_of(call, device))
            continue
        call()
        connection.send(time.perf_counter() - start)


def _peak_of(call: Callable[[], object], device: torch.device) -> int:
    before = _reset_peak(device)
    call()
    _wait(device)
    return _peak(device) - before


def flops(call: Callable[[], object]) -> int:
    """Floating-point operations of a call, by torch's own counter: matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def matmul_rate(device: torch.device) -> float:
    """Operations per second of large matrix products: bfloat16 on a GPU, float32 on a CPU."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    found = interleaved({"product": lambda: left @ right}, rounds=20, device=device)
    return 2 * size**3 / found["product"].seconds


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Rows as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(device: torch.device) -> str:
    """One line on what was measured on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else 'CPU'}, {torch.get_num_threads()} threads, torch {torch.__version__}"
