"""What can be set: frozen dataclasses, parsed once from the params file and checked by name.

Top-level keys of the file are the method's settings, so that `-S aug_rounds=5` works as typed; groups hold
the rest. Nothing has a default here: the params file states every value, `suites/` holds complete ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from lgm_core import checks
from lgm_core.checks import parse, setting
from lgm_core.errors import InputError

NO_AUGMENTATION = "none"
WHOLE_BANK = "all"


@dataclass(frozen=True)
class AugmentSpec:
    """Random view of an image: flip, then random resized crop, then Gaussian noise (write-up A.2)."""

    flip_probability: float = setting(checks.number(0, 1))
    crop_scale: tuple[float, float] = setting(checks.interval(0, 1))
    """Share of the image's area that the window covers, low and high."""
    crop_ratio: tuple[float, float] = setting(checks.interval(0))
    """Width over height of the window, low and high."""
    noise_mean: float = setting(checks.number())
    noise_std: float = setting(checks.number(0))
    noise_probability: float = setting(checks.number(0, 1))


@dataclass(frozen=True)
class MethodSpec:
    """Linear Gradient Matching, every setting of it (PROTOCOL: objective, images, optimiser)."""

    ipc: int = setting(checks.integer(1))
    """Synthetic images per class."""
    steps: int = setting(checks.integer(1))
    """Updates of the images."""
    aug_rounds: int = setting(checks.integer(1))
    """K: views of every synthetic image in each step (Eq. 5)."""
    augment: AugmentSpec | str = setting(checks.either(NO_AUGMENTATION, checks.section(AugmentSpec)))
    head_init: str = setting(checks.choice("normal", "linear"))
    """`normal`: W ~ N(0, head_std²), b = 0. `linear`: U(-F^-½, F^-½) for both, as `nn.Linear`."""
    head_std: float = setting(checks.number(0))
    head_draws: int = setting(checks.integer(1))
    """M: random heads per step; the loss is the mean over them."""
    include_bias: bool = setting(checks.boolean)
    """Whether the bias's gradient is part of the matched vector."""
    real_batch: int | str = setting(checks.either(WHOLE_BANK, checks.integer(1)))
    """Real features per step: a size, or the whole bank."""
    parameterization: str = setting(checks.choice("pyramid", "pixels"))
    init: str = setting(checks.choice("normal", "zero"))
    pyramid_start: int = setting(checks.integer(1))
    """Side in pixels of the finest level at the start."""
    growth_interval: int = setting(checks.integer(1))
    """Steps between two added levels."""
    decorrelate_color: bool = setting(checks.boolean)
    resolution: int = setting(checks.integer(8, 4096))
    """Side in pixels of synthetic images, and of real ones before they are cropped."""
    input_size: int = setting(checks.integer(8, 4096))
    """Side in pixels of what the backbones see."""
    optimizer: str = setting(checks.choice("adam", "sgd"))
    learning_rate: float = setting(checks.number(above=0))
    learning_rate_schedule: str = setting(checks.choice("constant", "cosine"))

    def __post_init__(self) -> None:
        if self.input_size > self.resolution:
            raise InputError(
                f"params.yaml: input_size is {self.input_size}, resolution is {self.resolution}; "
                "allowed: input_size ≤ resolution, because views are cropped out of the images."
            )
        if self.pyramid_start > self.resolution:
            raise InputError(
                f"params.yaml: pyramid_start is {self.pyramid_start}; "
                f"allowed: at most resolution, {self.resolution}."
            )


METHOD_KEYS = tuple(entry.name for entry in fields(MethodSpec))


@dataclass(frozen=True)
class ProbeSpec:
    """Evaluation by linear probing (write-up A.3)."""

    epochs: int = setting(checks.integer(1))
    full_epochs: int = setting(checks.integer(1))
    """Epochs of the probe on the full data set."""
    batch_size: int = setting(checks.integer(1))
    learning_rate: float = setting(checks.number(above=0))
    """For a batch of 256; scaled by batch_size / 256."""
    head_std: float = setting(checks.number(0))
    seeds: int = setting(checks.integer(1))
    random_seeds: int = setting(checks.integer(1))
    """Draws of the Random baseline."""
    view_rounds: int = setting(checks.integer(1))
    """Rounds of training views made of each image; as many as epochs: every epoch sees new views."""
    full_view_rounds: int = setting(checks.integer(1))
    """Rounds of training views of the full data set in the feature cache."""
    patience: int = setting(checks.integer(0))
    """0: report the final epoch. n: stop after n epochs without a better validation accuracy."""
    holdout: float = setting(checks.number(above=0, maximum=0.5))
    """Share of the real training images that validates, where patience is on."""
    augment: AugmentSpec = setting(checks.section(AugmentSpec))
    """Training views; without noise in the paper."""


