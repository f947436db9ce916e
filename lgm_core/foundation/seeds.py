"""Randomness by name: every random draw has its own seed, derived from one root seed and a path of names.

Adding a data set, a backbone, a class or a rank therefore never shifts anybody else's numbers, and a
resumed run needs no stored generator state: the draws of step `t` are named by `t`.
"""

from __future__ import annotations

import hashlib

import torch

_SEED_BITS = 63


def derive_seed(root: int, *names: str | int) -> int:
    """A seed in [0, 2**63) that depends on `root` and on every name, in order."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (root, *names))
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "little") >> (64 - _SEED_BITS)


def named_generator(root: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator on `device`, seeded by :func:`derive_seed`."""
    return torch.Generator(device=device).manual_seed(derive_seed(root, *names))
