"""Real images become features once: one pass over the decoded images makes every view that is ever needed.

The centre view of every image serves selection and testing, `real_rounds` augmented views the real gradient,
and `full_view_rounds` views the probe on the full data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from lgm_core.features.augment import Views, center_crop, draw_for, view
from lgm_core.features.blocks import Blocks, Memory, Part
from lgm_core.features.cache import FeatureCache
from lgm_core.features.loading import Squares, decoded_blocks
from lgm_core.foundation.code import Code
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.provenance import arithmetic, versions
from lgm_core.foundation.ranks import ALONE, Ranks
from lgm_core.foundation.seeds import named_generator
from lgm_core.foundation.store import checksum
from lgm_core.foundation.transfer import download
from lgm_core.images import ImageSet
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import NO_AUGMENTATION, AugmentSettings, FeatureSettings

_BATCH_IMAGES = 100
Progress = Callable[[int], object]


def _uploaded(batches: Iterable[tuple[int, Tensor]], device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """The batches on a device; a GPU gets the next one while it computes."""
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None
    for number, batch in batches:
        if stream is None:
            yield number, batch.to(device)
            continue
        with torch.cuda.stream(stream):
            pixels = batch.to(device, non_blocking=True)
        torch.cuda.current_stream(device).wait_stream(stream)
        pixels.record_stream(torch.cuda.current_stream(device))
        yield number, pixels


@dataclass(frozen=True)
class _Rounds:
    """Which views of an image are wanted besides the centre one, and what was drawn for them.

    Attributes:
        augments: how the views of each round are made.
        draws: of all images, for each round; None where augmentation is off.
        input_size: side in pixels of what the backbone sees.
    """

    augments: list[AugmentSettings | str]
    draws: list[Views | None]
    input_size: int

    def features(
        self, backbone: FrozenBackbone, squares: UInt8[Tensor, "b v 3 r r"], first: int
    ) -> Float[Tensor, "v b f"]:
        """Features of all views of a batch that begins with image number `first`; the centre ones exact."""
        centre = center_crop(squares[:, 0].float() / 255, self.input_size)
        found = [backbone.embed(centre, exact=True)]
        for number, (augment, drawn) in enumerate(zip(self.augments, self.draws, strict=True), 1):
            part = None if drawn is None else drawn.part(first, first + len(squares))
            pixels = squares[:, number].float() / 255
            found.append(backbone.embed(view(pixels, part, self.input_size, augment)))
        return torch.stack(found)


@dataclass(frozen=True)
class _Way:
    """How to extract: all that does not change the result."""

    workers: int
    ranks: Ranks
    blocks: Blocks
    progress: Progress


@torch.no_grad()
def _extract(
    backbone: FrozenBackbone,
    images: ImageSet,
    spec: FeatureSettings,
    rounds: list[tuple[str, AugmentSettings | str]],
    seed: int,
    how: _Way,
    split: str,
) -> Float[Tensor, "v n f"]:
    """Features of the centre view and of one view for every entry of `rounds` (name, augmentation).

    On rank 0 of all images; on the others of their own.
    """
    draws = [draw_for(augment, len(images), named_generator(seed, "view", name)) for name, augment in rounds]
    wanted = _Rounds([augment for _, augment in rounds], draws, spec.input_size)
    # Whole batches are shared, so that every image is in the same batch whatever the number of ranks.
    batches = how.ranks.counts(-(-len(images) // _BATCH_IMAGES))
    edges = [min(len(images), sum(batches[:rank]) * _BATCH_IMAGES) for rank in range(how.ranks.world + 1)]
    counts = [stop - start for start, stop in pairwise(edges)]
    own = range(edges[how.ranks.rank], edges[how.ranks.rank + 1])
    blocks = {at // _BATCH_IMAGES: own[at - own.start :][:_BATCH_IMAGES] for at in own[::_BATCH_IMAGES]}
    places = {
        number: slice(block.start - own.start, block.stop - own.start) for number, block in blocks.items()
    }
    total = len(images) if how.ranks.first else len(own)
    shape = (1 + len(rounds), total, backbone.width(spec.input_size))
    part = how.blocks.part(split, shape, places, own.start)
    how.progress(sum(len(blocks[number]) for number in part.done))
    left = {number: block for number, block in blocks.items() if number not in part.done}
    squares = Squares(images, spec.resolution, [name for name, _ in rounds], seed)
    waiting: Callable[[], None] | None = None
    device = backbone.device
    batches = decoded_blocks(squares, left, how.workers, pinned=device.type == "cuda")
    for number, pixels in _uploaded(batches, device):
        features = download(wanted.features(backbone, pixels, left[number].start))
        if waiting is not None:
            waiting()
        waiting = partial(_keep, part, number, places[number], features, how.progress)
    if waiting is not None:
        waiting()
    if how.ranks.world > 1:
        for rows in part.features:
            how.ranks.gather(rows[: len(own)].to(backbone.device), counts, rows)
    return part.features


def _keep(part: Part, number: int, place: slice, features: Callable[[], Tensor], progress: Progress) -> None:
    """Put a block's features where they belong, as soon as they have arrived."""
    found = features()
    if not found.isfinite().all():
        raise InputError("The backbone's features are not finite; check its checkpoint and normalisation.")
    part.features[:, place] = found
    part.finish(number, place)
    progress(found.shape[1])


