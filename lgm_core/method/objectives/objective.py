"""What every objective is: a loss that sees the synthetic views only through a sum over them.

With S = Σ_views s(z, y) and A = ∂L/∂S, a view's part of the pixels' gradient is ∂⟨A, s(z, y)⟩/∂pixels. So a
step needs one pass for S and one for the gradient, in micro-batches and over ranks as memory asks for it,
whatever the objective is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.foundation.ranks import ALONE, Ranks
from lgm_core.foundation.seeds import named_generator
from lgm_core.method.real import RealBank
from lgm_core.settings.method import MethodSettings


@runtime_checkable
class Objective(Protocol):
    """What one step compares the synthetic views with."""

    def statistic(self, features: Float[Tensor, "v f"], labels: Int[Tensor, " v"]) -> Tensor:
        """What some views add to S; all views of the step add up to it.

        Args:
            features: z of the views, [v, F].
            labels: y, the class of each, or its slot.
        """
        ...

    def loss(self, statistic: Tensor) -> Float[Tensor, ""]:
        """L of the whole S."""
        ...

    def direction(self, statistic: Tensor) -> tuple[Float[Tensor, ""], Tensor]:
        """L, and ∂L/∂S in the statistic's shape; both without a graph."""
        ...


@dataclass(frozen=True)
class Real:
    """The real side of one backbone's objective, and what names its draws.

    Attributes:
        bank: on the device to use.
        method: every setting.
        seed: root of the draws.
        tag: of the backbone, where several distil together; empty for one alone.
        ranks: who shares the work on the bank.
    """

    bank: RealBank
    method: MethodSettings
    seed: int
    tag: str = ""
    ranks: Ranks = ALONE

    @property
    def views(self) -> int:
        """Synthetic views of a whole step, of all ranks together."""
        return self.method.view_count(len(self.bank.classes))

    def generator(self, *names: str | int, device: torch.device) -> torch.Generator:
        """The generator of some draws."""
        return named_generator(self.seed, *names, *filter(None, [self.tag]), device=device)

    def batch(self, step: int) -> tuple[Float[Tensor, "b f"], Int[Tensor, " b"]]:
        """The real views of a step and what they are labelled with, equal on all ranks."""
        return self.bank.batch(self.method, self.generator("real", step, device=torch.device("cpu")))


@runtime_checkable
class RealSide(Protocol):
    """What an objective keeps of the real images from step to step."""

    def at(self, step: int, device: torch.device) -> Objective:
        """The objective of update number `step`, for features on a device."""
        ...


def by_autograd(
    loss: Callable[[Tensor], Float[Tensor, ""]], statistic: Tensor
) -> tuple[Float[Tensor, ""], Tensor]:
    """A loss and its gradient with respect to the statistic."""
    leaf = statistic.detach().requires_grad_()
    value = loss(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient
