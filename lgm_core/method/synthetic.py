"""The synthetic side of a step: views of the images, a statistic of them, and the way back to pixels.

The loss sees the images only through S = Σ_views s(view), a sum of one term per view, so with A = ∂L/∂S the
pixels' gradient is Σ_views ∂⟨A, s(view)⟩/∂pixels. Where all views fit into memory this is one forward and
one backward pass. Where they do not, S is first summed without a graph, and every
micro-batch is then made again from the same draws and back-propagated against A: exactly the same gradient,
at a peak of memory that depends neither on the number of views nor on the number of classes. The last
micro-batch keeps its graph, so that it need not be made again: it is a whole one, what remains comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.features.augment import Views, view
from lgm_core.method.objectives.objective import Objective
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings


@dataclass(frozen=True)
class SyntheticViews:
    """K views of every image, drawn but not yet made.

    Attributes:
        pixels: [n, 3, r, r], a leaf of the graph.
        labels: [n · K], image by image.
        draws: of the n · K views; None where augmentation is off.
        method: sizes, augmentation, K.
    """

    pixels: Float[Tensor, "n 3 r r"]
    labels: Int[Tensor, " v"]
    draws: Views | None
    method: MethodSettings

    def __len__(self) -> int:
        return self.labels.shape[0]

    def part(self, start: int, stop: int) -> Float[Tensor, "b 3 s s"]:
        """The views from `start` up to `stop`, differentiable in the pixels."""
        method = self.method
        rounds = self.method.aug_rounds
        first = start // rounds
        last = (stop - 1) // rounds + 1
        images = self.pixels[first:last, None].expand(-1, rounds, -1, -1, -1).flatten(0, 1)
        images = images[start - first * rounds : stop - first * rounds]
        draws = None if self.draws is None else self.draws.part(start, stop)
        return view(images, draws, method.input_size, method.augment)


Parts = list[tuple[int, int]]


def split(total: int, micro_batch: int) -> Parts:
    """Bounds of consecutive parts of `micro_batch` views, the first of what remains."""
    edges = [0, *range(total % micro_batch or min(micro_batch, total), total + 1, micro_batch)]
    return list(pairwise(edges))


@dataclass
class Pending:
    """A statistic summed over all views, of which the last part still hangs on its graph.

    Attributes:
        value: the sum, without a graph.
        last: the last part's share of it, with a graph; None once that is used up.
        rest: bounds of the other parts.
    """

    value: Tensor
    last: Tensor | None
    rest: Parts


@dataclass(frozen=True)
class Synthesis:
    """Views, backbone and objective of one step.

    Attributes:
        backbone: φ.
        views: of the images this process owns.
        objective: what is summed over them, and compared.
    """

    backbone: FrozenBackbone
    views: SyntheticViews
    objective: Objective

    def statistic(self, start: int, stop: int) -> Tensor:
        """What the views from `start` up to `stop` add to S, with a graph down to the pixels."""
        features = self.backbone(self.views.part(start, stop))
        return self.objective.statistic(features, self.views.labels[start:stop])

    def trial(self, count: int) -> None:
        """A forward and a backward pass of so many views, of which nothing stays."""
        torch.autograd.grad(self.statistic(0, count).sum(), self.views.pixels)

    def forward(self, micro_batch: int) -> Pending:
        """S of the own views."""
        *rest, final = split(len(self.views), micro_batch)
        value = None
        with torch.no_grad():
            for part in rest:
                statistic = self.statistic(*part)
                value = statistic if value is None else value.add_(statistic)
        last = self.statistic(*final)
        return Pending(last.detach() if value is None else value.add_(last.detach()), last, rest)

    def backward(self, pending: Pending, direction: Tensor, micro_batch: int) -> Float[Tensor, "n 3 r r"]:
        """The pixels' gradient along `direction` = ∂L/∂S.

        Uses up the graph that `pending` holds; called again, it makes every view again.
        """
        self.views.pixels.grad = None
        last, pending.last = pending.last, None
        parts = split(len(self.views), micro_batch) if last is None else pending.rest
        if last is not None:
            last.backward(direction)
            del last
        for part in parts:
            self.statistic(*part).backward(direction)
        assert self.views.pixels.grad is not None
        return self.views.pixels.grad
