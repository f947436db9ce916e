"""The real side of a step: cached features of real images, and the heads' gradient on them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.features.cache import FeatureCache
from lgm_core.foundation.errors import SettingError
from lgm_core.foundation.microbatch import free_bytes
from lgm_core.foundation.ranks import ALONE, Ranks
from lgm_core.foundation.transfer import upload
from lgm_core.method.gradients import Heads, head_gradient
from lgm_core.settings.method import AS_MANY_AS_VIEWS, NO_AUGMENTATION, WHOLE_BANK, MethodSettings

Batch = tuple[Float[Tensor, "b f"], Int[Tensor, " b"]]
"""Features and what the objective labels them with."""

_LOGITS_AT_ONCE = 2**26
"""Bound on the logits of one product, images × heads × classes, so that a large bank fits beside them."""


@dataclass(frozen=True)
class RealBank:
    """Cached real features for the real gradient.

    Attributes:
        views: [R, N, F], R augmentation rounds.
        labels: [N].
        classes: C class names.
        slots: [N], the cluster that every image belongs to, numbered class by class; None where images stand
            for their whole class.
    """

    views: Float[Tensor, "r n f"]
    labels: Int[Tensor, " n"]
    classes: tuple[str, ...]
    slots: Int[Tensor, " n"] | None = None

    @property
    def targets(self) -> Int[Tensor, " n"]:
        """What the objective labels every image with: its class, or its slot."""
        return self.labels if self.slots is None else self.slots

    @property
    def outputs(self) -> int:
        """How many different targets there are."""
        return len(self.classes) if self.slots is None else int(self.slots.max()) + 1

    def whole(self) -> Batch:
        """Every image in every round."""
        return self.views.flatten(0, 1), self.targets.repeat(len(self.views))

    def means(self) -> Float[Tensor, "c f"]:
        """The mean over all views of every target, in double precision."""
        shape = (self.outputs, self.views.shape[2])
        sums = torch.zeros(shape, dtype=torch.float64, device=self.views.device)
        for views in self.views:
            sums.index_add_(0, self.targets, views.double())
        return sums / (len(self.views) * self.targets.bincount(minlength=self.outputs))[:, None]

    def to(self, device: torch.device | str) -> RealBank:
        """The same bank on a device; it stays on the CPU where it would take more than half of a GPU."""
        target = torch.device(device)
        if target.type == "cuda" and self.views.nbytes > free_bytes(target) / 2:
            return self
        slots = None if self.slots is None else self.slots.to(target)
        return RealBank(self.views.to(target), self.labels.to(target), self.classes, slots)

    def batch(self, method: MethodSettings, generator: torch.Generator) -> Batch:
        """The real side of a step, of the size that `method.real_batch` says.

        Args:
            method: `all` is every image in every round, a number as many different images, `views` as many
                views as the step has of synthetic images.
            generator: on the CPU, so that the same images are drawn wherever the bank lies.

        Raises:
            InputError: if a number was asked for that is larger than that of the images.
        """
        count = self.views.shape[1]
        size = method.real_batch
        if size == WHOLE_BANK:
            return self.whole()
        if size == AS_MANY_AS_VIEWS:
            return self._drawn(method.view_count(len(self.classes)), generator)
        if not isinstance(size, int) or size > count:
            words = f"{WHOLE_BANK!r}, or {AS_MANY_AS_VIEWS!r}"
            allowed = f"up to {count}, the number of training images, or {words}"
            raise SettingError("real_batch", size, allowed)
        return self._drawn(size, generator)

    def _drawn(self, size: int, generator: torch.Generator) -> Batch:
        """Images in random order, each in a random round; they come again only after all of them came."""
        rounds, count, _ = self.views.shape
        passes = -(-size // count)
        orders = [torch.randperm(count, generator=generator) for _ in range(passes)]
        chosen = upload(torch.cat(orders)[:size], self.views.device)
        which = upload(torch.randint(rounds, (size,), generator=generator), self.views.device)
        return self.views[which, chosen], self.targets[chosen]


@torch.no_grad()
def real_gradient(
    features: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    heads: Heads,
    *,
    include_bias: bool,
    ranks: Ranks = ALONE,
) -> Float[Tensor, "m c g"]:
    """G_real over a batch, in bounded memory; every rank takes a part of the batch.

    Args:
        features: [n, F], the same on all ranks; on the heads' device or on the CPU.
        labels: [n].
        heads: weights [M, C, F] and biases [M, C].
        include_bias: whether the bias's gradient is the last column.
        ranks: who shares the work.
    """
    draws, classes, _ = heads[0].shape
    own = ranks.share(len(features))
    step = max(1, _LOGITS_AT_ONCE // (draws * classes))
    total = torch.zeros(())
    for start in range(own.start, max(own.stop, own.start + 1), step):
        part = slice(start, min(start + step, own.stop))
        images, classes_of = (upload(value[part], heads[0].device) for value in (features, labels))
        gradient = head_gradient(images, classes_of, heads, include_bias=include_bias, count=len(features))
        total = gradient if start == own.start else total.add_(gradient)
    return ranks.sum(total)


def real_bank(
    cache: FeatureCache, method: MethodSettings, slots: Int[Tensor, " n"] | None = None
) -> RealBank:
    """The real side of `method`: augmented views, or the centre views where it does not augment.

    Args:
        cache: features of the data set.
        method: every setting.
        slots: the cluster of every training image, where images stand for clusters.
    """
    views = cache.train[None] if method.augment == NO_AUGMENTATION else cache.real_views
    return RealBank(views, cache.train_labels, cache.classes, slots)
