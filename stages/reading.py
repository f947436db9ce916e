"""The training images behind cached features."""

from __future__ import annotations

from lgm_core.data.integrity import unchanged
from lgm_core.data.sources import load_images
from lgm_core.images import ImageSet
from stages.work import Work


def training_images(work: Work, backbone: str) -> ImageSet:
    """The training images that a backbone's features are of.

    Raises:
        InputError: if they changed since, or any of them is missing or damaged.
    """
    images = load_images(work.params.datasets[work.dataset], "train", work.machine.data_root)
    return unchanged(images, "train", work.features(backbone).features)
