"""A batch in parts side by side on a CPU, a core for each: small images keep no two cores at one layer busy.

An image's features do not depend on the other images of its batch, so parts may go through a frozen model at
the same time, each in a thread of its own (a lane), whose operations then run on one core. At 64 pixels that
is up to 1.4 times as fast as every operation on all cores, and no layer's sums are divided among cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_LEAST = 4
"""Images in a lane: below that its own work does not outweigh what starting it takes."""
_MOST_LANES = 8
"""Beyond that, lanes have several cores each."""

Model = Callable[[Tensor], Tensor]
Result = TypeVar("Result")


def lane_count(images: Tensor) -> int:
    """How many lanes a batch is worth: one on a GPU, and where something watches this thread's operations."""
    if images.device.type != "cpu" or is_in_torch_dispatch_mode() or torch.is_autocast_enabled("cpu"):
        return 1
    return max(1, min(torch.get_num_threads(), len(images) // _LEAST, _MOST_LANES))


def in_lanes(model: Model, images: Tensor, *, back: bool = True) -> Tensor:
    """`model(images)`, part by part side by side; differentiable in the images, not twice.

    Args:
        model: maps every image by itself, whatever else the batch holds, and may be called in several
            threads at once. It sets whatever it needs of autocast itself.
        images: [n, ...] on the CPU.
        back: whether to do so where a gradient is wanted, too. That of a convolution may have other last bits
            in a smaller batch, so that the number of threads would be seen in what is distilled.

    Returns:
        [n, F]: the images' features.
    """
    count = lane_count(images)
    if count == 1:
        return model(images)
    if torch.is_grad_enabled() and images.requires_grad:
        return _Lanes.apply(model, images, count) if back else model(images)  # pyright: ignore[reportReturnType]
    untraced = torch.no_grad()(model)  # whether a graph is wanted is each thread's own affair
    return torch.cat(_at_once([partial(untraced, part) for part in images.tensor_split(count)]))


class _Traced:
    """One part on its way through the model, with a graph of its own, which stays here for the way back."""

    def __init__(self, model: Model, part: Tensor) -> None:
        self.model = model
        self.part = part

    def __call__(self) -> Tensor:
        with torch.enable_grad():
            self.part = self.part.detach().requires_grad_()
            self.features = self.model(self.part)
        return self.features.detach()

    def back(self, gradient: Tensor) -> Tensor:
        """∂⟨gradient, features⟩/∂part; the graph stays for as long as the caller's does."""
        return torch.autograd.grad(self.features, self.part, gradient, retain_graph=True)[0]


class _Lanes(torch.autograd.Function):
    """The parts' graphs as one operation of the caller's graph."""

    @staticmethod
    def forward(ctx: Any, model: Model, images: Tensor, count: int) -> Tensor:
        ctx.parts = [_Traced(model, part) for part in images.tensor_split(count)]
        return torch.cat(_at_once(ctx.parts))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (gradient,) = gradients
        shares = gradient.tensor_split(len(ctx.parts))
        tasks = [partial(part.back, share) for part, share in zip(ctx.parts, shares, strict=True)]
        return None, torch.cat(_at_once(tasks)), None


def _at_once(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """The tasks' results, in order; each task in a thread that has its share of the cores."""
    threads = torch.get_num_threads()
    share = max(1, threads // len(tasks))
    try:
        with ThreadPoolExecutor(len(tasks), "lane", lambda: torch.set_num_threads(share)) as lanes:
            return [one.result() for one in [lanes.submit(task) for task in tasks]]
    finally:
        torch.set_num_threads(threads)  # threads that come later begin with what was set last
