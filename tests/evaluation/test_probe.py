"""Probes trained together equal probes trained alone, and the measures equal those of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import Tensor, nn
from torch.nn import functional

from lgm_core.evaluation import probe
from lgm_core.evaluation.accuracies import (
    accuracies,
    nearest_class_mean_percent,
    nearest_neighbor_percent,
    predict,
    scores,
    top_k_percent,
)
from lgm_core.evaluation.probe import TrainingViews, Validation, hold_out, train_heads
from lgm_core.evaluation.ridge import ridge_percent
from lgm_core.foundation.seeds import named_generator
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.params import Params

CLASSES, WIDTH = 3, 4
Make = Callable[..., ProbeSettings]


@pytest.fixture
def probe_spec(params: Callable[..., Params]) -> Make:
    """`probe_spec(batch_size=4)`: the embedded suite's probe with some settings replaced."""
    return lambda **changes: params(probe={"patience": 0, **changes}).probe


def _clusters(count: int, *, seed: int = 0, spread: float = 1.0, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """Samples around fixed class means, labels shuffled."""
    means = torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(99)) * 2
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    labels = labels[torch.randperm(count, generator=generator)]
    return means[labels] + torch.randn(count, width, generator=generator) * spread, labels


def _views(count: int = 9, rounds: int = 3, seed: int = 0) -> TrainingViews:
    features, labels = _clusters(count, seed=seed)
    jitter = torch.randn(rounds, count, WIDTH, generator=torch.Generator().manual_seed(seed + 50)) * 0.2
    return TrainingViews(features + jitter, labels)


def _heads(count: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, CLASSES, WIDTH + 1, generator=torch.Generator().manual_seed(seed))


# Training


def test_manual_gradient_equals_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    heads = _heads().double().requires_grad_()
    features = torch.randn(4, 7, WIDTH, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES, (4, 7), generator=generator)
    logits = features @ heads[:, :, :-1].mT + heads[:, None, :, -1]
    losses = [functional.cross_entropy(one, label) for one, label in zip(logits, labels, strict=True)]
    (expected,) = torch.autograd.grad(torch.stack(losses).sum(), heads)
    found = probe._gradient(heads.detach(), features, labels)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("patience", [0, 2])
@pytest.mark.parametrize("batch_size", [100, 4])
def test_heads_trained_together_equal_heads_trained_alone(
    probe_spec: Make, batch_size: int, patience: int
) -> None:
    spec = probe_spec(batch_size=batch_size, learning_rate=0.5, patience=patience)
    sets, seeds = [_views(seed=1), _views(seed=2), _views(seed=1)], [5, 6, 7]
    validation = Validation(*_clusters(12, seed=3)) if patience else None
    together = train_heads(sets, CLASSES, spec, epochs=12, seeds=seeds, validation=validation)
    for head, one, seed in zip(together, sets, seeds, strict=True):
        alone = train_heads([one], CLASSES, spec, epochs=12, seeds=[seed], validation=validation)
        torch.testing.assert_close(alone[0], head, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[2], atol=1e-3)


def test_training_equals_a_torch_linear_layer_with_adam_and_cosine(probe_spec: Make) -> None:
    spec = probe_spec(batch_size=64, learning_rate=0.1, head_std=0.3)
    one = _views(rounds=1)
    found = train_heads([one], CLASSES, spec, epochs=30, seeds=[5])[0]
    layer = nn.Linear(WIDTH, CLASSES)
    start = torch.randn(CLASSES, WIDTH + 1, generator=named_generator(5, "probe")) * 0.3
    with torch.no_grad():
        layer.weight.copy_(start[:, :-1])
        layer.bias.zero_()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1 * 64 / 256)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    for _ in range(30):
        optimizer.zero_grad()
        functional.cross_entropy(layer(one.features[0]), one.labels).backward()
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(found[:, :-1], layer.weight.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found[:, -1], layer.bias.detach(), rtol=1e-3, atol=1e-4)


