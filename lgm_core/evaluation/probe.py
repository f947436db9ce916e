"""Linear probes, many at once (write-up A.3).

Many small heads (seeds, training sets) are trained at once as one batched problem: they share the test set,
the schedule and the optimiser's arithmetic, which works element by element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.evaluation.accuracies import predict
from lgm_core.foundation.seeds import named_generator
from lgm_core.foundation.transfer import upload
from lgm_core.settings.evaluation import ProbeSettings


@dataclass(frozen=True)
class TrainingViews:
    """Training views of one set.

    Attributes:
        features: [V, n, F], V rounds of augmented views of n images.
        labels: [n].
    """

    features: Float[Tensor, "v n f"]
    labels: Int[Tensor, " n"]


_WEIGHTS_AT_ONCE = 2**26
"""Bound on the weights of heads that are trained at once; Adam and gradients need about six times as much."""


def _schedule(rate: float, step: int, steps: int) -> float:
    return rate * 0.5 * (1 + math.cos(math.pi * step / steps))


def _epoch_rounds(rounds: int, epochs: int, generator: torch.Generator) -> Int[Tensor, " e"]:
    """Which round of views every epoch sees: each round once before any comes again, in random order."""
    shuffled = [torch.randperm(rounds, generator=generator) for _ in range(math.ceil(epochs / rounds))]
    return torch.cat(shuffled)[:epochs]


@dataclass(frozen=True)
class Validation:
    """Held-out training images for early stopping: features [n, F] and labels [n]."""

    features: Float[Tensor, "n f"]
    labels: Int[Tensor, " n"]

    def to(self, device: torch.device | str) -> Validation:
        """The same samples on a device."""
        return Validation(self.features.to(device), self.labels.to(device))


def hold_out(
    features: Float[Tensor, "n f"], labels: Int[Tensor, " n"], spec: ProbeSettings, seed: int
) -> tuple[Int[Tensor, " k"], Validation | None]:
    """Split training images for early stopping: numbers to train on, and what validates.

    Nothing is held out where `spec.patience` is 0.
    """
    if spec.patience == 0:
        return torch.arange(len(features)), None
    shuffled = torch.randperm(len(features), generator=named_generator(seed, "holdout"))
    held = max(1, int(len(features) * spec.holdout))
    validating = shuffled[:held].sort().values
    return shuffled[held:].sort().values, Validation(features[validating], labels[validating])


class _EarlyStopping:
    """Keeps every head as it was at its best validation accuracy; done when none improved for `patience`."""

    def __init__(self, validation: Validation, patience: int, heads: Tensor) -> None:
        self.validation = validation
        self.patience = patience
        self.best = torch.full((heads.shape[0],), -1.0, device=heads.device)
        self.stale = torch.zeros(heads.shape[0], dtype=torch.long, device=heads.device)
        self.kept = heads.clone()

    def update(self, heads: Tensor) -> bool:
        right = predict(heads, self.validation.features) == self.validation.labels
        accuracy = right.float().mean(dim=1)
        running = self.stale < self.patience
        better = (accuracy > self.best) & running
        self.best = torch.where(better, accuracy, self.best)
        self.kept = torch.where(better[:, None, None], heads, self.kept)
        self.stale = torch.where(better, torch.zeros_like(self.stale), self.stale + 1)
        return bool((self.stale >= self.patience).all())


def train_heads(
    sets: list[TrainingViews],
    classes: int,
    spec: ProbeSettings,
    *,
    epochs: int,
    seeds: list[int],
    validation: Validation | None = None,
) -> Float[Tensor, "j c g"]:
    """Train one linear head for each pair of a set and a seed, as many as fit in one batched optimisation.

    Fresh head with W ~ N(0, head_std²) and b = 0; Adam without weight decay; learning rate
    `learning_rate × batch_size / 256` with cosine decay; cross-entropy.

    Args:
        sets: J training sets of equal size, one for each head.
        classes: C.
        spec: optimisation settings.
        epochs: passes over the images; every pass sees one round of views.
        seeds: J seeds: the head's initial weights, the order of rounds and of images.
        validation: where given and `spec.patience` > 0, heads are kept at their best epoch on it.

    Returns:
        Heads [J, C, F + 1]; the last column is the bias.
    """
    size = max(1, _WEIGHTS_AT_ONCE // (classes * (sets[0].features.shape[2] + 1)))
    parts = [slice(first, first + size) for first in range(0, len(seeds), size)]
    trained = [
        _train_at_once(sets[part], classes, spec, epochs=epochs, seeds=seeds[part], validation=validation)
        for part in parts
    ]
    return trained[0] if len(trained) == 1 else torch.cat(trained)


def _train_at_once(
    sets: list[TrainingViews],
    classes: int,
    spec: ProbeSettings,
    *,
    epochs: int,
    seeds: list[int],
    validation: Validation | None,
) -> Float[Tensor, "j c g"]:
    """:func:`train_heads` for heads that fit into memory together."""
    device = sets[0].features.device
    generators = [named_generator(seed, "probe") for seed in seeds]
    count, width = sets[0].features.shape[1:]
    heads = torch.stack(
        [torch.randn(classes, width + 1, generator=g) * spec.head_std for g in generators]
    ).to(device)
    heads[:, :, -1] = 0
    rate = spec.learning_rate * spec.batch_size / 256
    optimizer = torch.optim.Adam([heads], lr=rate, fused=True)
    batches = math.ceil(count / spec.batch_size)
    stopping = None
    if validation is not None and spec.patience > 0:
        stopping = _EarlyStopping(validation, spec.patience, heads)
    pool = _Pool.of(sets)
    for epoch, (rounds, order) in enumerate(_epochs(pool, epochs, generators, shuffled=batches > 1)):
        for number in range(batches):
            chosen = order[:, number * spec.batch_size : (number + 1) * spec.batch_size]
            optimizer.param_groups[0]["lr"] = _schedule(rate, epoch * batches + number, epochs * batches)
            heads.grad = _gradient(heads, *pool.batch(rounds, chosen))
            optimizer.step()
        if stopping is not None and stopping.update(heads):
            break
    return heads if stopping is None else stopping.kept


@dataclass(frozen=True)
class _Pool:
    """All training sets as one table of rows, where a set that several heads share stands once.

    Attributes:
        features: [S · V · n, F], S different sets of V rounds.
        labels: [S · n].
        owner: [2, J], number and first row of the set that each head trains on.
        rounds: V of every head's set.
        count: n.
    """

    features: Float[Tensor, "r f"]
    labels: Int[Tensor, " q"]
    owner: Int[Tensor, "2 j"]
    rounds: list[int]
    count: int

    @classmethod
    def of(cls, sets: list[TrainingViews]) -> _Pool:
        """The table for one set per head; a single set is used where it is, without a copy."""
        distinct = list({id(one): one for one in sets}.values())
        place = {id(one): number for number, one in enumerate(distinct)}
        features = [one.features.flatten(0, 1) for one in distinct]
        device = sets[0].features.device
        starts = torch.tensor([0, *[len(rows) for rows in features[:-1]]]).cumsum(0)
        owner = torch.tensor([place[id(one)] for one in sets])
        return cls(
            features=torch.cat(features) if len(features) > 1 else features[0],
            labels=torch.cat([one.labels for one in distinct]),
            owner=torch.stack([owner, starts[owner]]).to(device),
            rounds=[one.features.shape[0] for one in sets],
            count=sets[0].features.shape[1],
        )

    def batch(
        self, rounds: Int[Tensor, " j"], chosen: Int[Tensor, "j b"]
    ) -> tuple[Float[Tensor, "j b f"], Int[Tensor, "j b"]]:
        """Features and labels of the `chosen` images of every head's set, in the given round of views."""
        number, start = self.owner
        rows = (start + rounds * self.count)[:, None] + chosen
        features = self.features.index_select(0, rows.flatten()).reshape(*rows.shape, -1)
        return features, self.labels[(number * self.count)[:, None] + chosen]