def extract_features(
    backbone: FrozenBackbone,
    splits: tuple[ImageSet, ImageSet],
    spec: FeatureSettings,
    *,
    seed: int,
    workers: int = 0,
    progress: Progress = lambda count: None,
    ranks: Ranks = ALONE,
    blocks: Blocks | None = None,
) -> FeatureCache:
    """Run the backbone over a data set.

    Args:
        backbone: on the device to use.
        splits: train and test images with equal classes.
        spec: sizes, augmentation, number of rounds.
        seed: root of the draws.
        workers: processes that decode images.
        progress: told how many images were done.
        ranks: the processes that share the images.
        blocks: where the features go while they are made: in memory, or on the disk, where they may be larger
            than that, and where a killed run goes on.

    Returns:
        The whole cache on rank 0; on the others what they computed.
    """
    train, test = splits
    gradient_rounds = 0 if spec.augment == NO_AUGMENTATION else spec.real_rounds
    rounds: list[tuple[str, AugmentSettings | str]] = [
        *((f"real {number}", spec.augment) for number in range(gradient_rounds)),
        *((f"full {number}", spec.full_augment) for number in range(spec.full_view_rounds)),
    ]
    how = _Way(workers, ranks, blocks or Memory(), progress)
    features = _extract(backbone, train, spec, rounds, seed, how, "train")
    centre = features[0]
    augmented = features[1:]
    return FeatureCache(
        classes=train.classes,
        train=centre,
        train_labels=train.labels,
        test=_extract(backbone, test, spec, [], seed, how, "test")[0],
        test_labels=test.labels,
        real_views=augmented[:gradient_rounds] if gradient_rounds else centre[None],
        full_views=augmented[gradient_rounds:],
        test_groups=test.groups,
        group_names=test.group_names,
    )


def extract_train(
    backbone: FrozenBackbone,
    train: ImageSet,
    spec: FeatureSettings,
    *,
    seed: int,
    workers: int = 0,
    progress: Progress = lambda count: None,
) -> FeatureCache:
    """The part of a cache that distillation needs; its test part is empty."""
    return extract_features(
        backbone,
        (train, train.none()),
        replace(spec, full_view_rounds=0),
        seed=seed,
        workers=workers,
        progress=progress,
    )


def extract_test(
    backbone: FrozenBackbone,
    test: ImageSet,
    spec: FeatureSettings,
    *,
    workers: int = 0,
    progress: Progress = lambda count: None,
) -> FeatureCache:
    """The part of a cache that testing needs; its training part is empty."""
    return extract_features(
        backbone,
        (test.none(), test),
        replace(spec, augment=NO_AUGMENTATION, full_view_rounds=0),
        seed=0,
        workers=workers,
        progress=progress,
    )


def extraction_facts(backbone: FrozenBackbone, spec: FeatureSettings, seed: int) -> dict[str, Any]:
    """What determines features beside the images, to the last bit: settings, weights, machine, code."""
    root = Path(__file__).parents[2]
    return {
        **feature_facts(spec, seed),
        "weights": checksum(backbone.state_dict(), {}),
        **arithmetic(backbone.device),
        "precision": str(backbone.autocast_dtype),
        "code": Code(root, ("lgm_core",)).fingerprint(Path(__file__))[:16],
        "versions": versions(),
    }


def feature_facts(spec: FeatureSettings, seed: int) -> dict[str, Any]:
    """The settings as plain values, for metadata."""
    return {"settings": asdict(spec), "seed": seed}
