"""`means`: class means of synthetic features are to lie to each other as those of real ones (SFM).

With S̄_c the mean over the views of class c and μ_c the mean over all cached real views of it,

    L = 1 - cos(S̄_c - mean_c S̄_c, μ_c - mean_c μ_c),   one cosine over all C · F numbers.

This is `gradient` in the limit of heads that are zero, on a bank with as many images of every class and
without a bias: there softmax is 1/C, and G_c = (mean z - S̄_c) / C. Source: SFM, arXiv 2602.05391. Its
published code divides the mean over the classes by the number of images less one, which is wrong for more
than one image per class; here it is divided by C.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.method.objectives.objective import Real

_SMALLEST_NORM = 1e-8
"""As torch's cosine has it."""


def centered(means: Float[Tensor, "c f"]) -> Float[Tensor, "c f"]:
    """Class means less their mean."""
    return means - means.mean(dim=0)


@dataclass(frozen=True)
class MeansMatching:
    """The real class means.

    Attributes:
        real: μ_c less their mean, [C, F].
        each: synthetic views of every class in a step.
    """

    real: Float[Tensor, "c f"]
    each: int

    def statistic(self, features: Float[Tensor, "v f"], labels: Int[Tensor, " v"]) -> Float[Tensor, "c f"]:
        """What some views add to the class means S̄."""
        targets = functional.one_hot(labels, len(self.real)).mT.to(features.dtype)
        return targets @ features / self.each

    def loss(self, statistic: Float[Tensor, "c f"]) -> Float[Tensor, ""]:
        """1 - cos of the two, flattened."""
        synthetic = centered(statistic).flatten()
        return 1 - functional.cosine_similarity(self.real.flatten(), synthetic, dim=0, eps=_SMALLEST_NORM)

    def direction(self, statistic: Float[Tensor, "c f"]) -> tuple[Float[Tensor, ""], Float[Tensor, "c f"]]:
        """∂L/∂S̄ in closed form.

        With u = S̄ less its mean and v the real means, û and v̂ of unit length: ∂L/∂u = -(v̂ - cos · û) / |u|,
        which is centred already, as u and v are.
        """
        synthetic = centered(statistic)
        norm = synthetic.norm().clamp_min(_SMALLEST_NORM)
        ours = synthetic / norm
        theirs = self.real / self.real.norm().clamp_min(_SMALLEST_NORM)
        cosine = (ours * theirs).sum()
        return 1 - cosine, -(theirs - cosine * ours) / norm


class MeansSide:
    """The class means of the bank, computed once."""

    def __init__(self, real: Real) -> None:
        self.real = real
        self._known: Float[Tensor, "c f"] | None = None

    def at(self, step: int, device: torch.device) -> MeansMatching:
        """The same in every step."""
        bank = self.real.bank
        if self._known is None:
            self._known = centered(bank.means()).to(device, bank.views.dtype)
        return MeansMatching(self._known, self.real.views // bank.outputs)
