"""Several processes at one task: which part is whose, sums over all of them, and how they start and end.

A process among those that share the work is a rank. Sums and gathers go over torch.distributed (gloo on
CPUs, NCCL on GPUs). With one rank everything here is the identity and torch.distributed is not touched.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Num
from torch import Tensor, distributed

from lgm_core.foundation.errors import InputError

_TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others; a rank that ends is noticed at once."""

Value = TypeVar("Value")


class _SumOverRanks(torch.autograd.Function):
    """Sum of every rank's tensor. Each rank goes on to compute the same loss from it, so the gradient of that
    loss with respect to a rank's own term is the gradient with respect to the sum."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the work.

    Attributes:
        rank: number of this process, from 0.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that shows progress and writes files."""
        return self.rank == 0

    def share(self, count: int, rank: int | None = None) -> range:
        """The consecutive items of `count` that a rank owns, this one if none is named; equal but for one."""
        number = self.rank if rank is None else rank
        return range(count * number // self.world, count * (number + 1) // self.world)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all ranks, equal on all of them; differentiable in this rank's own term.

        Raises:
            InputError: if another rank has ended.
        """
        if self.world == 1:
            return value
        with _others_alive():
            return _SumOverRanks.apply(value)  # pyright: ignore[reportReturnType]

    def counts(self, count: int) -> list[int]:
        """How many of `count` items every rank owns."""
        return [len(self.share(count, rank)) for rank in range(self.world)]

    def gather(
        self, rows: Num[Tensor, "n *rest"], counts: list[int], result: Tensor | None = None
    ) -> Num[Tensor, "k *rest"]:
        """On rank 0 all ranks' rows in order, on the CPU; on the others their own.

        Args:
            rows: this rank's, on the device that the ranks communicate from.
            counts: number of rows of every rank.
            result: where rank 0 puts them, [sum of counts, *rest] on the CPU; new memory by default.

        Raises:
            InputError: if another rank has ended.
        """
        if not self.first:
            with _others_alive():
                distributed.send(rows.contiguous(), dst=0)
            return rows.cpu()
        gathered = torch.empty(sum(counts), *rows.shape[1:], dtype=rows.dtype) if result is None else result
        start = counts[0]
        gathered[:start] = rows
        for rank in range(1, self.world):
            received = rows.new_empty(counts[rank], *rows.shape[1:])
            with _others_alive():
                distributed.recv(received, src=rank)
            gathered[start : start + counts[rank]] = received
            start += counts[rank]
        return gathered

    def collect(self, value: Value) -> list[Value]:
        """Every rank's plain value, in order, on every rank.

        Raises:
            InputError: if another rank has ended.
        """
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with _others_alive():
            distributed.all_gather_object(values, value)
        return values


ALONE = Ranks()


@contextmanager
def _others_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "/dev/shm" in str(error):  # where NCCL keeps what GPUs of one machine exchange
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"There is no room in /dev/shm for what ranks exchange ({reason}). Start the container "
                "with more, as with Docker's --shm-size=1g, or use one rank."
            ) from error
        raise InputError(
            f"Another rank has ended or does not answer; its own message says why "
            f"({str(error).splitlines()[0]}). Run the same command again."
        ) from error


def own_ranks() -> Ranks:
    """What :func:`join_ranks` has set up for this process; one rank where it was not called."""
    if distributed.is_available() and distributed.is_initialized():
        return Ranks(distributed.get_rank(), distributed.get_world_size())
    return ALONE


@contextmanager
def join_ranks(rank: int, world: int, rendezvous: str, device: torch.device) -> Iterator[None]:
    """Be one of `world` ranks for the length of the block.

    Args:
        rank: number of this process.
        world: number of processes.
        rendezvous: where they meet: `env://` under torchrun, or `file://<path of a new file>`.
        device: what this rank computes on.

    Raises:
        InputError: if the others do not come.
    """
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "nccl"
    with _others_alive():
        distributed.init_process_group(
            backend, init_method=rendezvous, rank=rank, world_size=world, timeout=_TIMEOUT
        )
    yield
    # After an error the others are not there to take leave of; the process ends anyway.
    distributed.destroy_process_group()


def spawn_ranks(function: Callable[..., None], world: int, arguments: tuple[Any, ...]) -> None:
    """Run `function(rank, world, rendezvous, *arguments)` in `world` new processes and wait for all.

    Args:
        function: of a module's top level; ends its process with a non-zero status if it fails.
        world: how many.
        arguments: plain values.

    Raises:
        InputError: if one of them fails or is killed; the others are ended too.
    """
    from torch.multiprocessing.spawn import ProcessExitedException, start_processes

    with tempfile.TemporaryDirectory(prefix="lgm-ranks-") as folder:
        rendezvous = (Path(folder) / "meet").as_uri()
        context = start_processes(
            function, (world, rendezvous, *arguments), nprocs=world, join=False, start_method="spawn"
        )
        assert context is not None
        try:
            while not context.join():
                pass
        except ProcessExitedException as error:
            raise InputError(_ending(error.error_index, world, error.exit_code)) from None
        finally:
            for process in filter(None, context.processes):
                process.terminate()
                process.join()


def _ending(rank: int, world: int, status: int) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (memory running out is a common cause)" if -status == signal.SIGKILL else ""
        return f"Rank {rank} of {world} was ended by {name}{hint}; the whole run stops. Run it again."
    return f"Rank {rank} of {world} failed with exit status {status}, as it said above; the whole run stops."
