"""The classes that a probe trained on all real images sees in distilled ones, whole and cropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.evaluation.accuracies import scores
from lgm_core.evaluation.small_sets import view_features
from lgm_core.features.augment import center_crop
from lgm_core.foundation.provenance import versions
from lgm_core.foundation.seeds import named_generator
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import AugmentSettings

CROPS = 32
"""Random crops of every image."""
_NAMED = 5
_DIGITS = 2


def probabilities(head: Float[Tensor, "c g"], features: Float[Tensor, "n f"]) -> Float[Tensor, "n c"]:
    """What a linear head makes of features: the softmax of its logits."""
    return scores(head[None], features)[0].softmax(dim=-1)


def classes_seen(
    backbone: FrozenBackbone,
    head: Float[Tensor, "c g"],
    images: Float[Tensor, "n 3 r r"],
    labels: Int[Tensor, " n"],
    augment: AugmentSettings,
    *,
    input_size: int,
    seed: int,
) -> list[dict[str, Any]]:
    """What a probe sees in every image: in its centre view, and in random crops of it.

    Args:
        backbone: that sees the images.
        head: of a probe on its features; the last column is the bias.
        images: distilled, values in [0, 1].
        labels: their classes.
        augment: how crops are drawn; they have no noise.
        input_size: side in pixels of what the backbone sees.
        seed: of the crops; every backbone is shown the same ones with the same seed.

    Returns:
        For every image `whole`, the five most probable classes as [number, percent], the highest first;
        `crops`, the same of the mean of the probabilities over the crops; and `own_share`, the percentage
        of crops in which the image's own class is the most probable one.
    """
    images = images.to(backbone.device)
    head = head.to(backbone.device)
    plain = replace(augment, noise_probability=0.0)
    whole = probabilities(head, backbone.embed(center_crop(images, input_size), exact=True))
    generator = named_generator(seed, "crops")
    views = view_features(backbone, images, CROPS, plain, input_size, generator)
    cropped = torch.stack([probabilities(head, features.to(head.dtype)) for features in views])
    own = (cropped.argmax(dim=-1) == labels.to(head.device)).double().mean(dim=0) * 100
    mean = cropped.double().mean(dim=0)
    return [
        {"whole": first, "crops": then, "own_share": round(share, _DIGITS)}
        for first, then, share in zip(_most_probable(whole), _most_probable(mean), own.tolist(), strict=True)
    ]


def _most_probable(found: Float[Tensor, "n c"]) -> list[list[list[float]]]:
    """[number, percent] of every row's most probable classes."""
    best = found.topk(min(_NAMED, found.shape[1]), dim=-1)
    return [
        [[number, round(100 * value, _DIGITS)] for number, value in zip(numbers, values, strict=True)]
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def seen_facts(classes: tuple[str, ...], **cell: Any) -> dict[str, Any]:
    """What such numbers are of: the cell's names and seed, the class names that they number, versions."""
    return {**cell, "classes": list(classes), "crop_count": CROPS, "versions": versions()}
