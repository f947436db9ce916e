"""What all real images reach, where the right answer is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from evaluation.plain_colors import cache_of, hard

from lgm_core.evaluation.full_data import evaluate_full, full_probe_facts
from lgm_core.evaluation.probe import hold_out
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.provenance import versions
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings

Probe = Callable[..., ProbeSettings]


def test_all_images_of_separable_classes_reach_everything(
    backbone: FrozenBackbone, short_probe: Probe
) -> None:
    found, _ = evaluate_full(cache_of(backbone), short_probe(seeds=3), seed=0)
    majority = found.pop("majority")
    assert majority == {
        "top1": pytest.approx(100 / 3),
        "balanced": pytest.approx(100 / 3),
        "worst_group": 0.0,
    }
    full = {key: [100.0] * 3 for key in ("top1", "balanced", "worst_group")}
    assert found == {"full": full, "nearest_class_mean": 100.0, "ridge": 100.0}


def test_the_full_probe_is_decided_by_its_seed(backbone: FrozenBackbone, short_probe: Probe) -> None:
    cache, _ = hard(backbone)
    spec = short_probe(full_epochs=3, learning_rate=0.2)
    first, again, other = (evaluate_full(cache, spec, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert first["full"] != other["full"]
    assert first["nearest_class_mean"] == other["nearest_class_mean"]


def test_the_full_probe_does_not_train_on_what_it_validates_with(
    backbone: FrozenBackbone, short_probe: Probe
) -> None:
    cache = cache_of(backbone)
    spec = short_probe(patience=3, holdout=0.25)
    kept, validation = hold_out(cache.train, cache.train_labels, spec, 0)
    assert validation is not None
    assert (len(kept), len(validation.labels)) == (45, 15)
    views = cache.full_views.clone()
    views[:, [number for number in range(60) if number not in set(kept.tolist())]] = torch.nan
    spoilt = FeatureCache(**{**vars(cache), "full_views": views})
    assert evaluate_full(spoilt, spec, seed=0)[0]["full"]["top1"] == [100.0, 100.0]


def test_facts_are_the_settings_that_these_accuracies_depend_on(short_probe: Probe) -> None:
    facts = full_probe_facts(short_probe(full_epochs=7))
    assert facts["versions"] == versions()
    assert facts["probe"]["full_epochs"] == 7
    assert not {"epochs", "view_rounds", "augment"} & set(facts["probe"])
