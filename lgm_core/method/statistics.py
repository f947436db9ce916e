"""Statistics in, images out: class sums and counts of features stand for images that nobody hands over.

The objective `means` reads nothing of the real images but their class means. So whoever owns images writes
their class sums and counts under a backbone, several owners' files add up by class name, and anybody distils
from the sum: the images that come out are those that all the real images in one place would give.

With noise, a file is (ε, δ)-differentially private for two sets of images that differ in one image of one
class. Every image gives one vector of norm ≤ R: the mean over its views, each clipped to R. Replacing it
moves its class's sum by at most 2R, so that Gaussian noise of standard deviation

    2R · √(2 ln(1.25/δ)) / ε on a sum, which is (2R/n_c) · √(2 ln(1.25/δ)) / ε on a mean of n_c images,

makes the sum (ε, δ)-private for ε ≤ 1 (Dwork and Roth, 2014, theorem A.1). Classes share no image, so all of
them together cost no more than one (parallel composition), and all that is computed from a file costs nothing
more. A second file about the same images does: the ε and the δ of both add up. Public are the class names,
the counts, R, ε, δ and how views are made; R must not be chosen by looking at the images. The noise comes
from the operating system's entropy, not from a seed, which would let anybody subtract it; it is added in
double precision, whose finite steps the theorem does not know.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.foundation.errors import DamagedFileError, InputError, SettingError
from lgm_core.foundation.seeds import named_generator
from lgm_core.foundation.store import checksum, read_tensors, write_tensors
from lgm_core.method.real import RealBank
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import CLUSTERS, MEANS, REAL, MethodSettings

Normal = Callable[[], float]
"""Draws from N(0, 1)."""

_SUMS = "sums"
_COUNTS = "counts"
_REFERENCE = "reference"
_SAME = 0.999
"""Least cosine of the reference features of one backbone on different processors and in bfloat16."""
_READ = ("resolution", "input_size", "augment")


@dataclass(frozen=True)
class Privacy:
    """What the owner of images asks of the noise.

    Attributes:
        epsilon: ε, above 0 and at most 1, where the noise's formula holds.
        delta: δ, between 0 and 1; well below one over the number of images.
        norm: R, that the features are clipped to.
    """

    epsilon: float
    delta: float
    norm: float

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 1:
            raise SettingError("epsilon", self.epsilon, "above 0 and at most 1, where the formula holds")
        if not 0 < self.delta < 1:
            raise SettingError("delta", self.delta, "above 0 and below 1")
        if not 0 < self.norm < math.inf:
            raise SettingError("norm", self.norm, "a finite number above 0")

    @property
    def noise(self) -> float:
        """Standard deviation of every number of a class's sum."""
        return 2 * self.norm * math.sqrt(2 * math.log(1.25 / self.delta)) / self.epsilon

    def fewest(self, width: int) -> int:
        """Images that a class must have so that its mean's noise is no longer, as a vector, than R."""
        return math.ceil(math.sqrt(width) * self.noise / self.norm)


@dataclass(frozen=True)
class ClassStatistics:
    """What `means` needs of real images.

    Attributes:
        classes: class names.
        sums: [C, F], double: over the images, of the mean over each image's views.
        counts: [C], images.
        reference: [F], features of one fixed image, by which the backbone is known.
        views: settings of the method that made the real views.
        owners: for each file, what it promises: `epsilon`, `delta`, `norm`, or nothing.
    """

    classes: tuple[str, ...]
    sums: Float[Tensor, "c f"]
    counts: Int[Tensor, " c"]
    reference: Float[Tensor, " f"]
    views: dict[str, Any]
    owners: tuple[dict[str, float], ...]

    def save(self, path: Path) -> None:
        """Write a `.safetensors` file."""
        facts = {"classes": list(self.classes), "views": self.views, "owners": list(self.owners)}
        tensors = {_SUMS: self.sums, _COUNTS: self.counts, _REFERENCE: self.reference}
        write_tensors(path, tensors, facts)


def load_statistics(path: Path) -> ClassStatistics:
    """Read a file of class sums and counts.

    Raises:
        FileError: if it is missing, damaged, or something else.
    """
    tensors, facts = read_tensors(path)
    try:
        classes = tuple(facts["classes"])
        views = {key: facts["views"][key] for key in _READ}
        owners = tuple(asdict(Privacy(**owner)) if owner else {} for owner in facts["owners"])
        parts = tensors[_SUMS], tensors[_COUNTS], tensors[_REFERENCE]
    except (KeyError, TypeError, SettingError):
        parts = None
    if parts is None or not owners or not _sound(classes, *parts):
        raise DamagedFileError(path, "holds no class sums and counts")
    return ClassStatistics(classes, *parts, views, owners)


def _sound(classes: tuple[str, ...], sums: Tensor, counts: Tensor, reference: Tensor) -> bool:
    """Whether shapes and values are such as are written here."""
    return (
        sums.ndim == 2
        and (len(sums),) == counts.shape == (len({*classes}),)
        and reference.shape == sums.shape[1:]
        and (sums.dtype, counts.dtype, reference.dtype) == (torch.float64, torch.int64, torch.float32)
        and bool(sums.isfinite().all())
        and bool((counts > 0).all())
    )


def view_settings(method: MethodSettings) -> dict[str, Any]:
    """The settings that real views are made by, as JSON has them."""
    return {key: value for key, value in json.loads(json.dumps(asdict(method))).items() if key in _READ}


