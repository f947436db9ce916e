"""Speed and memory on one GPU, as ratios within one run: python -m benchmarks.gpu"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from functools import partial

import torch
from PIL import Image

from benchmarks import straightforward
from benchmarks.cases import MEANS, ONE_BATCH, Case, params
from benchmarks.measure import flops, interleaved, machine, matmul_rate, table
from lgm_core.evaluation.small_sets import LabeledImages, evaluate_sets
from lgm_core.features.cache import FeatureCache
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.errors import InputError
from lgm_core.images import ImageSet
from lgm_core.method.distiller import Distiller

MODEL = "vit_base_patch14_dinov2"
OTHER_MODEL = "eva02_base_patch14_224"
COLUMNS = ["one step", "s", "faster", "views/s", "of the matmul rate", "peak GiB", "micro-batch"]


def _without_memory_error(call: object) -> str:
    """Why a candidate cannot run; empty if it can."""
    try:
        call()  # type: ignore[operator]
    except (torch.OutOfMemoryError, InputError) as error:
        return type(error).__name__
    finally:
        torch.cuda.empty_cache()
    return ""


def distillation(case: Case, rounds: int, rate: float, device: torch.device, *, compared: bool) -> str:
    """One step: as written down where that fits into memory, eager and compiled."""
    backbone = case.backbone(device)
    compiled = case.backbone(device, compiled=True)
    views = case.classes * case.rounds
    distiller = partial(case.distiller, bank_images=50_000)
    distillers: dict[str, Distiller] = {
        "lgm": distiller(backbone, **ONE_BATCH),
        "lgm, compiled": distiller(compiled, **ONE_BATCH),
        "lgm, 8 heads, 10,000 real": distiller(backbone, head_draws=8, real_batch=10_000),
        "lgm, class means": distiller(backbone, **MEANS),
        "lgm, class means, compiled": distiller(compiled, **MEANS),
    }
    candidates = {name: one.step for name, one in distillers.items()}
    failed = ""
    if compared:
        plain = case.straightforward(device, frozen=False).step
        failed = _without_memory_error(plain)
        candidates = candidates if failed else {"straightforward": plain, **candidates}
    found = interleaved(candidates, rounds=rounds, device=device)
    base = found["straightforward"].seconds if "straightforward" in found else None
    one_view = flops(lambda: backbone(torch.zeros(1, 3, case.pixels, case.pixels, device=device)))
    rows = [
        [
            name,
            f"{one.seconds:.3f}",
            f"{base / one.seconds:.1f}×" if base else "–",
            f"{views / one.seconds:.0f}",
            f"{2 * views * one_view / one.seconds / rate:.0%}",
            f"{one.peak_bytes / 2**30:.1f}",
            str(distillers[name].backoff.views if name in distillers else views),  # type: ignore[union-attr]
        ]
        for name, one in found.items()
    ]
    note = f"\n\nThe straightforward step does not run here: {failed}." if failed else ""
    return f"{case}\n\n{table(COLUMNS, rows)}{note}"


def feature_caching(device: torch.device) -> str:
    """Extraction from decoded pictures against the backbone alone on a batch that lies on the GPU."""
    case = Case(MODEL, 224, 10, 10)
    backbone = case.backbone(device)
    noise = torch.randint(256, (64, 256, 256, 3), dtype=torch.uint8).numpy()
    pictures = [Image.fromarray(one) for one in noise]

    def image_set(count: int) -> ImageSet:
        labels = torch.arange(count) % 10
        names = tuple(map(str, range(count)))
        return ImageSet(tuple("abcdefghij"), labels, names, lambda index: pictures[index % 64])

    settings = params(resolution=256, input_size=224, real_rounds=10)
    workers = min(12, len(os.sched_getaffinity(0)))
    count = 4000
    batch = torch.rand(100, 3, 224, 224, device=device)

    def forward() -> None:
        with torch.no_grad():
            backbone(batch)

    alone = 100 / interleaved({"forward": forward}, rounds=20, device=device)["forward"].seconds
    splits = (image_set(count), image_set(100))
    views = count * (1 + 10 + 2) + 100
    start = time.perf_counter()
    extract_features(backbone, splits, settings.features(), seed=0, workers=workers)
    rate = views / (time.perf_counter() - start)
    rows = [["backbone alone", f"{alone:.0f}", "100%"], ["caching", f"{rate:.0f}", f"{rate / alone:.0%}"]]
    return f"Feature caching, {MODEL}, {workers} workers\n\n{table(['', 'views/s', 'of forward'], rows)}"


def probing(device: torch.device) -> str:
    """Five seeds of a probe on 1,000 images; the straightforward one is timed over a few epochs."""
    case = Case(MODEL, 224, 1000, 10)
    spec = replace(params().probe, epochs=1000, view_rounds=20)
    backbone = case.backbone(device)
    model = case.model().requires_grad_(False).to(device)
    images = torch.rand(1000, 3, 256, 256)
    labels = torch.arange(1000)
    test = torch.randn(10_000, backbone.width(224)), torch.arange(10_000) % 1000
    cache = FeatureCache(tuple(map(str, range(1000))), *test, *test, test[0][None], test[0][None])
    sets = {"distilled": [LabeledImages(images, labels)]}
    start = time.perf_counter()
    with torch.autocast("cuda", torch.bfloat16):
        straightforward.probe(model, images.to(device), labels.to(device), spec, 224, epochs=4)
    torch.cuda.synchronize(device)
    slow = (time.perf_counter() - start) / 4 * 1000 * 5
    start = time.perf_counter()
    evaluate_sets(backbone, cache, sets, spec, input_size=224, seed=0)
    fast = time.perf_counter() - start
    rows = [
        ["straightforward, from 4 epochs", f"{slow:.0f}", "1.0×"],
        ["lgm", f"{fast:.0f}", f"{slow / fast:.0f}×"],
    ]
    return f"Probe, 1,000 classes, 5 seeds, 1,000 epochs\n\n{table(['probe', 's', 'faster'], rows)}"


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="measured calls of every candidate")
    rounds = parser.parse_args().rounds
    if not torch.cuda.is_available():
        raise SystemExit("No GPU is visible; `python -m benchmarks.cpu` measures a CPU.")
    device = torch.device("cuda")
    rate = matmul_rate(device)
    print(f"{machine(device)}; bfloat16 matrix products at {rate / 1e12:.0f} TFLOP/s\n")
    cases = [(MODEL, 100, 10), (MODEL, 100, 1), (MODEL, 1000, 1), (MODEL, 1000, 3), (OTHER_MODEL, 100, 10)]
    for model, classes, k in cases:
        case = Case(model, 224, classes, k)
        compared = (classes, k) in {(100, 10), (1000, 3)}
        print(distillation(case, rounds, rate, device, compared=compared), end="\n\n", flush=True)
    print(feature_caching(device), end="\n\n", flush=True)
    print(probing(device), flush=True)


if __name__ == "__main__":
    main()
