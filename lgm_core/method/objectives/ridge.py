"""`ridge`: a probe in closed form on the synthetic views is to classify real features (CLP-DD).

Rows of Z are features divided by the real ones' mean norm, with a constant 1 appended; Z_r are real ones.

    W = (ZᵀZ + λI)⁻¹ ZᵀY,   L = cross-entropy of (Z_r W) / τ,   λ = l₀ · tr(ZᵀZ) / n.

With G = Z_rᵀ(P - Y_r) / (B τ) = ∂L/∂W and U = (ZᵀZ + λI)⁻¹ G,

    ∂L/∂(ZᵀY) = U,   ∂L/∂(ZᵀZ) = -½ (U Wᵀ + W Uᵀ),   hence ∂L/∂Z = (Y - Z W) Uᵀ - (Z U) Wᵀ.

λ and τ count as constants. Source: CLP-DD, arXiv 2605.07194, whose λ, τ and normalisation are not published.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from lgm_core.method.objectives.objective import Real

_HALVINGS = 40
_SHARPNESS = (-4.0, 6.0)
"""Powers of ten between which 1/τ is sought; logits are of the order of 1."""


@dataclass(frozen=True)
class RidgeProbe:
    """The real features that the probe is to classify.

    Attributes:
        features: [B, F], as they are cached.
        labels: [B].
        classes: C.
        norm: mean norm of the real features.
        views: n, synthetic views of the step.
        penalty: l₀.
        temperature: τ; 0 for the best one.
    """

    features: Float[Tensor, "b f"]
    labels: Int[Tensor, " b"]
    classes: int
    norm: float
    views: int
    penalty: float
    temperature: float

    def statistic(self, features: Float[Tensor, "v f"], labels: Int[Tensor, " v"]) -> Float[Tensor, "g h"]:
        """What some views add to [ZᵀZ | ZᵀY], [F + 1, F + 1 + C]."""
        rows = functional.pad(features / self.norm, (0, 1), value=1.0)
        targets = functional.one_hot(labels, self.classes).to(rows.dtype)
        return rows.mT @ torch.cat([rows, targets], dim=1)

    def _solved(self, statistic: Float[Tensor, "g h"]) -> tuple[Float[Tensor, "g c"], Float[Tensor, "g g"]]:
        """W, and the Cholesky factor of ZᵀZ + λI."""
        gram = statistic[:, : -self.classes]
        size = self.penalty * gram.detach().diagonal().sum() / self.views
        identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        factor = torch.linalg.cholesky(gram + size * identity)
        return torch.cholesky_solve(statistic[:, -self.classes :], factor), factor

    def _logits(self, weights: Float[Tensor, "g c"]) -> Float[Tensor, "b c"]:
        """Z_r W, and divided by τ."""
        logits = torch.addmm(weights[-1], self.features, weights[:-1] / self.norm)
        if self.temperature:
            return logits / self.temperature
        return logits * best_sharpness(logits.detach(), self.labels)

    def loss(self, statistic: Float[Tensor, "g h"]) -> Float[Tensor, ""]:
        """Cross-entropy of the probe on the real features."""
        return functional.cross_entropy(self._logits(self._solved(statistic)[0]), self.labels)

    def direction(self, statistic: Float[Tensor, "g h"]) -> tuple[Float[Tensor, ""], Float[Tensor, "g h"]]:
        """∂L/∂[ZᵀZ | ZᵀY] in closed form."""
        weights, factor = self._solved(statistic)
        unscaled = torch.addmm(weights[-1], self.features, weights[:-1] / self.norm)
        sharpness = 1 / self.temperature if self.temperature else best_sharpness(unscaled, self.labels)
        logits = unscaled * sharpness
        residual = logits.softmax(dim=1) - functional.one_hot(self.labels, self.classes).to(logits.dtype)
        residual = residual * sharpness / len(residual)
        outer = torch.cat([self.features.mT @ residual / self.norm, residual.sum(dim=0)[None]])
        dual = torch.cholesky_solve(outer, factor)
        product = dual @ weights.mT
        loss = functional.cross_entropy(logits, self.labels)
        return loss, torch.cat([-(product + product.mT) / 2, dual], dim=1)


def best_sharpness(logits: Float[Tensor, "b c"], labels: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """The 1/τ at which the cross-entropy of logits/τ is lowest, without a graph.

    Cross-entropy is convex in 1/τ, so the sign of its derivative, mean(Σ_c P_c a_c - a_y), says on which side
    the best value lies; halved on a logarithmic scale between bounds that no logits of a probe reach.
    """
    own = logits.gather(1, labels[:, None])[:, 0]
    low, high = (torch.tensor(bound, dtype=logits.dtype, device=logits.device) for bound in _SHARPNESS)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        shares = (logits * 10**middle).softmax(dim=1)
        rising = ((shares * logits).sum(dim=1) - own).mean() > 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return 10 ** ((low + high) / 2)


class RidgeSide:
    """A batch of real features for every step, and their mean norm, computed once."""

    def __init__(self, real: Real) -> None:
        self.real = real
        self._norm = real.bank.views.norm(dim=-1).mean().item()

    def at(self, step: int, device: torch.device) -> RidgeProbe:
        """The real batch of a step."""
        features, labels = (part.to(device) for part in self.real.batch(step))
        method = self.real.method
        assert isinstance(method.ridge_penalty, float) and isinstance(method.ridge_temperature, float)
        return RidgeProbe(
            features,
            labels,
            self.real.bank.outputs,
            self._norm,
            self.real.views,
            method.ridge_penalty,
            method.ridge_temperature,
        )
