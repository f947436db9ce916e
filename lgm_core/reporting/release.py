"""Distilled sets that other people's tools read: class folders of PNGs, the exact tensors, and a data card.

train/<class>/<k>.png  for torchvision's ImageFolder, timm and `load_dataset("imagefolder", data_dir=…)`
images.safetensors     images [n, 3, r, r] in [0, 1] and labels [n], before rounding to 8 bits
README.md              the data card
grid.jpg               the first image of up to 20 classes
time_lapse.webp, .gif  how these grew, where snapshots were kept
SHA256SUMS             of all of these, for `sha256sum -c`
"""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from lgm_core.distilled import (
    EXPORTED_IMAGES,
    TENSORS,
    DistilledSet,
    image_grid,
    picture_names,
)
from lgm_core.foundation.animations import GIF, WEBP, write_animation
from lgm_core.foundation.errors import DamagedFileError, InputError, MissingFileError
from lgm_core.foundation.store import (
    eight_bit,
    replacing,
    replacing_folder,
    write_png,
    write_text,
)
from lgm_core.reporting.results import Value, resolved
from lgm_core.reporting.table_formats import format_value

CHECKSUMS = "SHA256SUMS"
GRID = "grid.jpg"
_JPEG_QUALITY = 90
_CARD = "data_card.md"
_FLOATS = {
    torch.float32: "exact floats, before rounding to 8 bits",
    torch.float16: "floats rounded to 16 bits, in place of 8",
}
"""What the card says of the tensors, by their type in the file."""
_NAMED = 20
"""Most classes that the card names."""
_ANIMATED = 20
"""Most classes that the grid and the time-lapse show."""
_ONE_ROW = 5
_FRAME_MILLISECONDS = 300
_SMALL_QUALITY = 50
_SMALL_JPEG_QUALITY = 80
_SMALL_SIDE = 64
"""Pixels of an image's side in a small time-lapse."""


def sixteen_bit(distilled: DistilledSet) -> DistilledSet:
    """The set with images of 16 bits, at most 2⁻¹² from what they were, in half the space."""
    return replace(distilled, images=distilled.images.half())


def export_distilled(folder: Path, distilled: DistilledSet, card: str, *, small: bool = False) -> None:
    """Write a set and its data card, whole or not at all.

    Args:
        folder: must not exist yet, or be an export that is replaced.
        distilled: what to write; floats are stored as they are, in 32 bits or :func:`sixteen_bit`.
        card: the text of README.md.
        small: whether grid and time-lapse are to be small: of lower quality, the latter without a GIF.

    Raises:
        InputError: if the folder holds something else.
    """
    if folder.exists() and not (folder / TENSORS).is_file() and any(folder.iterdir()):
        raise InputError(f"{folder} exists and is no exported set; give a new folder.")
    pictures = picture_names(distilled.classes, distilled.labels.tolist(), EXPORTED_IMAGES)
    images = distilled.images.float()
    with replacing_folder(folder) as new:
        distilled.write_exact(new)
        for image, picture in zip(images, pictures, strict=True):
            write_png(new / picture, image)
        _write_grid(new / GRID, distilled, _SMALL_JPEG_QUALITY if small else _JPEG_QUALITY)
        if distilled.time_lapse is not None:
            _write_time_lapse(new, distilled, small)
        write_text(new / "README.md", card)
        sums = [f"{digest}  {name}\n" for name, digest in _digests(new).items()]
        write_text(new / CHECKSUMS, "".join(sums))


def check_export(folder: Path) -> None:
    """Compare all files of an export with its checksums.

    Raises:
        MissingFileError: if there are no checksums, or a file that they name is not there.
        DamagedFileError: if a file is another, or the checksums do not name it.
    """
    listed = folder / CHECKSUMS
    if not listed.is_file():
        raise MissingFileError(listed)
    lines = listed.read_text(encoding="utf-8").splitlines()
    told = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    found = _digests(folder)
    for name in sorted(told.keys() | found.keys()):
        if name not in found:
            raise MissingFileError(folder / name)
        if told.get(name) != found[name]:
            raise DamagedFileError(folder / name, f"is not what {CHECKSUMS} says it is")


