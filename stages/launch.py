"""Several processes at one stage: under torchrun, or on all visible GPUs by itself.

RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE are torchrun's.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

import torch

from lgm_core.foundation.devices import choose_device, rank_count, rank_device
from lgm_core.foundation.output import never_fail_to_print
from lgm_core.foundation.ranks import join_ranks, spawn_ranks
from stages.cores import available_cores
from stages.guard import alone_with, guarded, run_verb
from stages.machine import whole_number
from stages.signals import end_as_interrupted, ended_silently


def run_shared(verb: str, arguments: list[str]) -> None:
    """Run a stage whose `main` knows its part by `own_ranks()`."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        rank, world, local, here = (int(os.environ.get(name) or 0) for name in names)
        with nullcontext() if rank else alone_with(verb, arguments):
            _as_rank(rank, world, "env://", (local, here or world), verb, arguments)
        return
    world = rank_count(choose_device(os.environ.get("LGM_DEVICE")), whole_number("ranks", minimum=1))
    with alone_with(verb, arguments):
        if world == 1:
            run_verb(verb, arguments)
        else:
            spawn_ranks(_spawned, world, (verb, arguments))


def _spawned(rank: int, world: int, rendezvous: str, verb: str, arguments: list[str]) -> None:
    never_fail_to_print()
    end_as_interrupted()
    with ended_silently(), guarded(f"rank {rank}: "):
        _as_rank(rank, world, rendezvous, (rank, world), verb, arguments)


def _as_rank(
    rank: int, world: int, rendezvous: str, local: tuple[int, int], verb: str, arguments: list[str]
) -> None:
    """Run a stage as one of several ranks; `local` is its number among those on this machine."""
    number, here = local
    # Threads of several processes on one core slow each other down tenfold.
    torch.set_num_threads(max(1, available_cores() // here))
    device = rank_device(choose_device(os.environ.get("LGM_DEVICE")), number)
    with join_ranks(rank, world, rendezvous, device):
        run_verb(verb, arguments)
    sys.stdout.flush()
