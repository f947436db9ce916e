"""Ways to draw views, and views drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import strategies as st

from lgm_core.features.augment import Views
from lgm_core.settings.method import AugmentSettings

PLAIN = AugmentSettings(
    flip_probability=0.5,
    crop_scale=(0.08, 1.0),
    crop_ratio=(3 / 4, 4 / 3),
    crop_overhang=False,
    noise_mean=0.0,
    noise_std=0.0,
    noise_probability=0.0,
)
NOISY = replace(PLAIN, noise_std=0.2, noise_probability=0.5)
OVERHANGING = replace(PLAIN, crop_overhang=True)
EDGE = 1e-6
"""Of rounding."""


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def views_of(windows: list[tuple[float, float, float, float]], *, flip: bool = False) -> Views:
    """Noise-free views of the given windows (left, top, width, height)."""
    count = len(windows)
    return Views(
        flip=torch.full((count,), flip),
        window=torch.tensor(windows, dtype=torch.float32),
        noisy=torch.zeros(count, dtype=torch.bool),
        noise_seed=torch.arange(count),
    )


def _ordered(low: float, high: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda pair: (min(pair), max(pair)))


LEGAL_SPECS = st.builds(
    AugmentSettings,
    flip_probability=st.floats(0, 1),
    crop_scale=_ordered(1e-4, 1),
    crop_ratio=_ordered(1e-3, 1e3),
    crop_overhang=st.just(False),
    noise_mean=st.floats(-1, 1),
    noise_std=st.floats(0, 1),
    noise_probability=st.floats(0, 1),
)
