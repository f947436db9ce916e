"""Files: written whole or not at all, in open formats, and checked when they are read.

Tensors are safetensors whose header carries a SHA-256 of the tensors' bytes, metrics are JSON with sorted
keys, images are PNG. Everything is written under a temporary name beside its target, flushed to disk and
renamed, so that a reader sees the previous complete file or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lgm_core.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM_KEY = "sha256"
# One key, because the library writes several in random order, and equal content must be equal bytes.
_HEADER_KEY = "header"


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
    """Yield a temporary path beside `path`; rename it onto `path` when the block succeeds."""
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`; it takes that name, whole, when the block succeeds."""
    with _explained(folder):
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        try:
            temporary.mkdir(parents=True)
            yield temporary
            if folder.exists():
                shutil.rmtree(folder)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


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


def read_json(path: Path, *, made_by: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        made_by: the command that makes it, named in the error.

    Raises:
        InputError: if the file is missing or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing. Make it with: {made_by}") from None
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged ({error}). Make it again with: {made_by}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} does not hold a JSON object. Make it again with: {made_by}")
    return value


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
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
    header[CHECKSUM_KEY] = _checksum(stored, header)
    with replacing(path) as temporary:
        save_file(stored, temporary, metadata={_HEADER_KEY: json.dumps(header, sort_keys=True)})


def read_tensors(path: Path, *, made_by: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Returns:
        The tensors by name and the metadata.

    Raises:
        InputError: if the file is missing, truncated, or its bytes do not match its checksum.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path} is missing. Make it with: {made_by}")
    try:
        with safe_open(path, framework="pt") as opened:
            header = json.loads((opened.metadata() or {}).get(_HEADER_KEY, "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}). Make it again with: {made_by}") from error
    if header.get(CHECKSUM_KEY) != _checksum(tensors, header):
        raise InputError(
            f"{path} is damaged: its content does not match its checksum. Make it again with: {made_by}"
        )
    header.pop(CHECKSUM_KEY)
    return tensors, {key: json.loads(value) for key, value in header.items()}


def write_png(path: Path, image: Tensor) -> None:
    """Write one image.

    Args:
        path: a `.png` file.
        image: [3, H, W], values in [0, 1].
    """
    from PIL import Image

    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