def test_separable_classes_are_told_apart_as_by_sklearn(probe_spec: Make) -> None:
    train, labels = _clusters(60, spread=0.3)
    test, _ = _clusters(90, seed=1, spread=0.6)
    spec = probe_spec(learning_rate=0.5)
    heads = train_heads([TrainingViews(train[None], labels)], CLASSES, spec, epochs=300, seeds=[0])
    expected = LogisticRegression(C=1e3, max_iter=1000).fit(train.numpy(), labels.numpy())
    assert torch.equal(predict(heads, train)[0], labels)
    agree = predict(heads, test)[0].numpy() == expected.predict(test.numpy())
    assert agree.mean() > 0.97


def test_learning_rate_falls_along_half_a_cosine() -> None:
    found = [probe._schedule(0.2, step, 8) for step in (0, 2, 4, 6, 8)]
    expected = [0.2, 0.1 * (1 + math.sqrt(0.5)), 0.1, 0.1 * (1 - math.sqrt(0.5)), 0.0]
    assert found == pytest.approx(expected, abs=1e-15)


def test_learning_rate_is_scaled_by_the_nominal_batch(probe_spec: Make) -> None:
    one = _views(rounds=1)
    small, large = (
        train_heads([one], CLASSES, probe_spec(batch_size=size, head_std=0.0), epochs=1, seeds=[0])
        for size in (64, 256)
    )
    # Adam's first step has the length of the learning rate in every coordinate.
    assert large.abs().max().item() == pytest.approx(1e-3, rel=1e-3)
    assert small.abs().max().item() == pytest.approx(1e-3 / 4, rel=1e-3)


@given(st.integers(1, 7), st.integers(1, 30))
def test_every_round_is_seen_once_before_any_comes_again(rounds: int, epochs: int) -> None:
    order = probe._epoch_rounds(rounds, epochs, torch.Generator().manual_seed(0)).tolist()
    assert len(order) == epochs
    for start in range(0, epochs, rounds):
        part = order[start : start + rounds]
        assert len(set(part)) == len(part)
        assert set(part) <= set(range(rounds))


def test_same_seed_same_head_other_seed_other_head(probe_spec: Make) -> None:
    heads = [
        train_heads([_views()], CLASSES, probe_spec(batch_size=4), epochs=3, seeds=[seed])
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_training_leaves_the_features_and_the_global_random_state_alone(probe_spec: Make) -> None:
    one = _views()
    before, state = one.features.clone(), torch.get_rng_state()
    train_heads([one], CLASSES, probe_spec(), epochs=2, seeds=[0])
    assert torch.equal(one.features, before)
    assert torch.equal(torch.get_rng_state(), state)


# Early stopping

LINE = Validation(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([1, 1, 1, 1]))


def _threshold(value: float) -> Tensor:
    """A head of two classes that gives class 1 to samples above `value`."""
    return torch.tensor([[0.0, 0.0], [1.0, -value]])


def test_early_stopping_keeps_the_best_epoch_by_hand() -> None:
    accuracies_by_epoch = [3.5, 1.5, 2.5, 1.5, 0.5]  # 25, 75, 50, 75, 100 % are right
    stopping = probe._EarlyStopping(LINE, 2, _threshold(9)[None])
    done = [stopping.update(_threshold(value)[None]) for value in accuracies_by_epoch]
    assert done[:4] == [False, False, False, True]
    assert torch.equal(stopping.kept[0], _threshold(1.5))
    assert stopping.best.tolist() == [0.75]


def test_early_stopping_of_one_head_does_not_touch_another() -> None:
    stopping = probe._EarlyStopping(LINE, 1, torch.stack([_threshold(9)] * 2))
    first, second = [1.5, 2.5, 0.5, 0.5], [3.5, 2.5, 1.5, 0.5]
    done = [
        stopping.update(torch.stack([_threshold(a), _threshold(b)]))
        for a, b in zip(first, second, strict=True)
    ]
    assert not any(done)
    assert torch.equal(stopping.kept, torch.stack([_threshold(1.5), _threshold(0.5)]))


def test_early_stopping_returns_the_best_epoch_of_training(probe_spec: Make) -> None:
    one, validation = _views(), Validation(*_clusters(30, seed=8, spread=3.0))
    rate = {"learning_rate": 3.0, "batch_size": 4}

    def accuracy(heads: Tensor) -> float:
        return top_k_percent(heads, validation.features, validation.labels, 1)[0]

    seen: list[float] = []
    original = probe._EarlyStopping.update

    class _Recording(probe._EarlyStopping):
        def update(self, heads: Tensor) -> bool:
            seen.append(accuracy(heads))
            return original(self, heads)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_EarlyStopping", _Recording)
        kept = train_heads(
            [one], CLASSES, probe_spec(patience=4, **rate), epochs=60, seeds=[0], validation=validation
        )
    assert accuracy(kept) == max(seen)
    best = seen.index(max(seen))
    assert len(seen) == best + 1 + 4 < 60


def test_patience_zero_reports_the_final_epoch(probe_spec: Make) -> None:
    validation = Validation(*_clusters(12, seed=3))
    plain = train_heads([_views()], CLASSES, probe_spec(), epochs=5, seeds=[0])
    given_one = train_heads([_views()], CLASSES, probe_spec(), epochs=5, seeds=[0], validation=validation)
    assert torch.equal(plain, given_one)


def test_hold_out_splits_the_training_images(probe_spec: Make) -> None:
    features, labels = torch.arange(40.0)[:, None], torch.arange(40) % 3
    kept, validation = hold_out(features, labels, probe_spec(patience=5, holdout=0.25), 7)
    assert validation is not None
    held = validation.features.flatten().long()
    assert len(held) == 10
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(40))
    assert torch.equal(validation.labels, labels[held])
    again, _ = hold_out(features, labels, probe_spec(patience=5, holdout=0.25), 7)
    assert torch.equal(kept, again)


