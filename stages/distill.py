"""Stage `distill`: Linear Gradient Matching of one data set under one backbone."""

from lgm_core.layout import making
from stages.boundary import named, progress_bar, read_layout, read_machine, read_params, run_stage


def main(dataset: str, backbone: str, variant: str = "") -> None:
    """Distil `dataset` with `backbone` and write images, pictures and the loss history.

    `variant` names settings that differ, `<group>/<name>`; the random draws stay the same, so that variants
    are compared in pairs.
    """
    params = read_params()
    from lgm_core.backbones import open_backbone
    from lgm_core.distill import Distiller, real_bank
    from lgm_core.distilled import save_distilled
    from lgm_core.features import load_features
    from lgm_core.provenance import Measurement, versions
    from lgm_core.seeds import derive_seed

    layout, machine, method = read_layout(params), read_machine(), params.variant(variant)
    measurement = Measurement(machine.device)
    made_by = making("features", dataset, backbone)
    cache = load_features(layout.features(dataset, backbone), made_by=made_by)
    model = open_backbone(
        named(params.backbones, backbone, "backbones"),
        input_size=method.input_size,
        normalization=params.normalization,
        device=machine.device,
    )
    distiller = Distiller(
        model,
        real_bank(cache, method),
        method,
        seed=derive_seed(params.seed, "distill", dataset, backbone),
        micro_batch=machine.micro_batch,
    )
    with progress_bar(method.steps, f"distill {dataset} {backbone}", "steps") as bar:

        def show(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update()

        result = distiller.run(show)
    facts = {"dataset": dataset, "backbone": backbone, "variant": variant, "seed": params.seed}
    save_distilled(
        layout.distilled(dataset, backbone, variant),
        result,
        cache.classes,
        method,
        {**facts, "versions": versions()},
    )
    measurement.write(layout.run("distill", dataset, backbone, variant))


if __name__ == "__main__":
    run_stage(main, ("dataset", "backbone"), ("variant",))
