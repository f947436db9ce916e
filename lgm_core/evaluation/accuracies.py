"""Accuracies: of linear heads, by class and group, of nearest neighbours and of class means; in percent."""

from __future__ import annotations

import math
from statistics import fmean, pstdev

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

_TOP5 = 5
_SCORES_AT_ONCE = 2**26
"""Bound on the scores of one product, samples × classes, so that neither makes it outgrow memory."""


def scores(heads: Float[Tensor, "j c g"], features: Float[Tensor, "n f"]) -> Float[Tensor, "j n c"]:
    """Logits of every head for every sample."""
    return torch.einsum("nf,jcf->jnc", features, heads[:, :, :-1]) + heads[:, None, :, -1]


def _parts(samples: Tensor, others: int) -> tuple[Tensor, ...]:
    """The samples in parts that may be compared with so many others at once."""
    return samples.split(max(1, _SCORES_AT_ONCE // max(1, others)))


def predict(heads: Float[Tensor, "j c g"], features: Float[Tensor, "n f"]) -> Int[Tensor, "j n"]:
    """The class that every head gives every sample."""
    parts = _parts(features, heads.shape[1])
    return torch.stack(
        [torch.cat([scores(head[None], part)[0].argmax(dim=-1) for part in parts]) for head in heads]
    )


def top_k_percent(
    heads: Float[Tensor, "j c g"],
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    k: int,
) -> list[float]:
    """Share of samples whose class is among the k highest scores, in percent, for every head."""
    hits = []
    parts = _parts(features, heads.shape[1])
    for head in heads:
        best = torch.cat([scores(head[None], part)[0].topk(k, dim=-1).indices for part in parts])
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


def class_accuracies(
    predicted: Int[Tensor, "j n"], labels: Int[Tensor, " n"], classes: int
) -> list[float | None]:
    """Share of every class's samples that is right, in percent: the mean over heads; None without samples."""
    right = (predicted == labels).double().mean(dim=0) * 100
    found = [right[labels == label] for label in range(classes)]
    return [round(of.mean().item(), 2) if len(of) else None for of in found]


def in_words(accuracies: dict[str, list[float]]) -> list[str]:
    """A line for every measure: its mean in percent, ± the standard deviation over several runs."""
    lines = []
    for measure, runs in accuracies.items():
        spread = f" ± {pstdev(runs):.2f} over {len(runs)} runs" if len(runs) > 1 else ""
        lines.append(f"{measure:17} {fmean(runs):.2f} %{spread}")
    return lines


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
    images = functional.normalize(gallery, dim=1).T
    parts = _parts(functional.normalize(queries, dim=1), len(gallery))
    found = gallery_labels[torch.cat([(part @ images).argmax(dim=1) for part in parts])]
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
    found = torch.cat([torch.cdist(part, means).argmin(dim=1) for part in _parts(test, classes)])
    return (found == test_labels).double().mean().item() * 100