def test_nothing_is_held_out_without_patience(probe_spec: Make) -> None:
    kept, validation = hold_out(torch.zeros(5, 2), torch.zeros(5, dtype=torch.long), probe_spec(), 7)
    assert kept.tolist() == [0, 1, 2, 3, 4]
    assert validation is None


# Measures


def test_scores_are_those_of_a_linear_layer() -> None:
    heads, (features, _) = _heads(), _clusters(7)
    expected = torch.stack([functional.linear(features, head[:, :-1], head[:, -1]) for head in heads])
    torch.testing.assert_close(scores(heads, features), expected)
    assert torch.equal(predict(heads, features), expected.argmax(dim=-1))


def test_top_k_by_hand() -> None:
    head = torch.eye(4, 5)[None]  # class scores are the features themselves
    features = torch.tensor([[4.0, 3, 2, 1], [1, 4, 3, 2], [2, 1, 4, 3], [3, 2, 1, 4]])
    labels = torch.tensor([0, 2, 0, 2])  # ranks 1, 2, 3, 4
    assert [top_k_percent(head, features, labels, k) for k in (1, 2, 3, 4)] == [[25], [50], [75], [100]]


@pytest.mark.parametrize("k", [1, 2])
def test_top_k_equals_sklearn(k: int) -> None:
    heads, (features, labels) = _heads(), _clusters(50)
    expected = [
        top_k_accuracy_score(labels, one.numpy(), k=k, labels=range(CLASSES)) * 100
        for one in scores(heads, features)
    ]
    assert top_k_percent(heads, features, labels, k) == pytest.approx(expected)


