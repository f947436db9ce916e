"""Tensors between host, device and disk: copies nobody waits for, and tensors in a nameless file."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lgm_core.foundation.errors import InputError


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, without making the host wait for the copy."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def download(tensor: Tensor) -> Callable[[], Tensor]:
    """Start to copy a tensor to the CPU; call the result to wait for that copy alone and get it."""
    if tensor.device.type != "cuda":
        return lambda: tensor
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def finished() -> Tensor:
        done.synchronize()
        return copy

    return finished


def file_backed(folder: Path, *shape: int) -> Tensor:
    """A float32 tensor in a nameless file: what memory has no room for goes to the disk, not out of bounds.

    Args:
        folder: on the disk to use; the file vanishes with the tensor, even if the process is killed.
        shape: of the tensor.

    Raises:
        InputError: if the disk has no room for it.
    """
    size = max(1, math.prod(shape)) * torch.float32.itemsize
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            # Room is taken now: a full disk would end the process later, without a message.
            os.posix_fallocate(file.fileno(), 0, size) if hasattr(os, "posix_fallocate") else file.truncate(
                size
            )
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise InputError(
            f"{size / 1e9:.1f} GB of features have no room in {folder}: {error.strerror or error}. "
            "Free space, or fix the permissions of that folder, and run the same command again."
        ) from error
    return torch.frombuffer(mapped, dtype=torch.float32)[: math.prod(shape)].reshape(shape)