def _digests(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of every file below a folder but the list of them."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    files.pop(CHECKSUMS, None)
    return {name: hashlib.sha256(files[name].read_bytes()).hexdigest() for name in sorted(files)}


def _write_grid(path: Path, distilled: DistilledSet, quality: int) -> None:
    from PIL import Image

    shown = _firsts(distilled)
    grid = image_grid(distilled.images[shown].float(), _columns(shown))
    with replacing(path) as temporary:
        Image.fromarray(eight_bit(grid)).save(temporary, format="JPEG", quality=quality)


def _write_time_lapse(folder: Path, distilled: DistilledSet, small: bool) -> None:
    grids = _grids(distilled, _SMALL_SIDE if small else None)
    how = {"quality": _SMALL_QUALITY} if small else {}
    for suffix in (WEBP,) if small else (WEBP, GIF):
        write_animation(folder / f"time_lapse{suffix}", grids, _FRAME_MILLISECONDS, **how)


def _firsts(distilled: DistilledSet) -> list[int]:
    """Numbers of the first image of every class, of at most 20 classes."""
    labels = distilled.labels.tolist()
    return sorted({label: labels.index(label) for label in labels}.values())[:_ANIMATED]


def _columns(shown: list[int]) -> int:
    return len(shown) if len(shown) <= _ONE_ROW else math.ceil(len(shown) / 2)


def _grids(distilled: DistilledSet, side: int | None = None) -> UInt8[Tensor, "k 3 h w"]:
    """The snapshots as grids of the images that are shown, each of them at most `side` pixels wide."""
    assert distilled.time_lapse is not None
    shown = _firsts(distilled)
    frames = distilled.time_lapse.frames[:, shown].float() / 255
    given = () if side is None else (side,)
    if side is not None and frames.shape[-1] > side:
        frames = torch.stack([functional.interpolate(frame, side, mode="area") for frame in frames])
    grids = torch.stack([image_grid(frame, _columns(shown), *given) for frame in frames])
    return (grids * 255).round().byte()


@dataclass(frozen=True)
class Measured:
    """What one backbone makes of a set, in percent.

    Attributes:
        probe: top-1 of linear probes on it.
        nearest: top-1 of 1-NN with it as the gallery.
        real: top-1 of probes on as many real images instead, nearest to their class means.
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

    def facts(self) -> dict[str, Any]:
        """The same as plain values, for the tensors' metadata: of the probe every run as well."""
        probe = {"mean": self.probe.mean, "std": self.probe.std, "runs": list(self.probe.runs)}
        return {"probe": probe, "real_images": self.real.mean, "all_images": self.whole.mean}


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
        distilled: the set; its facts name `dataset`, `backbone` and `settings`, and what is known of
            `commands` (lines that made it), `version`, `real_images` (their number), `distillations` and
            `centroids_of` (the backbone that chose the real images to compare with).
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
        spread=f"{spread} {_alone(accuracies, facts.get('distillations', 1))}".strip(),
        chosen=f", by features of {facts['centroids_of']}" if "centroids_of" in facts else "",
        floats=_FLOATS[distilled.images.dtype],
        made=_made(facts),
        settings="\n".join(f"| {key} | `{value}` |" for key, value in sorted(facts["settings"].items())),
        image_terms=image_terms,
        weight_terms=weight_terms,
    )


def _made(facts: Mapping[str, Any]) -> str:
    """By which version, from how many images, with which commands; as far as it is known."""
    version = f"version {facts['version']} of " if "version" in facts else ""
    images = f" from {facts['real_images']:,} images" if "real_images" in facts else ""
    lines = [f"Made by {version}Linear Gradient Matching (`lgm_core`){images}."]
    if facts.get("commands"):
        lines += ["", "```sh", *facts["commands"], "```"]
    return "\n".join(lines)


def _alone(accuracies: Mapping[str, Measured], distillations: int) -> str:
    """What the images at hand reach, where the numbers are of several distillations."""
    if distillations == 1:
        return ""
    own = ", ".join(f"{one.probe.runs[0]:.1f} on {name}" for name, one in accuracies.items())
    return f"The images here are the first of {distillations} distillations; by themselves they reach {own}."


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