@dataclass(frozen=True)
class AlignmentSpec:
    """Mutual k-nearest-neighbour alignment (Huh et al. 2024)."""

    neighbors: int = setting(checks.integer(1))
    samples: int = setting(checks.integer(2))
    seed: int = setting(checks.integer(0))


@dataclass(frozen=True)
class FeatureSpec:
    """How real images become features: one centre view and `real_rounds` augmented ones."""

    resolution: int
    input_size: int
    augment: AugmentSpec | str
    real_rounds: int
    full_view_rounds: int
    full_augment: AugmentSpec


def _source(value: Any, key: str) -> dict[str, Any]:
    """A data set or backbone: a source in one word, or a mapping with `source` and further keys."""
    if isinstance(value, str) and value.strip():
        return {"source": value}
    if isinstance(value, Mapping) and "source" in value:
        return {checks.text(part, key): checks.text(value[part], f"{key}.{part}") for part in value}
    raise checks.reject(key, value, "a source such as toy:shapes or timm:<tag>, or a mapping with source")


def _named(check: checks.Check) -> checks.Check:
    """A non-empty mapping from plain names to what `check` accepts."""

    def checked(value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not value:
            raise checks.reject(key, value, "a mapping with at least one name")
        return {checks.name(part, key): check(value[part], f"{key}.{part}") for part in value}

    return checked


@dataclass(frozen=True)
class PairSpec:
    """The two data sets of a table, by their names under `datasets`."""

    left: str = setting(checks.name)
    right: str = setting(checks.name)


@dataclass(frozen=True)
class TablesSpec:
    """Which data sets each table shows."""

    table1: PairSpec = setting(checks.section(PairSpec))
    table2: PairSpec = setting(checks.section(PairSpec))


@dataclass(frozen=True)
class Params:
    """A complete params file."""

    suite: str
    seed: int
    method: MethodSpec
    normalization: str
    real_rounds: int
    probe: ProbeSpec
    alignment: AlignmentSpec
    datasets: dict[str, dict[str, Any]]
    backbones: dict[str, dict[str, Any]]
    tables: TablesSpec

    def features(self) -> FeatureSpec:
        """The part of the settings that the feature cache depends on."""
        return FeatureSpec(
            resolution=self.method.resolution,
            input_size=self.method.input_size,
            augment=self.method.augment,
            real_rounds=self.real_rounds,
            full_view_rounds=self.probe.full_view_rounds,
            full_augment=self.probe.augment,
        )


_FILE_CHECKS: dict[str, checks.Check] = {
    "suite": checks.name,
    "seed": checks.integer(0),
    "normalization": checks.choice("pretrained", "imagenet"),
    "real_rounds": checks.integer(1),
    "probe": checks.section(ProbeSpec),
    "alignment": checks.section(AlignmentSpec),
    "datasets": _named(_source),
    "backbones": _named(_source),
    "tables": checks.section(TablesSpec),
}


def parse_params(mapping: Any) -> Params:
    """Check a whole params file.

    Args:
        mapping: the file's content as plain Python values.

    Raises:
        InputError: naming the first key that is unknown, missing or out of range.
    """
    if not isinstance(mapping, Mapping):
        raise checks.reject("the file", mapping, "a mapping of settings")
    known = (*_FILE_CHECKS, *METHOD_KEYS)
    for key in mapping:
        if key not in known:
            raise InputError(f"params.yaml: unknown key {key}; allowed: {', '.join(known)}.")
    missing = [key for key in _FILE_CHECKS if key not in mapping]
    if missing:
        raise InputError(
            f"params.yaml: missing key {', '.join(missing)}; the files in suites/ show every key."
        )
    groups = {key: check(mapping[key], key) for key, check in _FILE_CHECKS.items()}
    method = parse(MethodSpec, {key: mapping[key] for key in METHOD_KEYS if key in mapping})
    params = Params(method=method, **groups)
    _check_table_datasets(params)
    _check_backbone_names(params)
    return params


def _check_table_datasets(params: Params) -> None:
    for entry in fields(params.tables):
        for side, dataset in asdict(getattr(params.tables, entry.name)).items():
            if dataset not in params.datasets:
                raise checks.reject(
                    f"tables.{entry.name}.{side}", dataset, f"one of datasets: {', '.join(params.datasets)}"
                )


def _check_backbone_names(params: Params) -> None:
    taken = sorted({"full", "average"} & set(params.backbones))
    if taken:
        raise checks.reject(
            f"backbones.{taken[0]}", taken[0], "another name; tables have a row or column of this one"
        )


def with_overrides(method: MethodSpec, overrides: Mapping[str, Any]) -> MethodSpec:
    """The method with some settings replaced, checked like the file's own."""
    checked = {}
    for key, value in overrides.items():
        entry = next((entry for entry in fields(MethodSpec) if entry.name == key), None)
        if entry is None:
            raise InputError(f"params.yaml: unknown key {key}; allowed: {', '.join(METHOD_KEYS)}.")
        checked[key] = entry.metadata["check"](value, key)
    return replace(method, **checked)
