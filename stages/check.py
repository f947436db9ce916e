"""Before hours are spent: what the active suite needs, what is there, what is missing, and what it will cost.

`make check` or `python -m stages.check`; exit status 1 if something is missing.
"""

import sys

from stages.boundary import read_machine, read_params, run_stage


def main() -> None:
    """Report data sets and weights with counts, then time and disk on this machine."""
    params = read_params()
    from lgm_core.backbones import load_backbone, source_row
    from lgm_core.costs import Size, estimate, format_bytes, format_seconds, measure_speed
    from lgm_core.inventory import MISSING, survey_backbones, survey_dataset

    machine = read_machine()
    print(f"Suite {params.suite}; data below {machine.data_root.resolve()} (LGM_DATA).\n")
    sets = [survey_dataset(name, row, machine.data_root) for name, row in params.datasets.items()]
    findings = [*sets, *survey_backbones({**params.backbones, **params.figure_backbones})]
    for finding in findings:
        print(finding.title, finding.told.replace("\n", "\n" + " " * 4))
    input_size, batch = params.method.input_size, 4 if machine.device == "cpu" else 64
    print(f"\nTime on {machine.device}, passes through the backbones only, and disk:")
    speeds = {}
    for name, source in params.backbones.items():
        model = load_backbone(
            source_row(source),
            input_size=input_size,
            device=machine.device,
            precision=machine.precision,
            pretrained=False,
        )
        speeds[name] = measure_speed(model, input_size, batch=batch)
        print(f"  {name:14} {1 / speeds[name].forward_seconds:,.0f} images/s forward", end=", ")
        print(f"{1 / speeds[name].gradient_seconds:,.0f} images/s with gradient")
    for finding in sets:
        if not finding.classes:
            continue
        size = Size(*finding.images, finding.classes)
        cost = estimate(params, finding.name, size, speeds, workers=machine.workers)
        print(
            f"  {finding.name:14} features {format_seconds(cost.features_seconds)}, distillation "
            f"{format_seconds(cost.distill_seconds)}, probes {format_seconds(cost.probe_seconds)}, "
            f"{format_bytes(cost.disk_bytes)}"
        )
    missing = [finding.name for finding in findings if finding.status == MISSING]
    print(
        f"\n{len(missing)} of {len(findings)} are missing: {', '.join(missing)}." if missing else "\nReady."
    )
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    run_stage(main, ())
