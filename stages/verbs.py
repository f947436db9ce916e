"""The verbs that the stages of dvc.yaml run, and the settings that all cells of a verb read."""

from __future__ import annotations

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
    # These name their own in dvc.yaml.
    "tables": (),
    "figures": (),
    "report": (),
}  # fmt: skip
"""Verb → dotted names of settings. What one cell reads, such as its backbone, stands in dvc.yaml."""