def reference_features(backbone: FrozenBackbone, input_size: int) -> Float[Tensor, " f"]:
    """Features of one fixed image: equal to rounding wherever the weights and normalisation are the same."""
    image = torch.rand(1, 3, input_size, input_size, generator=named_generator(0, "reference"))
    return backbone.embed(image, exact=True)[0].cpu().float()


def class_statistics(
    bank: RealBank,
    backbone: FrozenBackbone,
    method: MethodSettings,
    privacy: Privacy | None = None,
    normal: Normal = lambda: secrets.SystemRandom().gauss(0.0, 1.0),
) -> ClassStatistics:
    """Class sums of a bank of real features.

    Args:
        bank: of the owner's images.
        backbone: that made the features.
        method: that made the views.
        privacy: clip, and add noise; None: the exact sums.
        normal: draws the noise; another one than the operating system's is for tests.

    Raises:
        InputError: if a class has no image, or too few for the noise that was asked for.
    """
    counts = bank.labels.cpu().bincount(minlength=len(bank.classes))
    _check_counts(bank, counts.tolist(), privacy)
    sums = torch.zeros(len(counts), bank.views.shape[2], dtype=torch.float64)
    for views in bank.views:
        sums.index_add_(0, bank.labels.cpu(), _clipped(views.cpu().double(), privacy))
    sums /= len(bank.views)
    if privacy is not None:
        drawn = torch.tensor([normal() for _ in range(sums.numel())], dtype=torch.float64)
        sums += privacy.noise * drawn.reshape(sums.shape)
    reference = reference_features(backbone, method.input_size)
    owner = {} if privacy is None else asdict(privacy)
    return ClassStatistics(bank.classes, sums, counts, reference, view_settings(method), (owner,))


def _check_counts(bank: RealBank, counts: list[int], privacy: Privacy | None) -> None:
    """Refuse classes that have no mean, or one that the noise would drown."""
    fewest = 1 if privacy is None else privacy.fewest(bank.views.shape[2])
    few = [
        f"{name!r} has {count}" for name, count in zip(bank.classes, counts, strict=True) if count < fewest
    ]
    named = ", ".join(few[:5]) + (", …" if len(few) > 5 else "")
    if few and privacy is None:
        raise InputError(f"Every class needs an image: {named}.")
    if few and privacy is not None:
        raise InputError(
            f"Too few images for epsilon {privacy.epsilon:g} and delta {privacy.delta:g}: {named}; with "
            f"fewer than {fewest} the noise of a class mean is longer than the mean can be. Raise epsilon or "
            "delta, add images, or leave the class out."
        )


def _clipped(features: Float[Tensor, "n f"], privacy: Privacy | None) -> Float[Tensor, "n f"]:
    if privacy is None:
        return features
    return features * (privacy.norm / features.norm(dim=1, keepdim=True).clamp_min(privacy.norm))


def added(parts: Sequence[ClassStatistics]) -> ClassStatistics:
    """Several owners' statistics as those of all their images; classes match by name.

    Raises:
        InputError: if they are of different backbones or views, or one was given twice.
    """
    first = parts[0]
    for number, part in enumerate(parts[1:], 2):
        if part.views != first.views:
            told = f"{part.views}, and those of file 1 by {first.views}"
            raise InputError(f"The views of file {number} were made by {told}; only equal ones add up.")
        if not _alike(part.reference, first.reference):
            raise InputError(f"Files 1 and {number} are of different backbones; only equal ones add up.")
    if len({checksum({_SUMS: part.sums}, {}) for part in parts}) < len(parts):
        raise InputError("A file of statistics was given twice; its images would count twice.")
    classes = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    sums = torch.zeros(len(classes), first.sums.shape[1], dtype=torch.float64)
    counts = torch.zeros(len(classes), dtype=torch.int64)
    for part in parts:
        places = torch.tensor([classes.index(name) for name in part.classes])
        sums.index_add_(0, places, part.sums)
        counts.index_add_(0, places, part.counts)
    owners = tuple(owner for part in parts for owner in part.owners)
    return ClassStatistics(classes, sums, counts, first.reference, first.views, owners)


def _alike(one: Float[Tensor, " f"], other: Float[Tensor, " f"]) -> bool:
    return one.shape == other.shape and functional.cosine_similarity(one, other, dim=0).item() >= _SAME


def statistics_bank(
    statistics: ClassStatistics, backbone: FrozenBackbone, method: MethodSettings
) -> RealBank:
    """What `means` distils from instead of images: a bank of one image per class, its mean.

    Raises:
        InputError: if the method needs more than class means, or other views or another backbone made them.
    """
    if method.objective != MEANS:
        raise SettingError("objective", method.objective, f"{MEANS}: the others need more than class means")
    if method.slots == CLUSTERS:
        raise SettingError("slots", method.slots, "shared: there are no images to find clusters of")
    if method.init == REAL:
        raise SettingError("init", method.init, "normal | zero: there are no images to begin as")
    for key, value in view_settings(method).items():
        if value != statistics.views[key]:
            raise SettingError(key, value, f"{statistics.views[key]}, which made the statistics")
    if not _alike(reference_features(backbone, method.input_size), statistics.reference):
        raise InputError("The statistics are of another backbone, or of other weights or normalisation.")
    means = statistics.sums / statistics.counts[:, None]
    return RealBank(means.float()[None], torch.arange(len(means)), statistics.classes)
