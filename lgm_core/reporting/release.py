"""Distilled sets that other people's tools read: class folders of PNGs, the exact tensors, and a data card.

train/<class>/<k>.png  for torchvision's ImageFolder, timm and `load_dataset("imagefolder", data_dir=…)`
images.safetensors     images [n, 3, r, r] in [0, 1] and labels [n], before rounding to 8 bits
README.md              the data card
time_lapse.webp, .gif  how the images grew, where snapshots were kept: the first image of up to 20 classes
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from lgm_core.distilled import (
    EXPORTED_IMAGES,
    TENSORS,
    DistilledSet,
    image_grid,
    picture_names,
)
from lgm_core.foundation.animations import GIF, WEBP, write_animation
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import (
    replacing_folder,
    write_png,
    write_text,
)
from lgm_core.reporting.results import Value, resolved
from lgm_core.reporting.table_formats import format_value

_CARD = "data_card.md"
_NAMED = 20
"""Most classes that the card names."""
_ANIMATED = 20
"""Most classes that the time-lapse shows."""
_ONE_ROW = 5
_FRAME_MILLISECONDS = 300


def export_distilled(folder: Path, distilled: DistilledSet, card: str) -> None:
    """Write a set and its data card, whole or not at all.

    Args:
        folder: must not exist yet, or be an export that is replaced.
        distilled: what to write.
        card: the text of README.md.

    Raises:
        InputError: if the folder holds something else.
    """
    if folder.exists() and not (folder / TENSORS).is_file() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is no exported set; give a new folder.")
    pictures = picture_names(distilled.classes, distilled.labels.tolist(), EXPORTED_IMAGES)
    with replacing_folder(folder) as new:
        distilled.write_exact(new)
        for image, picture in zip(distilled.images, pictures, strict=True):
            write_png(new / picture, image)
        if distilled.time_lapse is not None:
            for suffix in (WEBP, GIF):
                write_animation(new / f"time_lapse{suffix}", _grids(distilled), _FRAME_MILLISECONDS)
        write_text(new / "README.md", card)


def _grids(distilled: DistilledSet) -> UInt8[Tensor, "k 3 h w"]:
    """The snapshots as grids of the first image of every class, of at most 20 classes."""
    assert distilled.time_lapse is not None
    labels = distilled.labels.tolist()
    firsts = sorted({label: labels.index(label) for label in labels}.values())[:_ANIMATED]
    columns = len(firsts) if len(firsts) <= _ONE_ROW else math.ceil(len(firsts) / 2)
    frames = distilled.time_lapse.frames[:, firsts].float() / 255
    grids = torch.stack([image_grid(frame, columns) for frame in frames])
    return (grids * 255).round().byte()


@dataclass(frozen=True)
class Measured:
    """What one backbone makes of a set, in percent.

    Attributes:
        probe: top-1 of linear probes on it.
        nearest: top-1 of 1-NN with it as the gallery.
        real: top-1 of probes on as many real images instead.
        whole: top-1 of the better of the full probe and ridge regression on all training images.
    """

    probe: Value
    nearest: Value
    real: Value
    whole: Value

    def row(self, backbone: str) -> str:
        """A line of the card's table."""
        share = f"{100 * self.probe.mean / self.whole.mean:.0f} %" if self.whole.mean > 0 else "–"
        cells = [format_value(value) for value in (self.probe, self.real, self.whole)]
        return f"| {' | '.join([backbone, *cells, share, format_value(self.nearest)])} |"


def data_card(
    distilled: DistilledSet,
    accuracies: dict[str, Measured],
    *,
    spread: str = "",
    class_titles: Mapping[str, str] | None = None,
    image_terms: str,
    weight_terms: str,
) -> str:
    """The README of an export, with the header that data hubs read.

    Args:
        distilled: the set; its facts name `dataset`, `backbone` and `settings`.
        accuracies: what every backbone makes of it.
        spread: a sentence that says what their ± is.
        class_titles: what classes are called in print, where that is not their name.
        image_terms: licence of the data set distilled.
        weight_terms: licence of the backbone's weights.
    """
    text = resources.files("lgm_core").joinpath("reporting", "templates", _CARD).read_text(encoding="utf-8")
    facts = distilled.facts
    titles = [(class_titles or {}).get(name, name) for name in distilled.classes]
    rows = [measured.row(backbone) for backbone, measured in accuracies.items()]
    return string.Template(text).substitute(
        dataset=facts["dataset"],
        backbone=facts["backbone"],
        count=len(distilled.images),
        side=distilled.images.shape[-1],
        classes=len(distilled.classes),
        reached=_reached(accuracies),
        origin=_origin(facts.get("statistics")),
        names=", ".join(titles[:_NAMED]) + (", …" if len(titles) > _NAMED else ""),
        accuracies="\n".join(rows) or "| not measured | – | – | – | – | – |",
        spread=spread,
        settings="\n".join(f"| {key} | `{value}` |" for key, value in sorted(facts["settings"].items())),
        image_terms=image_terms,
        weight_terms=weight_terms,
    )


def _reached(accuracies: Mapping[str, Measured]) -> str:
    """What a probe on the set reaches of what all images give, and whether real images would have done."""
    known = [one for one in accuracies.values() if one.whole.mean > 0]
    if not known:
        return "What a probe on them reaches was not measured."
    shares = sorted(round(100 * one.probe.mean / one.whole.mean) for one in known)
    share = f"{shares[0]}" if shares[0] == shares[-1] else f"{shares[0]} to {shares[-1]}"
    told = f"A probe on them reaches {share} % of the top-1 accuracy that all training images give"
    better = sum(resolved(one.probe, one.real) and one.probe.mean > one.real.mean for one in known)
    worse = sum(resolved(one.probe, one.real) and one.probe.mean < one.real.mean for one in known)
    return (
        f"{told}. Against as many real images it is better on {better} of {len(known)} backbones and "
        f"worse on {worse}, by more than two standard errors."
    )


def _origin(statistics: Mapping[str, Any] | None) -> str:
    """What was read of the real images, and what that promises their owners."""
    if statistics is None:
        return "Distilled from the images themselves; the distilled ones promise nothing about their privacy."
    owners = statistics["owners"]
    files = "one file" if len(owners) == 1 else f"{len(owners)} files"
    lines = [
        f"Distilled from class sums of features of {statistics['images']} images, in {files}; "
        "the images themselves were not read.",
        *(f"- File {number}: {_promise(owner)}" for number, owner in enumerate(owners, 1)),
    ]
    return "\n".join(lines)


def _promise(owner: Mapping[str, float]) -> str:
    if not owner:
        return "exact sums, no promise of privacy."
    return (
        f"(ε = {owner['epsilon']:g}, δ = {owner['delta']:g})-differentially private for the exchange of one "
        f"image of a class by another: features clipped to norm R = {owner['norm']:g}, and Gaussian noise of "
        "standard deviation (2R/n)·√(2 ln(1.25/δ))/ε in a class mean of n images. Counts and class names are "
        "not protected."
    )
