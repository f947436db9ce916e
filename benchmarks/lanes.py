"""What lanes are worth on a CPU: python -m benchmarks.lanes

A batch through a backbone with random weights, forward and back to the pixels, and forward alone: on one
thread, with all threads at every operation, and in lanes, where parts of the batch have a thread each.
Gradients of convolutional backbones are not made in lanes: there the third way is the second.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.measure import interleaved, machine, table
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.libraries import load_backbone

CASES = (
    ("efficientnet_lite0", 64, 40),
    ("efficientnet_lite0", 64, 200),
    ("timm:vit_tiny_patch16_224", 224, 16),
)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="of each way; the median counts")
    given = parser.parse_args(words)
    rows = [row for case in CASES for row in _measured(*case, given.rounds)]
    print(machine(torch.device("cpu")))
    print(table(["backbone, pixels, images", "pass", "1 thread", "all threads", "lanes", "faster"], rows))


def _measured(source: str, side: int, count: int, rounds: int) -> list[list[str]]:
    row = backbone_row(BackboneSource(source))
    backbone = load_backbone(row, input_size=side, pretrained=False)
    pixels = torch.rand(count, 3, side, side)
    threads = torch.get_num_threads()
    rows = []
    for name, work in (("forward and back", _there_and_back), ("forward", _forward)):
        candidates = {
            "one": _with_threads(1, lambda work=work: work(backbone._features, pixels, False)),
            "all": _with_threads(threads, lambda work=work: work(backbone._features, pixels, False)),
            "lanes": _with_threads(threads, lambda work=work: work(backbone, pixels)),
        }
        found = interleaved(candidates, rounds=rounds, device=torch.device("cpu"))
        seconds = [found[way].seconds for way in candidates]
        shown = [f"{1000 * one:.0f} ms" for one in seconds]
        rows.append([f"{source}, {side}, {count}", name, *shown, f"{seconds[1] / seconds[2]:.2f}×"])
    return rows


def _with_threads(threads: int, call: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        torch.set_num_threads(threads)
        return call()

    return run


def _there_and_back(model: Callable[..., Tensor], pixels: Tensor, *how: bool) -> Tensor:
    pixels = pixels.detach().requires_grad_()
    return torch.autograd.grad(model(pixels, *how).sum(), pixels)[0]


@torch.no_grad()
def _forward(model: Callable[..., Tensor] | FrozenBackbone, pixels: Tensor, *how: bool) -> Tensor:
    return model(pixels, *how)


if __name__ == "__main__":
    main()
