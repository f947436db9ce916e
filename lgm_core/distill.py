"""Linear Gradient Matching: the loop that turns random pyramids into one image per class (write-up §3).

Each step renders the images, makes K views of each, runs them through the frozen backbone, and compares the
closed-form gradient of M random heads on those features with the gradient on cached real features. The loss
depends on the images only through the features Z, so the backward pass has two parts that meet at dLoss/dZ:
through the heads it is small arithmetic, through the backbone one ordinary pass. Where the views do not fit
into memory at once, Z is first computed without a graph, and every micro-batch is then made again from the
same draws and back-propagated; the result is the same gradient at a bounded peak of memory.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lgm_core.augment import Views, draw_for, view
from lgm_core.backbones import FrozenBackbone
from lgm_core.errors import InputError
from lgm_core.gradients import Heads, draw_heads, head_gradient, matching_loss
from lgm_core.pyramid import SyntheticImages
from lgm_core.seeds import named_generator
from lgm_core.specs import WHOLE_BANK, MethodSpec

Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class RealBank:
    """Cached real features for the real gradient.

    Attributes:
        views: [R, N, F], R augmentation rounds.
        labels: [N].
        classes: C.
    """

    views: Float[Tensor, "r n f"]
    labels: Int[Tensor, " n"]
    classes: int

    def to(self, device: torch.device | str) -> RealBank:
        """The same bank on a device."""
        return RealBank(self.views.to(device), self.labels.to(device), self.classes)

    def batch(
        self, size: int | str, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b f"], Int[Tensor, " b"]]:
        """`size` different images, each in a random round; or every image in every round.

        Raises:
            InputError: if fewer images exist than were asked for.
        """
        rounds, count, width = self.views.shape
        if size == WHOLE_BANK:
            return self.views.reshape(-1, width), self.labels.repeat(rounds)
        if not isinstance(size, int) or size > count:
            raise InputError(
                f"params.yaml: real_batch is {size}, but the data set has {count} training images; "
                f"allowed: up to {count}, or {WHOLE_BANK!r}."
            )
        device = self.views.device
        chosen = torch.randperm(count, generator=generator, device=device)[:size]
        which = torch.randint(rounds, (size,), generator=generator, device=device)
        return self.views[which, chosen], self.labels[chosen]


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
            "step": self.step,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "levels": [level.detach().clone() for level in self.images.levels],
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
        }


@dataclass(frozen=True)
class Distilled:
    """A distilled set.

    Attributes:
        images: [C · ipc, 3, r, r] in [0, 1], class by class.
        labels: [C · ipc].
        losses: loss before every update.
    """

    images: Float[Tensor, "n 3 r r"]
    labels: Int[Tensor, " n"]
    losses: list[float]


def learning_rate(method: MethodSpec, step: int) -> float:
    """Learning rate of update number `step`, counted from 0: constant, or a half cosine down to 0."""
    if method.learning_rate_schedule == "constant":
        return method.learning_rate
    return method.learning_rate * 0.5 * (1 + math.cos(math.pi * step / method.steps))


def make_optimizer(method: MethodSpec, levels: list[Tensor]) -> torch.optim.Optimizer:
    """A fresh optimiser over the levels; growth resets its state by making a new one."""
    if method.optimizer == "sgd":
        return torch.optim.SGD(levels, lr=method.learning_rate)
    return torch.optim.Adam(levels, lr=method.learning_rate)


class _Synthesis:
    """One step's views of the synthetic images: made, and made again, micro-batch by micro-batch."""

    def __init__(
        self,
        backbone: FrozenBackbone,
        method: MethodSpec,
        pixels: Float[Tensor, "n 3 r r"],
        draws: Views | None,
        micro_batch: int,
    ) -> None:
        self.backbone, self.method = backbone, method
        self.pixels, self.draws = pixels, draws
        rounds = method.aug_rounds
        self.sources = torch.arange(len(pixels), device=pixels.device).repeat_interleave(rounds)
        starts = range(0, len(self.sources), micro_batch)
        self.parts = [(start, min(start + micro_batch, len(self.sources))) for start in starts]

    def features(self, start: int, stop: int) -> Float[Tensor, "b f"]:
        """Features of the views from `start` up to `stop`, differentiable in the pixels."""
        draws = None if self.draws is None else self.draws.part(start, stop)
        images = self.pixels[self.sources[start:stop]]
        return self.backbone(view(images, draws, self.method.input_size, self.method.augment))

    def backward(self, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
        """Back-propagate `loss_of(Z)` into the pixels; the loss, detached."""
        if len(self.parts) == 1:
            loss = loss_of(self.features(*self.parts[0]))
            loss.backward()
            return loss.detach()
        with torch.no_grad():
            features = torch.cat([self.features(*part) for part in self.parts])
        loss = loss_of(features.requires_grad_())
        loss.backward()
        assert features.grad is not None
        for start, stop in self.parts:
            self.features(start, stop).backward(features.grad[start:stop])
        return loss.detach()


class Distiller:
    """Distils one data set under one backbone.

    Args:
        backbone: φ, frozen, on the device to use.
        bank: cached real features under the same backbone.
        method: every setting.
        seed: root of all draws.
        micro_batch: most views in the backbone at once; None: all of them. Changes memory, not the result.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        bank: RealBank,
        method: MethodSpec,
        *,
        seed: int,
        micro_batch: int | None = None,
    ) -> None:
        self.backbone, self.method, self.seed = backbone, method, seed
        self.device = backbone.device
        self.bank = bank.to(self.device)
        count = bank.classes * method.ipc
        self.labels = torch.arange(bank.classes, device=self.device).repeat_interleave(method.ipc)
        self.view_labels = self.labels.repeat_interleave(method.aug_rounds)
        self.micro_batch = micro_batch or count * method.aug_rounds
        images = SyntheticImages(list(range(count)), method, seed, self.device)
        self.state = DistillState(images, make_optimizer(method, images.levels))

    def load_state(self, saved: dict[str, Any]) -> None:
        """Go on from what :meth:`DistillState.state_dict` returned."""
        state = self.state
        state.step = saved["step"]
        state.losses = saved["losses"].tolist()
        state.images.levels = [level.to(self.device).clone().requires_grad_() for level in saved["levels"]]
        state.optimizer = make_optimizer(self.method, state.images.levels)
        state.optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))

    def _loss(self, features: Tensor, heads: Heads, real: Tensor) -> Tensor:
        synthetic = head_gradient(features, self.view_labels, heads, include_bias=self.method.include_bias)
        return matching_loss(real, synthetic)

    def step(self) -> Tensor:
        """One update of the images; the loss before it, on the device."""
        state, method = self.state, self.method
        if state.images.due(state.step):
            state.images.grow()
            state.optimizer = make_optimizer(method, state.images.levels)
        generator = named_generator(self.seed, "real and heads", state.step, device=self.device)
        heads = draw_heads(
            method.head_draws,
            self.bank.classes,
            self.bank.views.shape[2],
            init=method.head_init,
            std=method.head_std,
            generator=generator,
        )
        with torch.no_grad():
            features, labels = self.bank.batch(method.real_batch, generator)
            real = head_gradient(features, labels, heads, include_bias=method.include_bias)
        rendered = state.images.render()
        pixels = rendered.detach().requires_grad_()
        draws = draw_for(
            method.augment, len(self.view_labels), named_generator(self.seed, "views", state.step)
        )
        synthesis = _Synthesis(self.backbone, method, pixels, draws, self.micro_batch)
        loss = synthesis.backward(lambda z: self._loss(z, heads, real))
        state.optimizer.zero_grad(set_to_none=True)
        rendered.backward(pixels.grad)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(method, state.step)
        state.optimizer.step()
        state.step += 1
        return loss

    def _steps(self) -> Iterator[tuple[int, float]]:
        """Run to the end; yields (step number, loss) and stops at a loss that is not finite."""
        while self.state.step < self.method.steps:
            number = self.state.step
            loss = self.step().item()
            if not math.isfinite(loss):
                raise InputError(
                    f"The loss became {loss} at step {number} (learning rate "
                    f"{learning_rate(self.method, number):g}). Lower learning_rate in params.yaml."
                )
            self.state.losses.append(loss)
            yield number, loss

    def run(self, progress: Progress = lambda step, loss: None) -> Distilled:
        """Run all remaining steps.

        Raises:
            InputError: if the loss stops being finite.
        """
        for number, loss in self._steps():
            progress(number, loss)
        with torch.no_grad():
            images = self.state.images.render().cpu()
        return Distilled(images, self.labels.cpu(), list(self.state.losses))
