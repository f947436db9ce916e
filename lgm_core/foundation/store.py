"""Files: written whole or not at all, in open formats, and checked when they are read.

Tensors are safetensors whose header carries a SHA-256 of the tensors' bytes, metrics are JSON with sorted
keys, images are PNG. Everything is written under a temporary name beside its target, flushed to disk and
renamed, so that a reader sees the previous complete file or the new one.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import logging
import math
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgm_core.foundation.errors import DamagedFileError, InputError, MissingFileError
from lgm_core.foundation.locks import is_running

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif"})
"""What image files are called."""

CHECKSUM_KEY = "sha256"
# One key, because the library writes several in random order, and equal content must be equal bytes.
_HEADER_KEY = "header"
_HOST = platform.node().replace(".", "-") or "localhost"


def _temporary(path: Path, kind: str = "tmp") -> Path:
    """A name beside `path` that says which process it belongs to; what killed ones left there is removed."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        host, pid = stale.name.removesuffix(".tmp").rsplit(".", 2)[-2:]
        if host == _HOST and pid.isdecimal() and not is_running(int(pid)):
            logger.info("removing %s, which a process that was killed left behind", stale)
            _remove(stale)
    return path.with_name(f".{path.name}.{kind}.{_HOST}.{os.getpid()}.tmp")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file or the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or the file system cannot (NFS, macOS).

    A folder cannot be renamed onto a full one, and between two renames a kill would leave none.
    """
    import ctypes

    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    # AT_FDCWD, RENAME_EXCHANGE
    here = -100
    exchange = 2
    return rename is not None and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn a failure to write into a message; safetensors has an exception of its own for it."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InputError(
            f"Cannot write {path}: {reason}. What was there before is untouched; free space or fix the "
            "permissions of that folder and run the same command again."
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block succeeds.

    Raises:
        InputError: if the file cannot be written; what was at `path` before is still there.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        try:
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        finally:
            _remove(temporary)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; it takes that name, whole, when the block succeeds.

    Raises:
        InputError: if the folder cannot be written; what was at `folder` before is still there.
    """
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(folder)
        previous = _temporary(folder, "old")
        try:
            temporary.mkdir()
            yield temporary
            if not folder.exists():
                temporary.rename(folder)
            elif not _exchange(temporary, folder):
                folder.rename(previous)
                temporary.rename(folder)
            _flush(folder.parent)
        finally:
            if previous.exists() and not folder.exists():
                previous.rename(folder)
            _remove(temporary)
            _remove(previous)


def fingerprint(value: object) -> str:
    """A short SHA-256 of any JSON-like value; equal values in any key order have equal fingerprints."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys. NaN and infinity are refused: no reader agrees on them."""
    write_text(path, json.dumps(value, sort_keys=True, indent=2, allow_nan=False) + "\n")


def _finite(text: str) -> float:
    """A number of a JSON file, which is finite: what this module writes is."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text}")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        MissingFileError: if there is no such file.
        DamagedFileError: if it is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_finite, parse_float=_finite)
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(path, f"is damaged ({error})") from error
    if not isinstance(value, dict):
        raise DamagedFileError(path, "does not hold a JSON object")
    return value


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, shapes, element types, bytes and the other metadata."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(metadata):
        if name != CHECKSUM_KEY:
            digest.update(f"{name}={metadata[name]}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write named tensors with JSON metadata and a checksum over both.

    Args:
        path: a `.safetensors` file.
        tensors: what to store; moved to the CPU.
        metadata: JSON-like values, readable again through :func:`read_tensors`.
    """
    from safetensors.torch import save_file

    if CHECKSUM_KEY in metadata:
        raise ValueError(f"{CHECKSUM_KEY!r} is the checksum's own key and cannot be metadata")
    header = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header[CHECKSUM_KEY] = checksum(stored, header)
    with replacing(path) as temporary:
        temporary.touch()
        usual = temporary.stat().st_mode
        save_file(stored, temporary, metadata={_HEADER_KEY: json.dumps(header, sort_keys=True)})
        temporary.chmod(usual)  # the library's own lets nobody else read it


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote: the tensors by name and the metadata.

    Raises:
        MissingFileError: if there is no such file.
        DamagedFileError: if it is truncated or its bytes do not match its checksum.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            header = json.loads((opened.metadata() or {}).get(_HEADER_KEY, "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFileError(path, f"is damaged ({error})") from error
    if header.get(CHECKSUM_KEY) != checksum(tensors, header):
        raise DamagedFileError(path, "is damaged: its content does not match its checksum")
    header.pop(CHECKSUM_KEY)
    return tensors, {key: json.loads(value) for key, value in header.items()}


def eight_bit(image: Tensor) -> np.ndarray:
    """An image [3, H, W] with values in [0, 1] as bytes [H, W, 3], rounded to the nearest."""
    return (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def stored_checksum(path: Path) -> str:
    """The checksum that a file of :func:`write_tensors` carries; its tensors are not read.

    Raises:
        MissingFileError: if there is no such file.
        DamagedFileError: if it carries none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as opened:
            return json.loads((opened.metadata() or {})[_HEADER_KEY])[CHECKSUM_KEY]
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(path, f"is damaged ({error})") from error


def write_png(path: Path, image: Tensor) -> None:
    """Write one image.

    Args:
        path: a `.png` file.
        image: [3, H, W], values in [0, 1].
    """
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(eight_bit(image)).save(temporary, format="PNG")
