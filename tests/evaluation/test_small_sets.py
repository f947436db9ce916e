"""Evaluation of image sets where the right answer is known: the backbone sees nothing but mean colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from evaluation.plain_colors import DISTILLED, PURE, SIDE, cache_of, hard, plain
from torch import Tensor

from lgm_core.evaluation.accuracies import class_accuracies
from lgm_core.evaluation.probe import TrainingViews, train_heads
from lgm_core.evaluation.small_sets import LabeledImages, Runs, evaluate_sets, probe_facts
from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.provenance import versions
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings

Probe = Callable[..., ProbeSettings]


def evaluated(
    backbone: FrozenBackbone,
    cache: FeatureCache,
    sets: dict[str, list[LabeledImages]],
    spec: ProbeSettings,
    seed: int = 0,
) -> dict[str, Runs]:
    return evaluate_sets(backbone, cache, sets, spec, input_size=SIDE, seed=seed, draws=("random",))


def of_one(
    backbone: FrozenBackbone, cache: FeatureCache, images: LabeledImages, spec: ProbeSettings
) -> dict[str, list[float]]:
    """The runs of a single set."""
    found = evaluated(backbone, cache, {"distilled": [images]}, spec)["distilled"]
    return {measure: runs for measure, (runs,) in found.items()}


def test_separable_classes_are_all_found(backbone: FrozenBackbone, short_probe: Probe) -> None:
    found = evaluated(backbone, cache_of(backbone), {"distilled": [DISTILLED]}, short_probe())
    all_right = {key: [[100.0, 100.0]] for key in ("top1", "balanced", "worst_group")}
    assert found == {"distilled": {**all_right, "nearest_neighbor": [[100.0]]}}


def test_the_gallery_is_exact_and_training_views_are_as_precise_as_the_backbone(
    tiny_backbone: Callable[..., FrozenBackbone], short_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []
    embed = FrozenBackbone.embed

    def noting(self: FrozenBackbone, images: Tensor, *, exact: bool = False) -> Tensor:
        asked.append((len(images), exact))
        return embed(self, images, exact=exact)

    monkeypatch.setattr(FrozenBackbone, "embed", noting)
    backbone = tiny_backbone()
    evaluated(backbone, cache_of(backbone), {"distilled": [DISTILLED]}, short_probe(seeds=2, view_rounds=6))
    assert asked == [(6 * 3, False), (3, True)]


def test_labels_swapped_in_training_find_the_swapped_classes(
    backbone: FrozenBackbone, short_probe: Probe
) -> None:
    swapped = LabeledImages(DISTILLED.images, torch.tensor([1, 0, 2]))
    found = of_one(backbone, cache_of(backbone), swapped, short_probe())
    assert found["top1"] == pytest.approx([100 / 3, 100 / 3])
    assert found["nearest_neighbor"] == pytest.approx([100 / 3])


def test_test_labels_without_meaning_are_met_by_chance(backbone: FrozenBackbone, short_probe: Probe) -> None:
    cache = cache_of(backbone, count=900)
    shuffled = cache.test_labels[torch.randperm(900, generator=torch.Generator().manual_seed(0))]
    blind = FeatureCache(**{**vars(cache), "test_labels": shuffled})
    found = of_one(backbone, blind, DISTILLED, short_probe())
    # Chance is 33.3 with a standard deviation of 1.6 over 900 images.
    assert all(26 < value < 41 for value in found["top1"] + found["nearest_neighbor"])


def test_every_set_is_probed_with_every_seed_and_random_draws_with_one_each(
    backbone: FrozenBackbone, short_probe: Probe
) -> None:
    sets = {"distilled": [DISTILLED] * 2, "random": [DISTILLED] * 4}
    done: list[int] = []
    found = evaluate_sets(
        backbone,
        cache_of(backbone),
        sets,
        short_probe(seeds=3, epochs=2),
        input_size=SIDE,
        seed=0,
        draws=("random",),
        progress=done.append,
    )
    lengths = {name: [len(runs) for runs in one["top1"]] for name, one in found.items()}
    assert lengths == {"distilled": [3, 3], "random": [1] * 4}
    assert all(
        [len(runs) for runs in one["nearest_neighbor"]] == [1] * len(one["top1"]) for one in found.values()
    )
    assert done == [1] * 6


def test_the_accuracy_of_every_class_is_told_where_it_is_asked_for(
    backbone: FrozenBackbone, short_probe: Probe
) -> None:
    swapped = LabeledImages(DISTILLED.images, torch.tensor([1, 0, 2]))
    sets = {"distilled": [DISTILLED, swapped], "random": [DISTILLED]}
    cache = cache_of(backbone)
    found = evaluate_sets(
        backbone, cache, sets, short_probe(), input_size=SIDE, seed=0, by_class=("distilled",)
    )
    assert found["distilled"]["by_class"] == [[100.0] * 3, [0.0, 0.0, 100.0]]
    assert "by_class" not in found["random"]
    plain = evaluate_sets(backbone, cache, sets, short_probe(), input_size=SIDE, seed=0)
    del found["distilled"]["by_class"]
    assert plain == found


def test_a_class_without_test_samples_has_no_accuracy() -> None:
    predicted = torch.tensor([[0, 0, 2], [0, 1, 2]])
    assert class_accuracies(predicted, torch.tensor([0, 0, 2]), 4) == [75.0, None, 100.0, None]


def test_every_seed_has_its_own_share_of_the_rounds_of_views(
    backbone: FrozenBackbone, short_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[TrainingViews]] = []

    def watch(sets: list[TrainingViews], *rest: Any, **more: Any) -> torch.Tensor:
        seen.append(sets)
        return train_heads(sets, *rest, **more)

    monkeypatch.setattr("lgm_core.evaluation.small_sets.train_heads", watch)
    cache, sets = hard(backbone)
    evaluated(backbone, cache, sets, short_probe(seeds=3, view_rounds=13, epochs=2))
    (runs,) = seen
    assert [len(views.features) for views in runs] == [13 // 3] * (3 + len(sets["random"]))
    rounds = torch.cat([views.features for views in runs[:3]]).flatten(1)
    assert len(rounds.unique(dim=0)) == 12


@pytest.mark.parametrize(
    ("classes", "measures"), [(4, {"top1"}), (5, {"top1", "top5"}), (6, {"top1", "top5"})]
)
def test_top5_is_told_from_five_classes_on(
    backbone: FrozenBackbone, short_probe: Probe, classes: int, measures: set[str]
) -> None:
    cache = cache_of(backbone, classes=classes)
    labels = torch.arange(classes)
    sets = {"distilled": [LabeledImages(plain(PURE[labels % 3]), labels)]}
    found = evaluated(backbone, cache, sets, short_probe(epochs=2))["distilled"]
    assert set(found) == measures | {"nearest_neighbor", "balanced", "worst_group"}
    if classes == 5:
        assert found["top5"] == [[100.0, 100.0]]


def test_a_seed_decides_every_number(backbone: FrozenBackbone, short_probe: Probe) -> None:
    cache, sets = hard(backbone)
    spec = short_probe(epochs=6, learning_rate=0.5)
    first, again, other = (evaluated(backbone, cache, sets, spec, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["distilled"]["top1"] != other["distilled"]["top1"]
    assert first["distilled"]["nearest_neighbor"] == other["distilled"]["nearest_neighbor"]
    assert len(set(first["distilled"]["top1"][0])) > 1


def test_another_set_beside_it_does_not_shift_the_numbers(
    backbone: FrozenBackbone, short_probe: Probe
) -> None:
    cache, sets = hard(backbone)
    spec = short_probe(epochs=6, learning_rate=0.5)
    together = evaluated(backbone, cache, sets, spec)
    alone = evaluated(backbone, cache, {"distilled": sets["distilled"]}, spec)
    assert alone["distilled"] == together["distilled"]
    swapped = evaluated(backbone, cache, dict(reversed(sets.items())), spec)
    assert swapped == together


def test_more_views_than_fit_at_once_are_the_same_views(
    backbone: FrozenBackbone, short_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, sets = hard(backbone)
    spec = short_probe(epochs=6, learning_rate=0.5)
    whole = evaluated(backbone, cache, sets, spec)
    monkeypatch.setattr("lgm_core.evaluation.small_sets.EMBEDDED_AT_ONCE", 5)
    assert evaluated(backbone, cache, sets, spec) == whole


def test_patience_stops_when_nothing_improves_any_more(
    backbone: FrozenBackbone, short_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: steps.append(1) or step(self))
    cache = cache_of(backbone, spread=0.1)
    spec = short_probe(patience=3, holdout=0.5, epochs=50)
    found = of_one(backbone, cache, DISTILLED, spec)
    # One batch is one epoch. Both heads are perfect within a few, then three more bring nothing.
    assert found["top1"] == [100.0, 100.0]
    assert 4 <= len(steps) < 20


def test_patience_keeps_the_best_head_and_not_the_last(
    backbone: FrozenBackbone, short_probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def learn_then_forget(self: torch.optim.Adam) -> None:
        steps.append(1)
        (heads,) = self.param_groups[0]["params"]
        heads[:, :, :3] = PURE if len(steps) <= 2 else -PURE

    monkeypatch.setattr(torch.optim.Adam, "step", learn_then_forget)
    found = of_one(backbone, cache_of(backbone), DISTILLED, short_probe(patience=5, epochs=20))
    assert found["top1"] == [100.0, 100.0]
    assert len(steps) == 1 + 5


def test_groups_of_the_data_set_count(backbone: FrozenBackbone, short_probe: Probe) -> None:
    swapped = LabeledImages(DISTILLED.images, torch.tensor([0, 2, 1]))
    cache = replace(cache_of(backbone), test_groups=torch.zeros(60, dtype=torch.long), group_names=("all",))
    found = of_one(backbone, cache, swapped, short_probe())
    assert found["worst_group"] == pytest.approx(found["top1"])
    assert found["top1"] == pytest.approx([100 / 3] * 2)
    bare = replace(cache, test_groups=None)
    found = of_one(backbone, bare, swapped, short_probe())
    assert found["worst_group"] == [0.0, 0.0]


def test_facts_are_the_cells_names_and_the_settings_that_these_accuracies_depend_on(
    short_probe: Probe,
) -> None:
    facts = probe_facts(short_probe(epochs=7), dataset="pets", variant="", seed=3)
    assert {key: facts[key] for key in ("dataset", "variant", "seed")} == {
        "dataset": "pets",
        "variant": "",
        "seed": 3,
    }
    assert facts["versions"] == versions()
    assert facts["probe"]["epochs"] == 7
    assert not {"full_epochs", "full_view_rounds"} & set(facts["probe"])
