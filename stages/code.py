"""Stage `code`: for every verb the settings it reads, and a fingerprint of its code.

A fingerprint covers the verb's script, all it imports, directly or not, and the data files these name;
comments, docstrings and formatting do not count. Settings of one cell, such as its backbone, are left to DVC.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("code", __doc__, params=False)

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from lgm_core.foundation.code import Code
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import write_json
from stages.params import read_settings

_METHOD = (
    "seed", "ipc", "steps", "aug_rounds", "augment", "head_init", "head_std", "head_draws", "include_bias",
    "real_batch", "parameterization", "init", "pyramid_start", "growth_interval", "decorrelate_color",
    "resolution", "input_size", "optimizer", "learning_rate", "learning_rate_schedule", "distillations",
    "checkpoint", "normalization", "objective", "head_bank", "ridge_penalty", "ridge_temperature", "slots",
    "snapshots",
)  # fmt: skip
_PROBE = (
    "seed", "distillations", "resolution", "input_size", "normalization", "probe.epochs", "probe.batch_size",
    "probe.learning_rate", "probe.head_std", "probe.seeds", "probe.view_rounds", "probe.patience",
    "probe.holdout", "probe.augment", "backbones",
)  # fmt: skip
SETTINGS = {
    "inputs": (
        "datasets", "backbones", "figure_backbones", "tables", "own_tables", "figures.figure8.dataset",
        "dataset_overrides", "ipc", "real_batch", "alignment.neighbors", "alignment.samples",
    ),
    "features": (
        "seed", "augment", "resolution", "input_size", "normalization", "real_rounds",
        "probe.full_view_rounds", "probe.augment",
    ),
    "baselines": (
        "seed", "ipc", "probe.full_epochs", "probe.batch_size", "probe.learning_rate", "probe.head_std",
        "probe.seeds", "probe.random_seeds", "probe.patience", "probe.holdout",
    ),
    "distill": _METHOD,
    "distill_ipc": _METHOD,
    "probe": _PROBE,
    "judge": (*_PROBE, "ipc", "probe.random_seeds"),
    "align": ("alignment", "backbones"),
    "tables": (),
    "figures": (),
    "report": (),
}  # fmt: skip
"""Verb → dotted names of the settings that all its cells read; tables, figures and the report name their own."""


def project_code(root: Path) -> Code:
    """The code of the project in a folder."""
    return Code(root, ("lgm_core", "stages"))


def looked_up(settings: Mapping[str, Any], name: str) -> Any:
    """The setting of a dotted name."""
    return reduce(lambda group, part: group[part], name.split("."), settings)


def main() -> None:
    """Write what every verb depends on."""
    code, settings = project_code(Path()), read_settings()
    layout = Layout(Path(), "")
    for verb, names in SETTINGS.items():
        fingerprint = code.fingerprint(Path("stages") / f"{verb}.py")
        read = {name: looked_up(settings, name) for name in names}
        write_json(layout.code(verb), {"sha256": fingerprint, "settings": read})
