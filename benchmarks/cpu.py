"""Speed and memory on a CPU, as ratios within one run: python -m benchmarks.cpu"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks import straightforward
from benchmarks.cases import MEANS, ONE_BATCH, Case, params
from benchmarks.measure import flops, interleaved, interleaved_processes, machine, matmul_rate, table
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets
from lgm_core.features.cache import FeatureCache
from lgm_core.models.cpu.allocator import keep_freed_memory

CPU = torch.device("cpu")
CASES = [Case("tf_efficientnet_lite0", 64, 10, 3), Case("vit_tiny_patch16_224", 224, 10, 3)]


def straightforward_step(case: Case, *, frozen: bool) -> Callable[[], object]:
    """The step as it is written down."""
    return case.straightforward(CPU, frozen=frozen).step


def library_step(case: Case, **changes: Any) -> Callable[[], object]:
    """The library's step in a process as the stages have it."""
    keep_freed_memory()
    return case.distiller(case.backbone(CPU), **changes).step


def backbone_alone(case: Case) -> Callable[[], object]:
    """What no step can do without: all views through the backbone, and back to their pixels."""
    keep_freed_memory()
    backbone = case.backbone(CPU)
    views = torch.rand(case.classes * case.rounds, 3, case.pixels, case.pixels, requires_grad=True)
    return lambda: torch.autograd.grad(backbone(views).sum(), views)


def distillation(case: Case, rounds: int, rate: float) -> str:
    """One step, several ways, and the backbone alone."""
    candidates = {
        "straightforward": partial(straightforward_step, case, frozen=False),
        "straightforward, frozen weights": partial(straightforward_step, case, frozen=True),
        "lgm, the same step (1 head, batch)": partial(library_step, case, **ONE_BATCH),
        "lgm, 8 heads, whole bank of 4,000": partial(library_step, case),
        "lgm, class means": partial(library_step, case, **MEANS),
        "the backbone alone": partial(backbone_alone, case),
    }
    found = interleaved_processes(candidates, rounds=rounds)
    backbone = case.backbone(CPU)
    base = found["straightforward"].seconds
    views = case.classes * case.rounds
    # What the step needs at least: every view once forward and once back to the pixels.
    needed = 2 * flops(lambda: backbone(torch.zeros(views, 3, case.pixels, case.pixels)))
    rows = [
        [
            name,
            f"{one.seconds:.3f}",
            f"{base / one.seconds:.1f}×",
            f"{views / one.seconds:.0f}",
            f"{needed / one.seconds / rate:.0%}",
            f"{one.peak_bytes / 2**20:.0f}",
        ]
        for name, one in found.items()
    ]
    columns = ["one step", "s", "faster", "views/s", "of the matmul rate", "peak MiB"]
    return f"{case}\n\n{table(columns, rows)}"


def probing(epochs: int) -> str:
    """A probe of one training set of ten images with five seeds, alone and together; seconds per epoch."""
    case = CASES[0]
    spec = replace(params().probe, epochs=epochs)
    images = torch.rand(10, 3, 64, 64)
    labels = torch.arange(10)
    backbone = case.backbone(CPU)
    model = case.model().requires_grad_(False)
    width = backbone.width(64)
    test = torch.randn(100, width), torch.arange(100) % 10
    cache = FeatureCache(tuple("abcdefghij"), *test, *test, test[0][None], test[0][None])
    sets = {"distilled": [LabeledImages(images, labels)]}

    def library(rounds: int) -> None:
        chosen = replace(spec, view_rounds=rounds)
        evaluate_sets(backbone, cache, sets, chosen, input_size=64, seed=0)

    candidates = {
        "straightforward, 5 seeds one after the other": lambda: [
            straightforward.probe(model, images, labels, spec, 64, epochs=epochs) for _ in range(spec.seeds)
        ],
        "lgm, fresh views in every epoch": lambda: library(epochs),
        "lgm, as it is used (views come again every tenth of the epochs)": lambda: library(epochs // 10),
    }
    found = interleaved(candidates, rounds=3, device=CPU)
    base = next(iter(found.values())).seconds
    rows = [
        [name, f"{one.seconds / epochs * 1e3:.1f}", f"{base / one.seconds:.1f}×"]
        for name, one in found.items()
    ]
    return f"Probe, {CASES[0].tag}, 10 images\n\n{table(['probe', 'ms per epoch', 'faster'], rows)}"


def memory() -> str:
    """Peak of a step against the number of views, at one micro-batch."""
    rows = []
    for rounds in (4, 10, 40):
        case = replace(CASES[0], rounds=rounds)
        step = case.distiller(case.backbone(CPU), micro_batch=20, head_draws=1, real_batch=40).step
        one = interleaved({"step": step}, rounds=3, device=CPU)["step"]
        rows.append([str(rounds), f"{one.peak_bytes / 2**20:.0f}", f"{one.seconds:.3f}"])
    return f"Micro-batches of 20 views\n\n{table(['K', 'peak MiB', 's per step'], rows)}"


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="measured calls of every candidate")
    parser.add_argument("--only", choices=("distill", "probe", "memory"), help="one part of it")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    only = arguments.only
    start = time.perf_counter()
    rate = matmul_rate(CPU)
    print(f"{machine(CPU)}; matrix products at {rate / 1e9:.0f} GFLOP/s\n")
    if only in (None, "distill"):
        for case in CASES:
            print(distillation(case, rounds, rate), end="\n\n")
    if only in (None, "probe"):
        print(probing(100), end="\n\n")
    if only in (None, "memory"):
        print(memory(), end="\n\n")
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
