"""Tensors between host and device: copies nobody waits for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
    done.record(torch.cuda.current_stream(tensor.device))

    def finished() -> Tensor:
        done.synchronize()
        return copy

    return finished
