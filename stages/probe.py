"""Stage `probe`: what one backbone distilled, probed on every backbone, beside its real baselines."""

from typing import Any

from lgm_core.layout import making
from stages.boundary import named, progress_bar, read_layout, read_machine, read_params, run_stage


def main(dataset: str, source: str, variant: str = "") -> None:
    """Evaluate the set distilled with `source` on all backbones, and real images on `source` itself.

    A variant, `<group>/<name>`, is compared with the method itself, not with real images again.
    """
    params = read_params()
    from lgm_core.backbones import open_backbone
    from lgm_core.datasets import load_splits
    from lgm_core.distilled import load_distilled
    from lgm_core.evaluation import PROBE_SETTINGS, LabeledImages, evaluate_sets, real_baselines
    from lgm_core.features import load_features
    from lgm_core.neighbors import find_neighbors, save_neighbors
    from lgm_core.provenance import Measurement, settings_of, versions
    from lgm_core.seeds import derive_seed
    from lgm_core.store import read_json, write_json

    layout, machine, method = read_layout(params), read_machine(), params.method
    measurement = Measurement(machine.device)
    train, _ = load_splits(named(params.datasets, dataset, "datasets"), machine.data_root)
    made_by = making("distill", dataset, source, variant)
    folder = layout.distilled(dataset, source, variant)
    images, labels = load_distilled(folder, train.classes, made_by=made_by)
    targets: dict[str, Any] = {}
    for target, row in params.backbones.items():
        cache = load_features(layout.features(dataset, target), made_by=making("features", dataset, target))
        model = open_backbone(
            row, input_size=method.input_size, normalization=params.normalization, device=machine.device
        )
        sets = {"distilled": [LabeledImages(images, labels)]}
        if target == source:
            near = find_neighbors(model, cache, images, labels, method.input_size)
            save_neighbors(layout.neighbors(dataset, source, variant), near, train, labels, method.resolution)
            if not variant:
                made_by = making("baselines", dataset, source)
                real = read_json(layout.baselines(dataset, source), made_by=made_by)["selection"]
                real["neighbors"] = [near.numbers.tolist()]
                sets |= real_baselines(train, real, method.resolution)
        seed = derive_seed(params.seed, "probe", dataset, source, target)
        with progress_bar(
            sum(map(len, sets.values())), f"probe {dataset} {source} on {target}", "sets"
        ) as bar:
            targets[target] = evaluate_sets(
                model, cache, sets, params.probe, input_size=method.input_size, seed=seed, progress=bar.update
            )
    facts = {"dataset": dataset, "source": source, "variant": variant, "seed": params.seed}
    facts |= {"probe": settings_of(params.probe, PROBE_SETTINGS), "versions": versions()}
    write_json(layout.probe(dataset, source, variant), {**facts, "targets": targets})
    measurement.write(layout.run("probe", dataset, source, variant))


if __name__ == "__main__":
    run_stage(main, ("dataset", "source"), ("variant",))
