"""Where a number comes from: settings, versions, time and memory, recorded with every result.

Time and memory differ from run to run and have a file of their own, so that a repeated run with the same
result leaves that result's files as they were.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any

import torch

from lgm_core.foundation.belonging import named
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.store import write_json

_MIB = 2**20


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    from importlib.metadata import version

    return {
        # The package holds this module, so it is there; an import would be an arrow to the top.
        "lgm": sys.modules[__name__.partition(".")[0]].__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
    }


def arithmetic(device: torch.device) -> dict[str, Any]:
    """Where sums are added, and on a CPU by how many threads: another number gives other last bits."""
    return {"device": device.type} | ({"threads": torch.get_num_threads()} if device.type == "cpu" else {})


def settings_of(spec: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Some fields of a spec as plain values; only these are read."""
    values = {name: getattr(spec, name) for name in names}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


class Measurement:
    """Time and memory of one run, from its construction on.

    Args:
        device: whose memory counts: a GPU's own, or on the CPU the whole process's.
    """

    def __init__(self, device: torch.device | str) -> None:
        self.device = torch.device(device)
        self.started = time.perf_counter()
        self.parts: dict[str, float] = {}
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @contextmanager
    def part(self, name: str, count: int) -> Iterator[None]:
        """Note the seconds that each of `count` equal things takes which the block does together."""
        started = time.perf_counter()
        yield
        self.parts[name] = round((time.perf_counter() - started) / count, 4)

    def _peak_mib(self) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / _MIB
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / _MIB if sys.platform == "darwin" else peak / 1024

    def write(self, cell: Cell, verb: str, seconds: float | None = None) -> None:
        """Record seconds, by default since the construction, peak of memory and device as JSON.

        Args:
            cell: what was made.
            verb: by what.
            seconds: if they are others.
        """
        taken = time.perf_counter() - self.started if seconds is None else seconds
        write_json(
            cell.run(verb),
            {
                **named(cell),
                "seconds": round(taken, 2),
                "peak_memory_mib": round(self._peak_mib(), 1),
                "device": self.device.type,
                **({"parts": self.parts} if self.parts else {}),
            },
        )
