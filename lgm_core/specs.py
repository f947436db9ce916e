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
    learning_rate: float = setting(checks.number(above=0, maximum=1e6))
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
class CheckpointSpec:
    """How often a distillation saves its state; after either, whichever comes first."""

    steps: int = setting(checks.integer(1))
    minutes: float = setting(checks.number(0))


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
        return {checks.text(part, key): _source_entry(value[part], f"{key}.{part}") for part in value}
    raise checks.reject(key, value, "a source such as toy:shapes or timm:<tag>, or a mapping with source")


def _source_entry(value: Any, key: str) -> str | bool:
    """What stands beside a source: a text, or true or false."""
    return value if isinstance(value, bool) else checks.text(value, key)


def _named(check: checks.Check, *, fewest: int = 1) -> checks.Check:
    """A mapping from plain names to what `check` accepts, not empty unless `fewest` is 0."""

    def checked(value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) < fewest:
            allowed = "a mapping with at least one name" if fewest else "a mapping from names, {} for none"
            raise checks.reject(key, value, allowed)
        return {checks.name(part, key): check(value[part], f"{key}.{part}") for part in value}

    return checked


@dataclass(frozen=True)
class PairSpec:
    """The two data sets of a table, by their names under `datasets`."""

    left: str = setting(checks.name)
    right: str = setting(checks.name)


@dataclass(frozen=True)
class DatasetSpec:
    """The one data set of a table or figure, by its name under `datasets`."""

    dataset: str = setting(checks.name)


@dataclass(frozen=True)
class SourceSpec:
    """The backbone of a figure that shows one, by its name under `backbones`."""

    source: str = setting(checks.name)


@dataclass(frozen=True)
class DatasetSourceSpec:
    """One data set under one backbone."""

    dataset: str = setting(checks.name)
    source: str = setting(checks.name)


@dataclass(frozen=True)
class PairSourceSpec:
    """Two data sets under one backbone."""

    left: str = setting(checks.name)
    right: str = setting(checks.name)
    source: str = setting(checks.name)


@dataclass(frozen=True)
class TablesSpec:
    """Which data sets each table shows."""

    table1: PairSpec = setting(checks.section(PairSpec))
    table2: PairSpec = setting(checks.section(PairSpec))
    table3: DatasetSpec = setting(checks.section(DatasetSpec))
    table4: PairSpec = setting(checks.section(PairSpec))
    table5: PairSpec = setting(checks.section(PairSpec))
    table6: DatasetSpec = setting(checks.section(DatasetSpec))
    table7: DatasetSpec = setting(checks.section(DatasetSpec))
    table8: PairSpec = setting(checks.section(PairSpec))


@dataclass(frozen=True)
class FiguresSpec:
    """Which data sets and backbone each figure shows; Figure 5 shows Table 3's data set."""

    figure1: DatasetSpec = setting(checks.section(DatasetSpec))
    figure3: DatasetSourceSpec = setting(checks.section(DatasetSourceSpec))
    figure4: DatasetSourceSpec = setting(checks.section(DatasetSourceSpec))
    figure5: SourceSpec = setting(checks.section(SourceSpec))
    figure6: DatasetSpec = setting(checks.section(DatasetSpec))
    figure7: PairSourceSpec = setting(checks.section(PairSourceSpec))
    figure8: DatasetSourceSpec = setting(checks.section(DatasetSourceSpec))
    alignment: PairSpec = setting(checks.section(PairSpec))
    losses: PairSpec = setting(checks.section(PairSpec))


def _changes(value: Any, key: str) -> dict[str, Any]:
    """Settings of the method that a variant changes; their values are checked with the method's own."""
    if not isinstance(value, Mapping) or not value:
        raise checks.reject(key, value, "a mapping of the method's settings that the variant changes")
    return {checks.name(part, key): value[part] for part in value}


@dataclass(frozen=True)
class VariantsSpec:
    """Variants of the method, by group: name → settings that differ."""

    ablation: dict[str, dict[str, Any]] = setting(_named(_changes))
    """Table 3 and Figure 5."""
    rounds: dict[str, dict[str, Any]] = setting(_named(_changes))
    """Numbers of augmentation rounds, Figure 3."""


# Features and baselines are made once for all variants.
_SHARED_KEYS = ("ipc", "resolution", "input_size")


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
    figure_backbones: dict[str, dict[str, Any]]
    """Backbones that Figure 8 may show; no table compares them."""
    variants: VariantsSpec
    tables: TablesSpec
    figures: FiguresSpec
    checkpoint: CheckpointSpec
    dataset_overrides: dict[str, dict[str, Any]]
    """Data set → settings of the method that differ for it."""

    def backbone(self, name: str) -> dict[str, Any]:
        """The source of a backbone, be it one that tables compare or one of Figure 8 alone.

        Raises:
            InputError: if there is none of that name.
        """
        for group in (self.backbones, self.figure_backbones):
            if name in group:
                return group[name]
        known = ", ".join((*self.backbones, *self.figure_backbones))
        raise InputError(f"{name!r} is not among backbones in params.yaml; there are: {known}.")

    def stage(self, verb: str, backbone: str) -> str:
        """Name of the DVC stage that does `verb` with a backbone."""
        return verb if backbone in self.backbones else f"{verb}_figure8"

    def for_dataset(self, dataset: str) -> MethodSpec:
        """The method with what `dataset_overrides` says of a data set."""
        overrides = self.dataset_overrides.get(dataset, {})
        return with_overrides(self.method, overrides, f"dataset_overrides.{dataset}.")

    def variant(self, name: str, overrides: Mapping[str, Any] | None = None) -> MethodSpec:
        """The method as variant `<group>/<name>` has it; the method itself for the empty name.

        Args:
            name: of the variant.
            overrides: a data set's own settings; what the variant says goes before them.

        Raises:
            InputError: if there is no such variant, or it changes what it cannot.
        """
        method = with_overrides(self.method, overrides or {}, "dataset_overrides.")
        if not name:
            return method
        group, _, label = name.partition("/")
        known = [entry.name for entry in fields(VariantsSpec)]
        found = getattr(self.variants, group) if group in known else {}
        if label not in found:
            raise InputError(
                f"{name!r} is no variant; params.yaml has under variants: "
                + ", ".join(f"{part}/{one}" for part in known for one in getattr(self.variants, part))
            )
        return with_overrides(method, found[label], f"variants.{group}.{label}.")

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


