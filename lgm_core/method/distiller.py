"""Linear Gradient Matching: the loop that turns random pyramids into one image per class (write-up §3).

Each step renders the images, makes K views of each, runs them through the frozen backbone, and compares the
closed-form gradient of M random heads on those features with the gradient on cached real features. Only one
ordinary backward pass goes through the backbone, in micro-batches where memory asks for it (synthesis).

Several processes share a run by images: a rank renders and updates its own, and all that the ranks exchange
is their part of the heads' gradient, M × C × (F + 1) numbers. All draws are named by step, image and view,
not by process, so the result is that of one process.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lgm_core.distilled import DistilledSet
from lgm_core.features.augment import draw_for
from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.microbatch import Backoff, fitting_views
from lgm_core.foundation.ranks import ALONE, Ranks
from lgm_core.foundation.seeds import named_generator
from lgm_core.method.gradients import Heads, draw_heads, matching_loss
from lgm_core.method.pyramid import SyntheticImages
from lgm_core.method.real import RealBank, real_gradient
from lgm_core.method.synthetic import Synthesis, SyntheticViews
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

Progress = Callable[[int, float], None]

_STEPS_AT_ONCE = 20
"""Steps between two looks at the losses on a GPU, which make the host wait for it."""
_EXPLODED = 1e4
"""A pixel's argument of the sigmoid that only runaway steps reach."""


@dataclass
class DistillState:
    """Everything a run needs to go on: with the settings and the seed it determines all that follows."""

    images: SyntheticImages
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {
            "indices": self.images.indices,
            "step": self.step,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "levels": [level.detach().clone() for level in self.images.levels],
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
        }


def learning_rate(method: MethodSettings, step: int) -> float:
    """Learning rate of update number `step`, counted from 0: constant, or a half cosine down to 0."""
    if method.learning_rate_schedule == "constant":
        return method.learning_rate
    return method.learning_rate * 0.5 * (1 + math.cos(math.pi * step / method.steps))


def make_optimizer(method: MethodSettings, levels: list[Tensor]) -> torch.optim.Optimizer:
    """A fresh optimiser over the levels; growth resets its state by making a new one."""
    if method.optimizer == "sgd":
        return torch.optim.SGD(levels, lr=method.learning_rate)
    return torch.optim.Adam(levels, lr=method.learning_rate)


