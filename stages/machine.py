"""What this machine offers, as environment variables, so that results stay valid on another machine.

LGM_DEVICE       cpu, cuda, cuda:1 …, or claim: a GPU of its own   default: a GPU where there is one
LGM_RANKS        processes that share a stage    default: one per visible GPU; one without a GPU
LGM_WORKERS      processes that decode images    default: up to 8 beside a GPU; 0 on a CPU, busy anyway
LGM_DATA         folder of the data sets         default: data
LGM_MICRO_BATCH  most views in the backbone at once   default: auto, as many as fit into memory
LGM_PRECISION    auto, float32, bfloat16         default: auto, bfloat16 where it is faster
LGM_COMPILE      1: torch.compile the backbone for distilling; 0: not   default: auto, on GPUs with Triton
LGM_INPUTS       own: start although data sets are missing that tables show beside this one
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from lgm_core.foundation.devices import choose_device, compiles_by_itself
from lgm_core.foundation.errors import SettingError
from stages.cores import available_cores

KEYS = {"device", "ranks", "workers", "data", "micro_batch", "precision", "compile", "inputs"}
"""Settings of the machine; each is given as LGM_<KEY>."""


@dataclass(frozen=True)
class Machine:
    """What this machine offers a stage."""

    device: torch.device
    workers: int
    data_root: Path
    micro_batch: int | None
    precision: str
    compiled: bool


def read_machine() -> Machine:
    """Read the `LGM_*` environment variables."""
    workers = whole_number("workers", minimum=0)
    device = choose_device(os.environ.get("LGM_DEVICE"))
    default = 0 if device.type == "cpu" else min(8, available_cores())
    compiled = whole_number("compile", minimum=0, automatic="auto")
    return Machine(
        device=device,
        workers=default if workers is None else workers,
        data_root=Path(os.environ.get("LGM_DATA") or "data"),
        micro_batch=whole_number("micro_batch", minimum=1, automatic="auto"),
        precision=os.environ.get("LGM_PRECISION") or "auto",
        compiled=compiles_by_itself(device) if compiled is None else bool(compiled),
    )


def own_inputs_suffice() -> bool:
    """Whether a stage may start although data sets are missing that tables show beside its own."""
    given = os.environ.get("LGM_INPUTS") or "all"
    if given not in {"all", "own"}:
        raise SettingError("inputs", given, "all | own")
    return given == "own"


def whole_number(key: str, *, minimum: int, automatic: str = "") -> int | None:
    """A setting of the machine as a number; None where it is not set, or is the word `automatic`."""
    given = os.environ.get(f"LGM_{key.upper()}")
    if not given or given == automatic:
        return None
    if not given.isdecimal() or int(given) < minimum:
        word = f", or {automatic}" if automatic else ""
        raise SettingError(key, given, f"a whole number from {minimum}{word}")
    return int(given)