def _epochs(
    pool: _Pool, epochs: int, generators: list[torch.Generator], *, shuffled: bool
) -> Iterator[tuple[Int[Tensor, " j"], Int[Tensor, "j n"]]]:
    """For every epoch the round of views and the order of images of every head.

    Where one batch holds all images their order changes nothing, and is not drawn.
    """
    device = pool.features.device
    pairs = zip(pool.rounds, generators, strict=True)
    rounds = torch.stack([_epoch_rounds(count, epochs, g) for count, g in pairs], dim=1).to(device)
    order = torch.arange(pool.count, device=device).expand(len(generators), -1)
    for turn in rounds:
        if shuffled:
            order = torch.stack([torch.randperm(pool.count, generator=g) for g in generators])
            order = upload(order, device)
        yield turn, order


def _gradient(
    heads: Float[Tensor, "j c g"], features: Float[Tensor, "j b f"], labels: Int[Tensor, "j b"]
) -> Float[Tensor, "j c g"]:
    """Gradient of every head's mean cross-entropy: (softmax - Y)ᵀ [Z, 1] / b."""
    logits = torch.baddbmm(heads[:, None, :, -1], features, heads[:, :, :-1].mT)
    residual = logits.softmax(dim=-1)
    residual.scatter_add_(-1, labels[..., None], residual.new_full((1, 1, 1), -1.0).expand(*labels.shape, 1))
    residual /= features.shape[1]
    return torch.cat([residual.mT @ features, residual.sum(dim=1)[..., None]], dim=-1)
