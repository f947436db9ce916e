"""The choice of the device: a GPU where there is one, unless another is wanted; checked before it is used."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from lgm_core.foundation.errors import InputError, SettingError

CLAIM = "claim"
"""The wish for a GPU that no other process has claimed."""
_SECONDS_BETWEEN_LOOKS = 1.0
_claimed: dict[str, FileLock] = {}
"""What this process has claimed: it keeps that until it ends, however it ends."""


def choose_device(wanted: str | None = None) -> torch.device:
    """The device to compute on.

    Args:
        wanted: `cpu`, `cuda`, `cuda:1` …; `claim`, the first GPU that no process has claimed, when there
            is one; None or empty: a GPU where there is one.

    Raises:
        SettingError: if this machine does not offer it.
    """
    if wanted == CLAIM:
        wanted = _claimed_gpu()
    name = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.device_count():
            raise RuntimeError("no GPU is visible")
        torch.empty(1, device=device)  # a driver that is broken may still give tensors of no size
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingError("device", name, f"one that this machine offers ({reason})") from None
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # what names no device, such as an event, means this one
    return device


def _claimed_gpu() -> str:
    """A GPU of this process's own, by its number; claims are by what identifies the cards themselves."""
    numbers = range(torch.cuda.device_count())
    if not numbers:
        raise SettingError("device", CLAIM, "cpu, on a machine without a GPU")
    cards = {str(torch.cuda.get_device_properties(number).uuid): f"cuda:{number}" for number in numbers}
    return cards[claim(list(cards), Path(tempfile.gettempdir()) / f"lgm-gpus-{os.getuid()}")]


def claim(names: Sequence[str], folder: Path) -> str:
    """The first of some devices that no other process has claimed; waits until there is one.

    The claim ends with this process; asked again, it gets the same device.

    Args:
        names: of devices, equal for all who claim.
        folder: of lock files, the same for all.

    Raises:
        InputError: if the lock files cannot be made.
    """
    for name in names:
        if str(folder / name) in _claimed:
            return name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            for name in names:
                lock = FileLock(folder / f"{name}.lock")
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    continue
                _claimed[str(folder / name)] = lock
                return name
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    except OSError as error:
        raise InputError(f"Cannot claim a device in {folder}: {error.strerror or error}.") from error


def compiles_by_itself(device: torch.device) -> bool:
    """Whether torch.compile is worth its minutes and has what it needs: a GPU, Triton and a C compiler."""
    compilers = any(map(shutil.which, ("cc", "gcc", "clang")))
    return device.type == "cuda" and find_spec("triton") is not None and compilers


def rank_count(device: torch.device, wanted: int | None = None) -> int:
    """How many processes share a task: one for every visible GPU, or one on a CPU, unless a number is wanted.

    Raises:
        SettingError: if there are fewer GPUs.
    """
    if device.type != "cuda":
        return wanted or 1
    available = torch.cuda.device_count() if device.index is None else 1
    if not available:
        raise SettingError("device", device, "one that this machine offers (no GPU is visible)")
    if wanted is not None and wanted > available:
        raise SettingError("ranks", wanted, f"at most {available}, one for every GPU of device={device}")
    return wanted or available


def rank_device(device: torch.device, number: int) -> torch.device:
    """The device of rank `number` of this machine."""
    return torch.device(device.type, number) if device.type == "cuda" and device.index is None else device
