"""Start a stage that several processes can share: under torchrun, or on all visible GPUs by itself.

    LGM_RANKS        how many processes               default: one per visible GPU; one without a GPU
RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE are torchrun's.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext

from lgm_core.errors import InputError
from stages.boundary import alone_with, guarded, parsed_arguments, read_params, terminated, whole_number

Main = Callable[..., None]


def run_shared_stage(main: Main, parameters: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    """:func:`stages.boundary.run_stage` for a stage whose `main` knows its part by `own_ranks()`."""
    signal.signal(signal.SIGTERM, terminated)
    with guarded():
        arguments = parsed_arguments(parameters, optional)
        read_params()  # what is wrong with it is said once, and before torch is loaded
        if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
            rank, world, local, here = (
                whole_number(name, minimum=0) or 0
                for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
            )
            with nullcontext() if rank else alone_with(arguments):
                _as_rank(rank, world, "env://", (local, here or world), main, arguments)
            return
        world = _rank_count()
        with alone_with(arguments):
            if world == 1:
                main(*arguments)
                return
            from lgm_core.parallel import spawn_ranks

            spawn_ranks(_spawned, world, (main, arguments))


def _rank_count() -> int:
    import torch

    device = os.environ.get("LGM_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    wanted = whole_number("LGM_RANKS", minimum=1)
    if device == "cuda":
        available = torch.cuda.device_count()
        if wanted is not None and wanted > available:
            raise InputError(f"LGM_RANKS is {wanted}, but {available} GPUs are visible; one rank needs one.")
        return wanted or available
    if wanted is not None and wanted > 1 and device.startswith("cuda"):
        raise InputError(f"LGM_RANKS is {wanted}, but LGM_DEVICE={device} is one GPU; set LGM_DEVICE=cuda.")
    return wanted or 1


def _spawned(rank: int, world: int, rendezvous: str, main: Main, arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, terminated)
    with guarded(f"rank {rank}: "):
        _as_rank(rank, world, rendezvous, (rank, world), main, arguments)


def _as_rank(
    rank: int, world: int, rendezvous: str, local: tuple[int, int], main: Main, arguments: list[str]
) -> None:
    """Run `main` as one of several ranks; `local` is its number among those on this machine."""
    import torch

    from lgm_core.parallel import join_ranks

    number, here = local
    # Threads of several processes on one core slow each other down tenfold.
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // here))
    chosen = os.environ.get("LGM_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(f"cuda:{number}" if chosen == "cuda" else chosen)
    with join_ranks(rank, world, rendezvous, device):
        main(*arguments)
    sys.stdout.flush()