@pytest.mark.parametrize(("classes", "measures"), [(2, {"top1"}), (4, {"top1"}), (5, {"top1", "top5"})])
def test_top_5_is_measured_from_five_classes_on(classes: int, measures: set[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(3, classes, WIDTH + 1, generator=generator)
    features = torch.randn(20, WIDTH, generator=generator)
    labels = torch.randint(classes, (20,), generator=generator)
    found = accuracies(heads, features, labels)
    assert found.keys() == measures | {"balanced", "worst_group"}
    assert found["top1"] == top_k_percent(heads, features, labels, 1)
    if "top5" in found:
        assert found["top5"] == [100.0] * 3


def test_nearest_neighbour_equals_sklearn() -> None:
    gallery, gallery_labels = _clusters(12, spread=2)
    queries, labels = _clusters(80, seed=1, spread=2)
    model = KNeighborsClassifier(1, metric="cosine").fit(gallery.numpy(), gallery_labels.numpy())
    predicted = torch.from_numpy(model.predict(queries.numpy()))
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, predicted) == 100
    expected = model.score(queries.numpy(), labels.numpy()) * 100
    assert 0 < expected < 100
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, labels) == pytest.approx(expected)


def test_nearest_neighbour_by_hand() -> None:
    gallery, gallery_labels = torch.tensor([[100.0, 0.0], [0.1, 0.1]]), torch.tensor([0, 1])
    queries = torch.tensor([[1.0, 0.2], [5.0, 4.0], [1.0, 1.1]])
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, torch.tensor([0, 1, 1])) == 100
    assert nearest_neighbor_percent(gallery, gallery_labels, queries, torch.tensor([0, 0, 0])) == (
        pytest.approx(100 / 3)
    )


def test_nearest_class_mean_equals_sklearn() -> None:
    train, train_labels = _clusters(30, spread=3)
    test, labels = _clusters(80, seed=1, spread=3)
    model = NearestCentroid().fit(train.numpy(), train_labels.numpy())
    predicted = torch.from_numpy(model.predict(test.numpy()))
    assert nearest_class_mean_percent(train, train_labels, test, predicted) == 100
    expected = model.score(test.numpy(), labels.numpy()) * 100
    assert 0 < expected < 100
    assert nearest_class_mean_percent(train, train_labels, test, labels) == pytest.approx(expected)


def _ridge_model(train: Tensor, labels: Tensor, penalty: float) -> Ridge:
    """scikit-learn's ridge with the penalty on its scale: λ n tr(ZᵀZ/n) / F."""
    centred = (train - train.mean(dim=0)).double()
    alpha = penalty * centred.square().sum().item() / train.shape[1]
    targets = functional.one_hot(labels, CLASSES).double()
    return Ridge(alpha=alpha).fit(train.double().numpy(), targets.numpy())


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0, 100.0])
def test_ridge_with_a_fixed_penalty_equals_sklearn(penalty: float) -> None:
    train, train_labels = _clusters(40, spread=3)
    test, labels = _clusters(80, seed=1, spread=3)
    predicted = _ridge_model(train, train_labels, penalty).predict(test.double().numpy()).argmax(axis=1)
    arguments = (train, train_labels, test)
    assert probe._ridge_accuracy(*arguments, torch.from_numpy(predicted), CLASSES, penalty) == 1
    expected = float(np.mean(predicted == labels.numpy()))
    assert 0 < expected < 1
    assert probe._ridge_accuracy(*arguments, labels, CLASSES, penalty) == pytest.approx(expected)


def test_ridge_chooses_its_penalty_on_training_samples_alone() -> None:
    train, train_labels = _clusters(60, spread=3, width=30)
    test, labels = _clusters(80, seed=1, spread=3, width=30)
    order = torch.randperm(60, generator=named_generator(4, "ridge"))
    fit, check = order[12:], order[:12]
    penalties = [10.0**power for power in range(-4, 5)]

    def accuracy(penalty: float, fitted: tuple[Tensor, Tensor], tried: tuple[Tensor, Tensor]) -> float:
        model = _ridge_model(*fitted, penalty)
        right = model.predict(tried[0].double().numpy()).argmax(axis=1) == tried[1].numpy()
        return float(np.mean(right))

    held = [
        accuracy(penalty, (train[fit], train_labels[fit]), (train[check], train_labels[check]))
        for penalty in penalties
    ]
    expected = accuracy(penalties[int(np.argmax(held))], (train, train_labels), (test, labels)) * 100
    found = ridge_percent(train, train_labels, test, labels, seed=4, holdout=0.2)
    assert found == pytest.approx(expected)
