"""What a suite costs before it runs: passes through the backbones, counted, times their measured speed.

Linear probes and the optimiser's own arithmetic work on features and pixels and are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import NO_AUGMENTATION
from lgm_core.settings.params import Params

_BYTES_PER_NUMBER = 4
# Reading, decoding and resizing a photograph of ImageNet's size on one core.
_SECONDS_PER_DECODED_IMAGE = 0.01


@dataclass(frozen=True)
class Speed:
    """A backbone on a machine: seconds per image, and the width of its features."""

    forward_seconds: float
    exact_seconds: float
    """Forward in float32, of centre views."""
    gradient_seconds: float
    """Forward and backward, to the image."""
    width: int


@dataclass(frozen=True)
class Size:
    """A data set in numbers."""

    train: int
    test: int
    classes: int


@dataclass(frozen=True)
class Cost:
    """Seconds of each stage and bytes on disk for one data set and all backbones."""

    features_seconds: float
    distill_seconds: float
    probe_seconds: float
    disk_bytes: float

    @property
    def seconds(self) -> float:
        """All stages together."""
        return self.features_seconds + self.distill_seconds + self.probe_seconds


def measure_speed(backbone: FrozenBackbone, input_size: int, *, batch: int) -> Speed:
    """Time one batch, after one to warm up.

    Args:
        backbone: with any weights; speed does not depend on them.
        input_size: side in pixels.
        batch: images at once.
    """
    images = torch.rand(batch, 3, input_size, input_size, device=backbone.device)

    @torch.no_grad()
    def forward(exact: bool = False) -> torch.Tensor:
        return backbone(images, exact=exact)

    def gradient() -> torch.Tensor:
        views = images.clone().requires_grad_()
        backbone(views).square().mean().backward()
        return views

    width = forward().shape[1]
    seconds = [_seconds(run, batch) for run in (forward, partial(forward, exact=True), gradient)]
    return Speed(*seconds, width=width)


def _seconds(run: Callable[[], torch.Tensor], batch: int) -> float:
    run().sum().item()
    start = time.perf_counter()
    run().sum().item()  # waits for the device
    return (time.perf_counter() - start) / batch


def estimate(params: Params, dataset: str, size: Size, speeds: dict[str, Speed], *, workers: int) -> Cost:
    """The cost of one data set: features, distillation and probes with every backbone.

    Args:
        params: the suite.
        dataset: whose settings apply.
        size: its numbers of images and classes.
        speeds: by backbone.
        workers: processes that decode images.
    """
    method = params.for_dataset(dataset)
    probe = params.probe
    real_rounds = 0 if method.augment == NO_AUGMENTATION else params.real_rounds
    centred = size.train + size.test
    augmented = size.train * (real_rounds + probe.full_view_rounds)
    synthetic = size.classes * method.ipc
    real_sets = 2 + probe.random_seeds
    decoding = centred * _SECONDS_PER_DECODED_IMAGE / max(1, workers)
    # Every set is seen in all its views and once more for its nearest neighbours.
    seen = sum(probe.view_rounds * speed.forward_seconds + speed.exact_seconds for speed in speeds.values())
    distilled_bytes = synthetic * 3 * method.resolution**2 * _BYTES_PER_NUMBER
    return Cost(
        features_seconds=sum(
            max(decoding, augmented * speed.forward_seconds + centred * speed.exact_seconds)
            for speed in speeds.values()
        ),
        distill_seconds=sum(
            method.steps * method.view_count(size.classes) * speed.gradient_seconds
            for speed in speeds.values()
        ),
        probe_seconds=synthetic * seen * (len(speeds) + real_sets),
        disk_bytes=sum(
            (augmented + centred) * speed.width * _BYTES_PER_NUMBER + distilled_bytes
            for speed in speeds.values()
        ),
    )


def format_seconds(seconds: float) -> str:
    """`3 min`, `2.5 h` or `4.1 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def format_bytes(count: float) -> str:
    """`12 MB` or `3.4 GB`."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
