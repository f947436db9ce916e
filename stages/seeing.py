"""What the probes on all real images see in distilled ones."""

from __future__ import annotations

from typing import Any

from lgm_core.evaluation.full_head import load_head
from lgm_core.evaluation.seen import classes_seen
from lgm_core.evaluation.small_sets import LabeledImages
from lgm_core.foundation.belonging import check_made_from, check_of
from lgm_core.foundation.seeds import derive_seed
from stages.work import Opened, Work


def seen_by(work: Work, target: Opened, images: LabeledImages) -> list[dict[str, Any]]:
    """What one backbone's probe on all real images sees in others; every backbone sees the same crops."""
    params = work.params
    classes = target.cache.classes
    cell = work.features(target.name)
    head, facts = load_head(cell.head, classes, target.cache.test.shape[1])
    check_of(cell.head, facts, cell)
    check_made_from(cell.head, facts, work.inputs(target.name))
    seed = derive_seed(params.seed, "seen", work.dataset, work.source)
    how = {"input_size": params.method.input_size, "seed": seed}
    return classes_seen(target.backbone, head, images.images, images.labels, params.probe.augment, **how)
