"""Linear Gradient Matching: the loop that turns random pyramids into one image per class (write-up §3).

Each step renders the images, makes K views of each, runs them through the frozen backbone, and compares what
an objective sums over their features, such as the closed-form gradient of M random heads, with the same of
cached real features. Only one ordinary backward pass goes through the backbone, in micro-batches where memory
asks for it (synthesis).

Several backbones may distil together: the same views go through each of them, each has its own objective, and
the pixels' gradients add up, weighted. Only one backbone's graph is in memory at a time.

Several processes share a run by images: a rank renders and updates its own, and all that the ranks exchange
is their part of the objective's sum. All draws are named by step, image and view, not by process, so the
result is that of one process.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lgm_core.distilled import DistilledSet, TimeLapse
from lgm_core.features.augment import draw_for
from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.microbatch import Backoff, fitting_views
from lgm_core.foundation.ranks import ALONE, Ranks
from lgm_core.foundation.seeds import named_generator
from lgm_core.method.objectives.choice import real_side
from lgm_core.method.objectives.objective import Real
from lgm_core.method.pyramid import SyntheticImages
from lgm_core.method.real import RealBank
from lgm_core.method.snapshots import reduced, snapshot_steps
from lgm_core.method.synthetic import Synthesis, SyntheticViews
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import CLUSTERS, REAL, MethodSettings

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
    snapshots: list[Tensor] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {
            "indices": self.images.indices,
            "step": self.step,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "levels": [level.detach().clone() for level in self.images.levels],
            "snapshots": list(self.snapshots),
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


@dataclass(frozen=True)
class Member:
    """One of the backbones that distil together, or the only one.

    Attributes:
        backbone: φ, frozen, on the device to use.
        bank: cached real features under the same backbone.
        name: names its draws, where there are several members.
        weight: of its loss among theirs.
    """

    backbone: FrozenBackbone
    bank: RealBank
    name: str = ""
    weight: float = 1.0


def _check(members: list[Member], method: MethodSettings, start: Float[Tensor, "n 3 r r"] | None) -> None:
    """Refuse banks of different images, and a method whose slots or start are missing."""
    first = members[0].bank
    for member in members[1:]:
        bank = member.bank
        if bank.classes != first.classes or not torch.equal(bank.labels, first.labels):
            raise InputError(f"{member.name or 'A member'} has features of other images than the first one.")
    slots = len(first.classes) * method.ipc
    for bank in (member.bank for member in members):
        if (method.slots == CLUSTERS) != (bank.slots is not None) or (
            bank.slots is not None and bank.outputs != slots
        ):
            raise SettingError("slots", method.slots, f"{CLUSTERS} with a bank of {slots} slots, or shared")
    shape = (slots, 3, method.resolution, method.resolution)
    if (method.init == REAL) != (start is not None) or (start is not None and start.shape != shape):
        raise SettingError("init", method.init, f"{REAL} with a start of shape {list(shape)}, or another")


class Distiller:
    """Distils one data set under one backbone, or under several together.

    Args:
        members: the backbones and their banks of the same images, on one device; a single one may be given
            as it is.
        method: every setting.
        seed: root of all draws.
        micro_batch: most views in a backbone at once; None: as many as fit into memory. Changes memory, not
            the result.
        ranks: the processes that share the run; each owns consecutive images.
        start: what the images begin as, [n, 3, r, r] in [0, 1], class by class; with `init: real` alone.

    Raises:
        InputError: if there are more ranks than images, the members' banks are of different images, or the
            method needs slots or a start that are not given.
    """

    def __init__(
        self,
        members: Member | Sequence[Member],
        method: MethodSettings,
        *,
        seed: int,
        micro_batch: int | None = None,
        ranks: Ranks = ALONE,
        start: Float[Tensor, "n 3 r r"] | None = None,
    ) -> None:
        given = [members] if isinstance(members, Member) else list(members)
        self.device = given[0].backbone.device
        self.members = [replace(member, bank=member.bank.to(self.device)) for member in given]
        self.method = method
        self.seed = seed
        self.ranks = ranks
        self.classes = given[0].bank.classes
        self.count = len(self.classes) * method.ipc
        _check(self.members, method, start)
        own = ranks.share(self.count)
        if len(own) == 0:
            allowed = f"at most {self.count}, the number of synthetic images, which ranks share"
            raise SettingError("ranks", ranks.world, allowed)
        self.labels = torch.arange(len(self.classes)).repeat_interleave(method.ipc)
        targets = torch.arange(self.count) if method.slots == CLUSTERS else self.labels
        self.view_labels = targets[own.start : own.stop].repeat_interleave(method.aug_rounds)
        self.view_labels = self.view_labels.to(self.device)
        self.backoffs = [Backoff(micro_batch) if micro_batch else None for _ in self.members]
        several = len(self.members) > 1
        self.sides = [
            real_side(Real(member.bank, method, seed, member.name if several else "", ranks))
            for member in self.members
        ]
        self.start = start
        begun = None if start is None else start[own.start : own.stop]
        images = SyntheticImages(list(own), method, seed, self.device, begun)
        self.state = DistillState(images, make_optimizer(method, images.levels))
        self.snapshot_steps = snapshot_steps(method)

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
        state.snapshots = [frames.to(self.device) for frames in saved["snapshots"]]
        state.images.levels = [level.to(self.device).clone().requires_grad_() for level in saved["levels"]]
        state.optimizer = make_optimizer(self.method, state.images.levels)
        state.optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))

    def _views(self, pixels: Float[Tensor, "n 3 r r"]) -> SyntheticViews:
        """Views of the own images: drawn for all images, so that the draws do not depend on the ranks."""
        method = self.method
        own = self.ranks.share(self.count)
        generator = named_generator(self.seed, "views", self.state.step)
        draws = draw_for(method.augment, method.view_count(len(self.classes)), generator)
        if draws is not None:
            draws = draws.part(own.start * method.aug_rounds, own.stop * method.aug_rounds)
        return SyntheticViews(pixels, self.view_labels, draws, method)

    def _sized(self, number: int, synthesis: Synthesis) -> Backoff:
        """A member's micro-batch, found at the first step where none was given."""
        known = self.backoffs[number]
        if known is None:
            views = fitting_views(
                synthesis.trial, len(synthesis.views), self.device, processes=self.ranks.world
            )
            known = self.backoffs[number] = Backoff(views)
        return known

    def _member_gradient(self, number: int, views: SyntheticViews) -> tuple[Tensor, Tensor]:
        """∂L_b/∂pixels of the own images, and L_b; nothing of the member's graph stays."""
        objective = self.sides[number].at(self.state.step, self.device)
        synthesis = Synthesis(self.members[number].backbone, views, objective)
        backoff = self._sized(number, synthesis)
        pending = backoff.run(synthesis.forward)
        loss, direction = objective.direction(self.ranks.sum(pending.value))
        return backoff.run(lambda views: synthesis.backward(pending, direction, views)), loss

    def _pixel_gradient(self, pixels: Float[Tensor, "n 3 r r"]) -> tuple[Tensor, Tensor]:
        """∂L/∂pixels of the own images, and L, the members' weighted mean; changes only micro-batches."""
        views = self._views(pixels)
        total = sum(member.weight for member in self.members)
        gradients, losses = [], []
        for number, member in enumerate(self.members):
            gradient, loss = self._member_gradient(number, views)
            gradients.append(gradient * (member.weight / total))
            losses.append(loss * (member.weight / total))
        return torch.stack(gradients).sum(dim=0), torch.stack(losses).sum()

    def _keep_snapshot(self) -> None:
        """Keep a rendering of the own images if one is due after as many steps as were made."""
        due = self.snapshot_steps[len(self.state.snapshots) :]
        if due and due[0] == self.state.step:
            with torch.no_grad():
                self.state.snapshots.append(reduced(self.state.images.render()))

    def _time_lapse(self) -> TimeLapse | None:
        """The snapshots, of all images on rank 0."""
        if not self.state.snapshots:
            return None
        counts = self.ranks.counts(self.count)
        frames = [self.ranks.gather(own, counts) for own in self.state.snapshots]
        return TimeLapse(self.snapshot_steps, torch.stack(frames).cpu())

    def step(self) -> Tensor:
        """One update of the own images; the loss before it, equal on all ranks, on the device."""
        state = self.state
        method = self.method
        self._keep_snapshot()
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
        self._keep_snapshot()
        with torch.no_grad():
            images = self.ranks.gather(self.state.images.render(), self.ranks.counts(self.count))
        losses = tuple(self.state.losses)
        lapse = self._time_lapse()
        return DistilledSet(images, self.labels, self.classes, losses=losses, time_lapse=lapse)