class Distiller:
    """Distils one data set under one backbone.

    Args:
        backbone: φ, frozen, on the device to use.
        bank: cached real features under the same backbone.
        method: every setting.
        seed: root of all draws.
        micro_batch: most views in the backbone at once; None: as many as fit into memory. Changes memory,
            not the result.
        ranks: the processes that share the run; each owns consecutive images.

    Raises:
        InputError: if there are more ranks than images.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        bank: RealBank,
        method: MethodSettings,
        *,
        seed: int,
        micro_batch: int | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.backbone = backbone
        self.method = method
        self.seed = seed
        self.ranks = ranks
        self.device = backbone.device
        self.bank = bank.to(self.device)
        self.count = len(bank.classes) * method.ipc
        own = ranks.share(self.count)
        if len(own) == 0:
            allowed = f"at most {self.count}, the number of synthetic images, which ranks share"
            raise SettingError("ranks", ranks.world, allowed)
        self.labels = torch.arange(len(bank.classes)).repeat_interleave(method.ipc)
        self.view_labels = self.labels[own.start : own.stop].repeat_interleave(method.aug_rounds)
        self.view_labels = self.view_labels.to(self.device)
        self.backoff = Backoff(micro_batch) if micro_batch else None
        images = SyntheticImages(list(own), method, seed, self.device)
        self.state = DistillState(images, make_optimizer(method, images.levels))

    def load_state(self, saved: dict[str, Any]) -> None:
        """Go on from what :meth:`DistillState.state_dict` returned on the same rank of as many.

        Raises:
            InputError: if it is the state of other images.
        """
        state = self.state
        if saved["indices"] != state.images.indices:
            raise InputError(
                "The saved state is of other images: it was written by another number of processes. "
                "Use as many as before, or start over."
            )
        state.step = saved["step"]
        state.losses = saved["losses"].tolist()
        state.images.levels = [level.to(self.device).clone().requires_grad_() for level in saved["levels"]]
        state.optimizer = make_optimizer(self.method, state.images.levels)
        state.optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))

    def _heads_and_target(self) -> tuple[Heads, Float[Tensor, "m c g"]]:
        """The step's random heads and G_real under them, equal on all ranks."""
        method = self.method
        bank = self.bank
        step = self.state.step
        heads = draw_heads(
            method.head_draws,
            len(bank.classes),
            bank.views.shape[2],
            init=method.head_init,
            std=method.head_std,
            generator=named_generator(self.seed, "heads", step, device=self.device),
        )
        generator = named_generator(self.seed, "real", step, device=bank.views.device)
        features, labels = bank.batch(method, generator)
        return heads, real_gradient(
            features, labels, heads, include_bias=method.include_bias, ranks=self.ranks
        )

    def _views(self, pixels: Float[Tensor, "n 3 r r"]) -> SyntheticViews:
        """Views of the own images: drawn for all images, so that the draws do not depend on the ranks."""
        method = self.method
        own = self.ranks.share(self.count)
        generator = named_generator(self.seed, "views", self.state.step)
        draws = draw_for(method.augment, method.view_count(len(self.bank.classes)), generator)
        if draws is not None:
            draws = draws.part(own.start * method.aug_rounds, own.stop * method.aug_rounds)
        return SyntheticViews(pixels, self.view_labels, draws, method)

    def _sized(self, synthesis: Synthesis) -> Backoff:
        """The micro-batch, found at the first step where none was given."""
        if self.backoff is None:
            views = fitting_views(
                lambda count: synthesis.gradient(0, count),
                len(synthesis.views),
                self.device,
                processes=self.ranks.world,
            )
            self.backoff = Backoff(views)
        return self.backoff

    def _pixel_gradient(self, pixels: Float[Tensor, "n 3 r r"]) -> tuple[Tensor, Tensor]:
        """∂L/∂pixels of the own images, and L; changes no state but the micro-batch."""
        heads, real = self._heads_and_target()
        total = self.method.view_count(len(self.bank.classes))
        synthesis = Synthesis(self.backbone, self._views(pixels), heads, total)
        backoff = self._sized(synthesis)
        pending = backoff.run(synthesis.forward)
        synthetic = self.ranks.sum(pending.value).requires_grad_()
        loss = matching_loss(real, synthetic)
        (direction,) = torch.autograd.grad(loss, synthetic)
        gradient = backoff.run(lambda views: synthesis.backward(pending, direction, views))
        return gradient, loss.detach()

    def step(self) -> Tensor:
        """One update of the own images; the loss before it, equal on all ranks, on the device."""
        state = self.state
        method = self.method
        if state.images.due(state.step):
            state.images.grow()
            state.optimizer = make_optimizer(method, state.images.levels)
        rendered = state.images.render()
        gradient, loss = self._pixel_gradient(rendered.detach().requires_grad_())
        state.optimizer.zero_grad(set_to_none=True)
        rendered.backward(gradient)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(method, state.step)
        state.optimizer.step()
        state.step += 1
        return loss

    def _blocks(self) -> Iterator[list[tuple[int, float]]]:
        """Run to the end; yields blocks of (step number, loss), all finite, with the state after the last."""
        size = _STEPS_AT_ONCE if self.device.type == "cuda" else 1
        while self.state.step < self.method.steps:
            first = self.state.step
            count = min(size, self.method.steps - first)
            losses = torch.stack([self.step() for _ in range(count)]).tolist()
            for number, loss in enumerate(losses, first):
                if not math.isfinite(loss):
                    raise InputError(
                        f"The loss became {loss} at step {number} (learning rate "
                        f"{learning_rate(self.method, number):g}). Lower learning_rate."
                    )
            self._check_size(first + count)
            self.state.losses.extend(losses)
            yield list(enumerate(losses, first))

    def _check_size(self, step: int) -> None:
        """Stop where steps have thrown the images so far out that no gradient brings them back."""
        largest = max(level.detach().abs().max().item() for level in self.state.images.levels)
        if not largest <= _EXPLODED:
            raise InputError(
                f"The images exploded before step {step}: a level reached {largest:g}, and from "
                f"±10 on pixels are black or white (learning rate {learning_rate(self.method, step - 1):g}). "
                "Lower learning_rate."
            )

    def run(
        self, progress: Progress = lambda step, loss: None, keep: Callable[[], None] = lambda: None
    ) -> DistilledSet:
        """Run all remaining steps.

        Args:
            progress: told the number and the loss of every step.
            keep: called now and then between two steps, when the state is whole.

        Returns:
            All images on rank 0; on the others only their own, with all labels.

        Raises:
            InputError: if the loss stops being finite.
        """
        for block in self._blocks():
            for number, loss in block:
                progress(number, loss)
            keep()
        with torch.no_grad():
            images = self.ranks.gather(self.state.images.render(), self.ranks.counts(self.count))
        return DistilledSet(images, self.labels, self.bank.classes, losses=tuple(self.state.losses))
