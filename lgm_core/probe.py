"""Evaluation: linear probes, nearest neighbour, and the ceilings they are compared with (write-up A.3).

Many small heads (seeds, training sets) are trained at once as one batched problem: they share the test set,
the schedule and the optimiser's arithmetic, which works element by element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.memory import upload
from lgm_core.seeds import named_generator
from lgm_core.specs import ProbeSpec

_TOP5 = 5
_RIDGE_PENALTIES = tuple(10.0**power for power in range(-4, 5))


@dataclass(frozen=True)
class TrainingViews:
    """Training views of one set.

    Attributes:
        features: [V, n, F], V rounds of augmented views of n images.
        labels: [n].
    """

    features: Float[Tensor, "v n f"]
    labels: Int[Tensor, " n"]


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
    features: Float[Tensor, "n f"], labels: Int[Tensor, " n"], spec: ProbeSpec, seed: int
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
        self.validation, self.patience = validation, patience
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
    spec: ProbeSpec,
    *,
    epochs: int,
    seeds: list[int],
    validation: Validation | None = None,
) -> Float[Tensor, "j c g"]:
    """Train one linear head for each pair of a set and a seed, all in one batched optimisation.

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


def scores(heads: Float[Tensor, "j c g"], features: Float[Tensor, "n f"]) -> Float[Tensor, "j n c"]:
    """Logits of every head for every sample."""
    return torch.einsum("nf,jcf->jnc", features, heads[:, :, :-1]) + heads[:, None, :, -1]


def predict(heads: Float[Tensor, "j c g"], features: Float[Tensor, "n f"]) -> Int[Tensor, "j n"]:
    """The class that every head gives every sample."""
    return torch.stack([scores(head[None], features)[0].argmax(dim=-1) for head in heads])


def top_k_percent(
    heads: Float[Tensor, "j c g"],
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    k: int,
) -> list[float]:
    """Share of samples whose class is among the k highest scores, in percent, for every head."""
    hits = []
    for head in heads:
        best = scores(head[None], features)[0].topk(k, dim=-1).indices
        hits.append((best == labels[:, None]).any(dim=1).double().mean().item() * 100)
    return hits


def accuracies(
    heads: Float[Tensor, "j c g"],
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    groups: Int[Tensor, " n"] | None = None,
) -> dict[str, list[float]]:
    """`top1` and, from five classes on, `top5`, `balanced` and `worst_group` of every head, in percent.

    Where there are no groups, each class is one.
    """
    ranks = {"top1": 1, "top5": _TOP5} if heads.shape[1] >= _TOP5 else {"top1": 1}
    found = {name: top_k_percent(heads, features, labels, k) for name, k in ranks.items()}
    by_group = [group_accuracies(given, labels, groups) for given in predict(heads, features)]
    return found | {name: [one[name] for one in by_group] for name in GROUP_MEASURES}


GROUP_MEASURES = ("balanced", "worst_group")


def group_accuracies(
    predicted: Int[Tensor, " n"], labels: Int[Tensor, " n"], groups: Int[Tensor, " n"] | None
) -> dict[str, float]:
    """Accuracy in percent where classes and groups count alike, however many samples they have.

    Where there are no groups, each class is one.

    Returns:
        `balanced`, the mean over the classes of each one's accuracy, and `worst_group`, the lowest accuracy
        of a group.
    """
    right = (predicted == labels).double() * 100
    groups = labels if groups is None else groups
    classes = [right[labels == label].mean().item() for label in labels.unique()]
    return {
        "balanced": math.fsum(classes) / len(classes),
        "worst_group": min(right[groups == group].mean().item() for group in groups.unique()),
    }


def majority_accuracies(
    train_labels: Int[Tensor, " n"], test_labels: Int[Tensor, " t"], test_groups: Int[Tensor, " t"] | None
) -> dict[str, float]:
    """What always answering the largest class of the training set scores, in percent."""
    answer = torch.full_like(test_labels, int(train_labels.bincount().argmax()))
    top1 = (answer == test_labels).double().mean().item() * 100
    return {"top1": top1, **group_accuracies(answer, test_labels, test_groups)}


def nearest_neighbor_percent(
    gallery: Float[Tensor, "k f"],
    gallery_labels: Int[Tensor, " k"],
    queries: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
) -> float:
    """1-NN accuracy in percent by cosine similarity."""
    similarity = functional.normalize(queries, dim=1) @ functional.normalize(gallery, dim=1).T
    found = gallery_labels[similarity.argmax(dim=1)]
    return (found == labels).double().mean().item() * 100


def nearest_class_mean_percent(
    train: Float[Tensor, "n f"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "t f"],
    test_labels: Int[Tensor, " t"],
) -> float:
    """Accuracy in percent of assigning every sample to the nearest (Euclidean) class mean."""
    classes = int(train_labels.max()) + 1
    means = torch.stack([train[train_labels == label].mean(dim=0) for label in range(classes)])
    found = torch.cdist(test, means).argmin(dim=1)
    return (found == test_labels).double().mean().item() * 100


def ridge_percent(
    train: Float[Tensor, "n f"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "t f"],
    test_labels: Int[Tensor, " t"],
    *,
    seed: int,
    holdout: float,
) -> float:
    """Accuracy in percent of ridge regression on one-hot targets; its penalty is chosen on held-out
    training samples, then all of them are used."""
    shuffled = torch.randperm(len(train), generator=named_generator(seed, "ridge")).to(train.device)
    held = max(1, int(len(train) * holdout))
    classes = int(train_labels.max()) + 1
    fit, check = shuffled[held:], shuffled[:held]
    accuracies = [
        _ridge_accuracy(train[fit], train_labels[fit], train[check], train_labels[check], classes, penalty)
        for penalty in _RIDGE_PENALTIES
    ]
    best = _RIDGE_PENALTIES[max(range(len(accuracies)), key=accuracies.__getitem__)]
    return _ridge_accuracy(train, train_labels, test, test_labels, classes, best) * 100


def _ridge_accuracy(
    train: Tensor, labels: Tensor, test: Tensor, test_labels: Tensor, classes: int, penalty: float
) -> float:
    """Centred ridge: W = (ZᵀZ/n + λ tr/F I)⁻¹ ZᵀY/n."""
    mean = train.mean(dim=0)
    centred = (train - mean).double()
    targets = functional.one_hot(labels, classes).double()
    gram = centred.T @ centred / len(train)
    identity = torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
    weights = torch.linalg.solve(
        gram + penalty * gram.diagonal().mean() * identity,
        centred.T @ (targets - targets.mean(dim=0)) / len(train),
    )
    logits = (test - mean).double() @ weights + targets.mean(dim=0)
    return (logits.argmax(dim=1) == test_labels).double().mean().item()
