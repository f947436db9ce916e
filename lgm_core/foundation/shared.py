"""Memory that processes share: anonymous, so that neither the size of /dev/shm, which is 64 MB in a Docker
container, nor the number of open files bounds it."""

from __future__ import annotations

import math
import mmap

import torch
from torch import Tensor

from lgm_core.foundation.errors import InputError


def shared_zeros(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Zeros in memory that this process shares with those that are forked from it afterwards.

    Memory is taken where something is written to, not before.

    Args:
        shape: of the tensor.
        dtype: of its elements.

    Raises:
        InputError: if there is not as much memory.
    """
    count = math.prod(shape)
    size = max(1, count) * dtype.itemsize
    try:
        shared = mmap.mmap(-1, size)
    except OSError as error:
        raise InputError(
            f"Memory ran out: {size / 1e6:.0f} MB to share between processes cannot be had "
            f"({error.strerror or error})."
        ) from error
    return torch.frombuffer(shared, dtype=dtype)[:count].reshape(shape)
