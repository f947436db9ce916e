"""Everything that a report shows, hand-made: results, pictures, tables and figures of two small data sets."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from reporting.hand_made import ALIGNED_WITH, write_of

from lgm_core.distilled import picture_names, strip_name
from lgm_core.features.cache import FeatureCache, save_features
from lgm_core.features.samples import save_samples
from lgm_core.foundation.animations import write_strip
from lgm_core.foundation.belonging import named
from lgm_core.foundation.layout import Cell, Layout
from lgm_core.foundation.store import write_json, write_png, write_tensors, write_text
from lgm_core.images import ImageSet
from lgm_core.reporting.figures import FIGURES
from lgm_core.reporting.judges import PROTOTYPES, SETS
from lgm_core.reporting.runs import Run, all_runs, distilled_runs
from lgm_core.reporting.tables import TABLES
from lgm_core.settings.params import Params, parse_params

CLASSES = ("plain", 'odd <b>&"#1')
NETS = ("a", "b")
SEEDS = [50.0, 51.0, 52.0]
MEASURES = ("top1", "balanced", "worst_group")
CAPTIONS = {"pets": "two procedural shapes, in place of <i>Waterbirds</i>", "biased": ""}


def whole_settings(suite: dict[str, Any]) -> Params:
    """Two small data sets, two models and both together, and one variant of every kind."""
    suite["datasets"] = {"pets": "toy:birds", "biased": "toy:spurious"}
    suite["backbones"] = dict.fromkeys(NETS, "efficientnet_lite0")
    suite["variants"] = {
        "ablation": {"no_pyramid": {"parameterization": "pixels"}},
        "rounds": {"one": {"aug_rounds": 1}},
        "longer": {"twofold": {"steps": 600}},
        "objectives": {"means": {"objective": "means"}},
        "ipc": {"few": {"ipc": 1}, "more": {"ipc": 2}, "real": {"ipc": 2, "init": "real"}},
        "recipes": {"quick": {"steps": 9}},
    }
    suite["ensembles"] = {"both": list(NETS)}
    places = {"source": "a", "sources": ["a", "both"], "backbones": list(NETS), "right": "biased"}
    for part in ("tables", "figures"):
        for shown in suite[part].values():
            for place in shown:
                shown[place] = places.get(place, "pets")
    return parse_params(suite)


def write_whole(layout: Layout, settings: Params) -> None:
    """Hand-made results, pictures, tables and figures of those settings."""
    for run in all_runs(settings):
        measured = {"seconds": 1.5, "peak_memory_mib": 100.0, "device": "cpu"}
        if part := {"probe": f"probe on {run.backbone}", "baselines": "probe on all images"}.get(run.verb):
            measured["parts"] = {part: 0.25 if run.verb == "probe" else 0.75}
        cell = layout.cell(run.dataset, run.backbone, run.variant)
        write_of(cell, cell.run(run.verb), measured)
    for run in distilled_runs(settings):
        write_distilled(layout, run, settings)
    for dataset in settings.datasets:
        for model in NETS:
            ceilings = {"nearest_class_mean": 60.0, "ridge": 65.0}
            majority = {"top1": 70.0, "balanced": 50.0, "worst_group": 0.0}
            full = {"full": dict.fromkeys(MEASURES, SEEDS), "majority": majority, "images": 2345, **ceilings}
            write_of(layout.cell(dataset, model), "baselines", full)
        matrix = {a: dict.fromkeys(NETS, 0.5) for a in NETS}
        write_of(layout.cell(dataset), "alignment", {"matrix": matrix, **ALIGNED_WITH})
    for source in settings.tables["table11"].sources or ():
        write_judged(layout.cell("pets", source))
    for dataset in settings.datasets:
        write_features(layout.cell(dataset, "a"))
    write_shown(layout, settings)


def write_shown(layout: Layout, settings: Params) -> None:
    """Files of all tables and figures."""
    for name in (*TABLES, *settings.own_tables):
        for suffix in (".csv", ".md", ".tex"):
            write_text(layout.table(name, suffix), name)
    for name, row in FIGURES.items():
        write_png(layout.figure(name, ".png"), torch.zeros(3, 4, 4))
        if row.plot:
            write_text(layout.figure(name, ".svg"), '<svg xmlns="http://www.w3.org/2000/svg"/>')


def _runs() -> dict[str, list[list[float]]]:
    return {**{measure: [SEEDS] for measure in MEASURES}, "nearest_neighbor": [[40.0]]}


def write_distilled(layout: Layout, run: Run, settings: Params) -> None:
    """A distilled set of an image per class, its neighbours and what it reaches."""
    cell, pictures = layout.cell(run.dataset, run.backbone, run.variant), picture_names(CLASSES, [0, 1])
    rounds = 1 if "rounds" in run.variant else settings.method.aug_rounds
    method = {"aug_rounds": rounds, "steps": 300, "objective": "gradient", "head_bank": 0, "ipc": 1}
    facts = {"seed": 7, "method": method, "classes": list(CLASSES), "pictures": pictures, "content": "c"}
    write_of(cell, cell.distilled / "settings.json", facts)
    write_text(cell.distilled / "history.csv", "step,loss\n0,0.9\n1,0.7\n2,0.8\n")
    near = [
        {"picture": p, "name": f"train/{n}", "similarity": 0.5, "further": [
            {"picture": p, "name": "train/9", "similarity": 0.25}] * (not run.variant)}
        for n, p in enumerate(pictures)
    ]  # fmt: skip
    write_of(cell, cell.neighbors / "neighbors.json", {"neighbors": near})
    for number, picture in enumerate(pictures):
        write_png(cell.distilled / picture, torch.full((3, 8, 8), 0.2 + 0.5 * number))
        write_png(cell.neighbors / picture, torch.full((3, 300, 300), 0.8))
    chosen = ("distilled", "neighbors", "centroids")
    own = tuple(settings.members(run.backbone))
    targets = {target: {name: _runs() for name in chosen} for target in (*NETS, *own)}
    targets[own[0]]["random"] = _runs()
    if run.variant in ("ipc/few", "ipc/more"):
        every = (*chosen, "random", "herding", "medoids", "k_center")
        targets = {target: {name: _runs() for name in every} for target in NETS}
    for sets in targets.values():
        sets["distilled"]["by_class"] = [[51.0, None]]
    write_of(cell, "probe", {"targets": targets, "seed": 7})
    looked = [{"whole": [[n, 75.0], [1 - n, 25.0]], "crops": [[0, 60.0], [1, 40.0]], "own_share": 62.5}
              for n in range(2)]  # fmt: skip
    write_of(cell, "seen", {"classes": list(CLASSES), "targets": dict.fromkeys(targets, looked)})
    for number, picture in enumerate(pictures):
        frames = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 3, 8, 8) * 80 + number
        write_strip(cell.distilled / strip_name(picture), frames)
    write_json(cell.distilled / "time_lapse.json", {"steps": [0, 10, 300]})


def write_judged(cell: Cell) -> None:
    """Every training set by every measure."""
    targets = {target: {name: _runs() for name in (*SETS, PROTOTYPES)} for target in NETS}
    size = {name: [2048] for name in SETS}
    write_of(cell, "judged", {"targets": targets, "png_bytes": size, "seconds": {"probe": 0.5}, "seed": 7})


def write_features(cell: Cell) -> None:
    """What Figure 4 shows of the training images, and the samples of Figure 6."""
    generator = torch.Generator().manual_seed(0)
    train, labels = torch.randn(20, 6, generator=generator), torch.arange(2).repeat(10)
    views = {"real_views": train[None], "full_views": train[None].clone()}
    cache = FeatureCache(CLASSES, train, labels, train, labels, **views)
    save_features(cell.features, cache, named(cell))
    names = tuple(map(str, range(20)))
    images = ImageSet(CLASSES, labels, names, lambda index: Image.new("RGB", (9, 9), (12 * index,) * 3))
    save_samples(cell.features, {"train": images, "test": images}, 8, named(cell))
    distilled = {"features": torch.randn(2, 6, generator=generator), "labels": torch.arange(2)}
    write_tensors(cell.neighbors / "features.safetensors", distilled, named(cell))
