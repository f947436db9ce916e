"""How many views fit into memory at once, and what to do when it turns out that fewer do.

A frozen backbone under a forward and a backward pass needs memory in proportion to the number of views. A
trial with one view and one with two tell how much that is; a share of what is free is then filled.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lgm_core.foundation.errors import NoMemoryError

logger = logging.getLogger(__name__)


Result = TypeVar("Result")

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_USED_SHARE = (0.5, 0.8)
"""Share of the free memory to fill, on a CPU, where other processes live too, and on a GPU."""


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


class _Live(TorchDispatchMode):
    """Counts the bytes of all tensors that operations made and that still live, and the most so far."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: dict[int, tuple[StorageWeakRef, int]] = {}
        self.most = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(tensor)._cdata for tensor in _tensors((args, kwargs))}
        for tensor in _tensors(result):
            storage = _storage(tensor)
            if storage._cdata not in given:  # otherwise a view of what was there
                self.stores[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.stores = {key: kept for key, kept in self.stores.items() if not kept[0].expired()}
        self.most = max(self.most, sum(size for _, size in self.stores.values()))
        return result


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage()


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Most bytes that the tensors which `work()` makes hold at once, forward and backward passes included.

    On a GPU this is what the allocator says, workspaces included; on a CPU libraries may need some more.
    """
    with torch.compiler.set_stance("force_eager"):
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            work()
            return torch.cuda.max_memory_allocated(device) - before
        with _Live() as live:
            work()
        return live.most


def fitting_views(
    trial: Callable[[int], object], total: int, device: torch.device, *, processes: int = 1
) -> int:
    """The micro-batch for `total` views: as large as fits into memory, in parts of equal size.

    Args:
        trial: the forward and backward pass of so many views; tried with one and two. It changes nothing.
        total: views of one step.
        device: whose free memory counts.
        processes: how many share a CPU's memory.
    """
    if device.type == "cuda":
        trial(1)  # what libraries take once and keep belongs to neither trial
    one = peak_bytes(lambda: trial(1), device)
    each = max(1, peak_bytes(lambda: trial(2), device) - one) if total > 1 else max(1, one)
    share = _USED_SHARE[device.type == "cuda"] / (processes if device.type == "cpu" else 1)
    room = int((free_bytes(device) * share - (one - each)) / each)
    parts = -(-total // max(1, min(total, room)))
    return -(-total // parts)


_SIGNS = (
    "can't allocate memory",  # torch's CPU allocator
    "bad_alloc",  # C++ itself
    "could not create a primitive",  # oneDNN, which cannot say it better
    "out of memory",  # "CUDA error: out of memory" of the driver, and MPS
    "cudaErrorMemoryAllocation",
    "_ALLOC_FAILED",  # CUBLAS_STATUS_ALLOC_FAILED, and cuDNN, cuSOLVER, cuFFT and hipBLAS alike
    "unable to find an engine to execute",  # cuDNN, when no algorithm's workspace fits
)


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
            NoMemoryError: if not even one view fits.
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
            raise NoMemoryError(
                f"Memory runs out with a single view in the backbone ({reason}). Lower input_size or "
                "resolution, choose a smaller backbone, free memory, or use the CPU."
            )
        self.views = -(-self.views // 2)
        logger.warning("out of memory (%s); going on with a micro-batch of %d views", reason, self.views)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