# Shared by all stages of a data set, so that no override can tell them different things.
_NOT_OVERRIDABLE = ("ipc", "augment", "resolution", "input_size")


def _overrides(value: Any, key: str) -> dict[str, dict[str, Any]]:
    """Data set → mapping of settings of the method that only distillation reads; empty for none."""
    if not isinstance(value, Mapping):
        raise checks.reject(key, value, "a mapping from data sets to settings, {} for none")
    allowed = [name for name in METHOD_KEYS if name not in _NOT_OVERRIDABLE]
    for dataset, settings in value.items():
        if not isinstance(settings, Mapping) or set(settings) - set(allowed):
            raise checks.reject(f"{key}.{dataset}", settings, f"a mapping of {', '.join(allowed)}")
    return {str(dataset): dict(settings) for dataset, settings in value.items()}


_FILE_CHECKS: dict[str, checks.Check] = {
    "suite": checks.name,
    "seed": checks.integer(0),
    "normalization": checks.choice("pretrained", "imagenet"),
    "real_rounds": checks.integer(1),
    "probe": checks.section(ProbeSpec),
    "alignment": checks.section(AlignmentSpec),
    "datasets": _named(_source),
    "backbones": _named(_source),
    "figure_backbones": _named(_source, fewest=0),
    "variants": checks.section(VariantsSpec),
    "tables": checks.section(TablesSpec),
    "figures": checks.section(FiguresSpec),
    "checkpoint": checks.section(CheckpointSpec),
    "dataset_overrides": _overrides,
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
    _check_names(params)
    _check_backbone_names(params)
    _check_overrides(params)
    for group in fields(params.variants):
        for name in getattr(params.variants, group.name):
            params.variant(f"{group.name}/{name}")
    return params


def _check_overrides(params: Params) -> None:
    for dataset in params.dataset_overrides:
        if dataset not in params.datasets:
            allowed = f"one of datasets: {', '.join(params.datasets)}"
            raise checks.reject("dataset_overrides", dataset, allowed)
        params.for_dataset(dataset)


def _check_names(params: Params) -> None:
    """Tables and figures show data sets and backbones that the file lists."""
    for part in ("tables", "figures"):
        for shown in fields(getattr(params, part)):
            for place, name in asdict(getattr(getattr(params, part), shown.name)).items():
                group = "backbones" if place == "source" else "datasets"
                known = list(getattr(params, group))
                if (shown.name, place) == ("figure8", "source"):
                    known += params.figure_backbones
                if name not in known:
                    key = f"{part}.{shown.name}.{place}"
                    raise checks.reject(key, name, f"one of {group}: {', '.join(known)}")


def _check_backbone_names(params: Params) -> None:
    taken = sorted({"full", "average"} & set(params.backbones))
    if taken:
        raise checks.reject(
            f"backbones.{taken[0]}", taken[0], "another name; tables have a row or column of this one"
        )
    both = sorted(set(params.backbones) & set(params.figure_backbones))
    if both:
        raise checks.reject(f"figure_backbones.{both[0]}", both[0], "a name that backbones does not have")


def with_overrides(method: MethodSpec, overrides: Mapping[str, Any], prefix: str = "") -> MethodSpec:
    """The method with some settings replaced, checked like the file's own.

    Args:
        method: the settings to start from.
        overrides: setting → value.
        prefix: where they stand in the params file, for messages.

    Raises:
        InputError: if a setting is unknown, out of range, or one that all variants share: features and
            baselines are made once, with the file's own sizes and augmentation.
    """
    allowed = [key for key in METHOD_KEYS if key not in _SHARED_KEYS]
    checked = {}
    for key, value in overrides.items():
        entry = next((entry for entry in fields(MethodSpec) if entry.name == key), None)
        if key in _SHARED_KEYS:
            raise checks.reject(prefix + key, value, "no value of its own, all variants share the file's")
        if entry is None:
            raise InputError(f"params.yaml: unknown key {prefix}{key}; allowed: {', '.join(allowed)}.")
        checked[key] = entry.metadata["check"](value, prefix + key)
    if "augment" in checked and checked["augment"] not in (NO_AUGMENTATION, method.augment):
        raise checks.reject(f"{prefix}augment", overrides["augment"], f"{NO_AUGMENTATION!r}")
    return replace(method, **checked)
