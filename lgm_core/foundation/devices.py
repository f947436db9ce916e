"""The choice of the device: a GPU where there is one, unless another is wanted; checked before it is used."""

from __future__ import annotations

import torch

from lgm_core.foundation.errors import SettingError


def choose_device(wanted: str | None = None) -> torch.device:
    """The device to compute on.

    Args:
        wanted: `cpu`, `cuda`, `cuda:1` …; None or empty: a GPU where there is one.

    Raises:
        SettingError: if this machine does not offer it.
    """
    name = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingError("device", name, f"one that this machine offers ({reason})") from None
    return torch.device(name)


def rank_count(device: torch.device, wanted: int | None = None) -> int:
    """How many processes share a task: one for every visible GPU, or one on a CPU, unless a number is wanted.

    Raises:
        SettingError: if there are fewer GPUs.
    """
    if device.type != "cuda":
        return wanted or 1
    available = torch.cuda.device_count() if device.index is None else 1
    if wanted is not None and wanted > available:
        raise SettingError("ranks", wanted, f"at most {available}, one for every GPU of device={device}")
    return wanted or available


def rank_device(device: torch.device, number: int) -> torch.device:
    """The device of rank `number` of this machine."""
    return torch.device(device.type, number) if device.type == "cuda" and device.index is None else device
