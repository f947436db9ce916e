"""Probes trained together equal probes trained alone, and stop early where they should."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from evaluation.clusters import CLASSES, WIDTH, clusters, random_heads
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from lgm_core.evaluation import probe
from lgm_core.evaluation.accuracies import predict, top_k_percent
from lgm_core.evaluation.probe import TrainingViews, Validation, hold_out, train_heads
from lgm_core.foundation.seeds import named_generator
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.params import Params

Make = Callable[..., ProbeSettings]


@pytest.fixture
def probe_spec(params: Callable[..., Params]) -> Make:
    """`probe_spec(batch_size=4)`: the embedded suite's probe with some settings replaced."""
    return lambda **changes: params(probe={"patience": 0, **changes}).probe


def _views(count: int = 9, rounds: int = 3, seed: int = 0) -> TrainingViews:
    features, labels = clusters(count, seed=seed)
    jitter = torch.randn(rounds, count, WIDTH, generator=torch.Generator().manual_seed(seed + 50)) * 0.2
    return TrainingViews(features + jitter, labels)


# Training


def test_manual_gradient_equals_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    heads = random_heads().double().requires_grad_()
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
    validation = Validation(*clusters(12, seed=3)) if patience else None
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
    train, labels = clusters(60, spread=0.3)
    test, _ = clusters(90, seed=1, spread=0.6)
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
    one, validation = _views(), Validation(*clusters(30, seed=8, spread=3.0))
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
    validation = Validation(*clusters(12, seed=3))
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
