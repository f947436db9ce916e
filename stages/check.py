"""Before hours are spent: what the active suite needs, what is there, what is missing, and what it will cost.

`make check` or `python -m stages.check`; exit status 1 if something is missing.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("check", __doc__)

import sys

from lgm_core.models.catalogue import backbone_row
from lgm_core.models.libraries import load_backbone
from lgm_core.preflight.costs import Size, estimate, format_bytes, format_seconds, measure_speed
from lgm_core.preflight.inputs import MISSING, Finding, survey_backbones, survey_dataset
from lgm_core.settings.params import Params
from stages.machine import Machine, read_machine
from stages.params import read_params


def main() -> None:
    """Report data sets and weights with counts, then time and disk on this machine."""
    params = read_params()
    machine = read_machine()
    print(f"Suite {params.suite}; data below {machine.data_root.resolve()} (LGM_DATA).\n")
    sets = [survey_dataset(name, row, machine.data_root) for name, row in params.datasets.items()]
    findings = [*sets, *survey_backbones({**params.backbones, **params.figure_backbones})]
    for finding in findings:
        print(finding.title, finding.told.replace("\n", "\n" + " " * 4))
    print_costs(params, machine, sets)
    missing = [finding.name for finding in findings if finding.status == MISSING]
    print(
        f"\n{len(missing)} of {len(findings)} are missing: {', '.join(missing)}." if missing else "\nReady."
    )
    sys.exit(1 if missing else 0)


def print_costs(params: Params, machine: Machine, sets: list[Finding]) -> None:
    """Time and disk of every data set on this machine, from the measured speed of the backbones."""
    input_size = params.method.input_size
    batch = 4 if machine.device.type == "cpu" else 64
    print(f"\nTime on {machine.device}, passes through the backbones only, and disk:")
    speeds = {}
    for name, source in params.backbones.items():
        where = {"device": machine.device, "precision": machine.precision}
        model = load_backbone(backbone_row(source), input_size=input_size, pretrained=False, **where)
        speed = speeds[name] = measure_speed(model, input_size, batch=batch)
        print(f"  {name:14} {1 / speed.forward_seconds:,.0f} images/s forward", end=", ")
        print(f"{1 / speed.gradient_seconds:,.0f} images/s with gradient")
    for finding in (one for one in sets if one.classes):
        size = Size(*finding.images, finding.classes)
        cost = estimate(params, finding.name, size, speeds, workers=machine.workers)
        print(
            f"  {finding.name:14} features {format_seconds(cost.features_seconds)}, distillation "
            f"{format_seconds(cost.distill_seconds)}, probes {format_seconds(cost.probe_seconds)}, "
            f"{format_bytes(cost.disk_bytes)}"
        )
