"""`gradient`: the cross-entropy gradient of random linear heads, on synthetic and on real views (Eq. 1-3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.method.gradients import Heads, draw_heads, head_gradient, matching_loss
from lgm_core.method.objectives.objective import Real, by_autograd
from lgm_core.method.real import real_gradient


@dataclass(frozen=True)
class GradientMatching:
    """One step's heads, and the gradient that the real images give them.

    Attributes:
        heads: weights [M, C, F] and biases [M, C].
        real: G_real, [M, C, G].
        views: synthetic views of the step, which the mean is taken over.
        include_bias: whether the bias's gradient is the last column, G = F + 1; else G = F.
    """

    heads: Heads
    real: Float[Tensor, "m c g"]
    views: int
    include_bias: bool

    def statistic(self, features: Float[Tensor, "v f"], labels: Int[Tensor, " v"]) -> Float[Tensor, "m c g"]:
        """What some views add to G_syn."""
        return head_gradient(features, labels, self.heads, include_bias=self.include_bias, count=self.views)

    def loss(self, statistic: Float[Tensor, "m c g"]) -> Float[Tensor, ""]:
        """1 - cos, the mean over the heads (Eq. 3)."""
        return matching_loss(self.real, statistic)

    def direction(
        self, statistic: Float[Tensor, "m c g"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "m c g"]]:
        """The loss, and its gradient by autograd: the graph holds nothing but G_syn."""
        return by_autograd(self.loss, statistic)


class GradientSide:
    """Heads for every step: fresh ones, or a sample of a bank whose real gradients are known beforehand.

    The bank's real gradients are over all real views and are computed once: `head_bank` · C · G numbers.
    """

    def __init__(self, real: Real) -> None:
        self.real = real
        self._known: tuple[Heads, Float[Tensor, "h c g"]] | None = None

    def _drawn(self, count: int, *names: str | int, device: torch.device) -> Heads:
        method = self.real.method
        bank = self.real.bank
        return draw_heads(
            count,
            bank.outputs,
            bank.views.shape[2],
            init=method.head_init,
            std=method.head_std,
            generator=self.real.generator(*names, device=device),
        )

    def _gradient(
        self, heads: Heads, features: Float[Tensor, "b f"], labels: Int[Tensor, " b"]
    ) -> Float[Tensor, "m c g"]:
        include_bias = self.real.method.include_bias
        return real_gradient(features, labels, heads, include_bias=include_bias, ranks=self.real.ranks)

    def at(self, step: int, device: torch.device) -> GradientMatching:
        """The heads of a step and G_real under them, equal on all ranks."""
        method = self.real.method
        if method.head_bank:
            heads, gradient = self._sampled(step, device)
        else:
            heads = self._drawn(method.head_draws, "heads", step, device=device)
            gradient = self._gradient(heads, *self.real.batch(step))
        return GradientMatching(heads, gradient, self.real.views, method.include_bias)

    def _sampled(self, step: int, device: torch.device) -> tuple[Heads, Float[Tensor, "m c g"]]:
        """Different heads of the bank, in random order."""
        method = self.real.method
        if self._known is None:
            heads = self._drawn(method.head_bank, "head bank", device=device)
            self._known = heads, self._gradient(heads, *self.real.bank.whole())
        (weight, bias), gradient = self._known
        generator = self.real.generator("heads", step, device=torch.device("cpu"))
        chosen = torch.randperm(method.head_bank, generator=generator)[: method.head_draws].to(device)
        return (weight[chosen], bias[chosen]), gradient[chosen]
