"""How many views fit into memory at once, and what to do when it turns out that fewer do.

A frozen backbone under a backward pass needs memory for what its graph keeps, which is proportional to the
number of views. One probe view tells how much that is, on any device; a share of what is free is then filled.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from lgm_core.foundation.errors import InputError

logger = logging.getLogger(__name__)


Result = TypeVar("Result")

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_USED_SHARE = (0.5, 0.8)
"""Share of the free memory to fill, on a CPU, where other processes live too, and on a GPU."""
_OVERHEAD = 1.5
"""Peak of a backward pass over what its graph keeps: gradients in flight, workspaces of convolutions."""


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on a device, in bytes; the tighter of machine and container on a CPU."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    limits = [_machine_bytes()]
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit.isdecimal():
            limits.append(int(limit) - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):
        logger.debug("no memory limit of a container can be read")
    return max(0, min(limits))


def _machine_bytes() -> int:
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        # Not Linux: half of what is built in stands for what is free.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def graph_bytes(function: Callable[[], Tensor]) -> int:
    """Bytes that the graph of `function()` keeps for a backward pass, without the backbone's weights."""
    stores: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        if not isinstance(saved, torch.nn.Parameter):
            storage = saved.untyped_storage()
            stores[storage.data_ptr()] = storage.nbytes()
        return saved

    with (
        torch.enable_grad(),
        torch.compiler.set_stance("force_eager"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved),
    ):
        # The graph must live until all is counted: a freed address could be counted once for two tensors.
        graph = function()
        del graph
    return sum(stores.values())


def fitting_views(
    graph_of: Callable[[int], Tensor], total: int, device: torch.device, *, processes: int = 1
) -> int:
    """The micro-batch for `total` views: as large as fits into memory, in parts of equal size.

    Args:
        graph_of: makes the graph of that many views; tried with one and two.
        total: views of one step.
        device: whose free memory counts.
        processes: how many share a CPU's memory.
    """
    one = graph_bytes(lambda: graph_of(1))
    each = max(1, graph_bytes(lambda: graph_of(2)) - one) if total > 1 else one
    share = _USED_SHARE[device.type == "cuda"] / (processes if device.type == "cpu" else 1)
    room = int((free_bytes(device) * share - _OVERHEAD * (one - each)) / (_OVERHEAD * each))
    parts = -(-total // max(1, min(total, room)))
    return -(-total // parts)


# The CPU allocator, C++ itself, and oneDNN, which cannot say it better.
_SIGNS = ("can't allocate memory", "bad_alloc", "could not create a primitive")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


class Backoff:
    """A micro-batch that halves when memory runs out.

    Args:
        views: the micro-batch to begin with.
    """

    def __init__(self, views: int) -> None:
        self.views = views

    def run(self, work: Callable[[int], Result]) -> Result:
        """`work(micro-batch)`, again with half of it for as long as memory runs out.

        Args:
            work: may run several times, so it must not change any state before it succeeds.

        Raises:
            InputError: if not even one view fits.
        """
        while True:
            try:
                return work(self.views)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            # Out of the handler, so that the failed attempt's tensors are freed before the next.
            self._halve(reason)

    def _halve(self, reason: str) -> None:
        if self.views == 1:
            raise InputError(
                f"Memory runs out with a single view in the backbone ({reason}). Lower input_size or "
                "resolution, choose a smaller backbone, free memory, or use the CPU."
            )
        self.views = -(-self.views // 2)
        logger.warning("out of memory (%s); going on with a micro-batch of %d views", reason, self.views)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
