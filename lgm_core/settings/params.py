"""A complete set of settings: what is compared, the method, its variants, the evaluation, what is shown.

Top-level keys are the method's settings, so that `-S aug_rounds=5` works as typed; groups hold the rest.
Nothing has a default here: every value is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from lgm_core.foundation.errors import InputError, KeyFaultError, SettingError
from lgm_core.foundation.layout import NOTHING, RESERVED_DATASETS, RESERVED_SUITES
from lgm_core.foundation.sources import BackboneSource, DatasetSource
from lgm_core.settings import checks
from lgm_core.settings.checks import COMPLETE, parse, setting
from lgm_core.settings.evaluation import AlignmentSettings, ProbeSettings
from lgm_core.settings.method import (
    METHOD_KEYS,
    REAL,
    CheckpointSettings,
    FeatureSettings,
    MethodSettings,
    with_overrides,
)
from lgm_core.settings.places import LISTS, Shown, shown

_ROWS = ("full", "average")
"""Names that tables give to rows and columns of their own."""


def _source(kind: Callable[..., Any]) -> checks.Check:
    """A source in one word, or a mapping with `source` and what may stand beside it."""
    known = [entry.name for entry in fields(kind)]  # pyright: ignore[reportArgumentType]

    def check(value: Any, key: str) -> Any:
        if isinstance(value, str) and value.strip():
            return kind(value)
        if not isinstance(value, Mapping) or "source" not in value:
            allowed = "a source such as toy:shapes or timm:<tag>, or a mapping with source"
            raise SettingError(key, value, allowed)
        unknown = [f"{key}.{part}" for part in value if part not in known]
        if unknown:
            raise KeyFaultError("unknown", unknown, f"allowed: {', '.join(known)}")
        return kind(**{part: _beside(part)(value[part], f"{key}.{part}") for part in value})

    return check


def _beside(part: str) -> checks.Check:
    return checks.boolean if part == "partial" else checks.text


def _named(check: checks.Check, *, fewest: int = 1) -> checks.Check:
    """A mapping from plain names to what `check` accepts, not empty unless `fewest` is 0."""

    def checked(value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) < fewest:
            allowed = "a mapping with at least one name" if fewest else "a mapping from names, {} for none"
            raise SettingError(key, value, allowed)
        return {checks.name(part, key): check(value[part], f"{key}.{part}") for part in value}

    return checked


def _members(value: Any, key: str) -> dict[str, float]:
    """Two or more different backbones, each with its weight."""
    allowed = "a list of two backbones or more, each once, or a mapping from backbones to weights"
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        given = dict.fromkeys(value, 1.0)
        repeated = len(given) < len(value)
    else:
        given, repeated = value, False
    if not isinstance(given, Mapping) or len(given) < 2 or repeated:
        raise SettingError(key, value, allowed)
    weight = checks.number(above=0)
    return {checks.name(name, key): weight(given[name], f"{key}.{name}") for name in given}


def _changes(value: Any, key: str) -> dict[str, Any]:
    """Settings of the method that a variant changes; their values are checked with the method's own."""
    if not isinstance(value, Mapping) or not value:
        raise SettingError(key, value, "a mapping of the method's settings that the variant changes")
    return {checks.name(part, key): value[part] for part in value}


@dataclass(frozen=True)
class VariantSettings:
    """Variants of the method, by group: name → settings that differ."""

    ablation: dict[str, dict[str, Any]] = setting(_named(_changes, fewest=0))
    """Name → settings of the method that differ: the rows of Table 3 and Figure 5; `{}` for none. Paper:
    color, pyramid, augmentation."""
    rounds: dict[str, dict[str, Any]] = setting(_named(_changes, fewest=0))
    """Name → settings that differ, one for each number of augmentation rounds in Figure 3; the method itself
    is a point of its own; `{}` for none. Paper: 1, 5, 10."""
    longer: dict[str, dict[str, Any]] = setting(_named(_changes, fewest=0))
    """Name → settings that let one backbone alone cost as much as an ensemble, for Table 9; `{}` for none.
    Paper: not stated."""
    objectives: dict[str, dict[str, Any]] = setting(_named(_changes, fewest=0))
    """Name → settings of other objectives, the rows of Table 10; `{}` for none. Paper: not stated."""
    ipc: dict[str, dict[str, Any]] = setting(_named(_changes, fewest=0))
    """Name → `ipc` and what else differs with so many images per class, the points of Figure 9; `{}` for
    none. Paper: not stated."""
    recipes: dict[str, dict[str, Any]] = setting(_named(_changes, fewest=0))
    """Name → settings of a cheaper or dearer recipe, the points of Figure 10; `{}` for none. Paper: not
    stated."""

    @property
    def groups(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The groups by name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


SEVERAL = "ipc"
"""The group of variants that may have more images per class."""


# Shared by all stages of a data set, so that no override can tell them different things.
_NOT_OVERRIDABLE = ("ipc", "augment", "resolution", "input_size")


def _overrides(value: Any, key: str) -> dict[str, dict[str, Any]]:
    """Data set → mapping of settings of the method that only distillation reads; empty for none."""
    if not isinstance(value, Mapping):
        raise SettingError(key, value, "a mapping from data sets to settings, {} for none")
    allowed = [name for name in METHOD_KEYS if name not in _NOT_OVERRIDABLE]
    for dataset, settings in value.items():
        if not isinstance(settings, Mapping) or set(settings) - set(allowed):
            raise SettingError(f"{key}.{dataset}", settings, f"a mapping of {', '.join(allowed)}")
    return {str(dataset): dict(settings) for dataset, settings in value.items()}


@dataclass(frozen=True)
class Groups:
    """Everything beside the method's own settings."""

    suite: str = setting(checks.name)
    """Name of the folder under `results/` and `metrics/`; results of different suites live side by side."""
    seed: int = setting(checks.integer(0))
    """Root of all random draws; every draw is named, so the same settings give the same result."""
    datasets: dict[str, DatasetSource] = setting(_named(_source(DatasetSource)))
    """Short name → source: a published data set, `folder:<path>`, `torch/<name>`, `hfds/<repository>`,
    `toy:<name>`, `digits`; [data.md](data.md) has them all. Paper: those of `suites/paper.yaml`."""
    backbones: dict[str, BackboneSource] = setting(_named(_source(BackboneSource)))
    """Short name → source: a built-in row, `timm:<tag>`, `open_clip:<model>/<pretrained>`; or a mapping with
    `source` and `checkpoint`; [backbones.md](backbones.md) has them all. Paper: CLIP, DINO-v2, EVA-02,
    MoCo-v3."""
    figure_backbones: dict[str, BackboneSource] = setting(_named(_source(BackboneSource), fewest=0))
    """Backbones that Figure 8 alone may show and no table compares, `{}` for none. Paper: DINO v1."""
    ensembles: dict[str, dict[str, float]] = setting(_named(_members, fewest=0))
    """Name → backbones that distil together, as a list, or with their weights as a mapping; `{}` for none.
    Table 9 compares them on its data set. Paper: not stated."""
    normalization: str = setting(checks.choice("pretrained", "imagenet"))
    """`pretrained`: the statistics each backbone was pretrained with; `imagenet`: ImageNet's for all. Paper:
    not stated; `imagenet` (published code)."""
    distillations: int = setting(checks.integer(1, 1000))
    """Distillations of every set, each from draws of its own; tables show the mean ± standard deviation over
    them where there are several, and over the probe's seeds where there is one. Paper: not stated; 1
    (published code)."""
    real_rounds: int = setting(checks.integer(1))
    """Augmentation rounds of the real images in the feature cache. Paper: not stated; new views in every step
    (published code)."""
    tables: dict[str, Shown] = setting(_named(shown))
    """Table → the data sets it shows, `left` and `right` or `dataset`; `none` leaves a place empty, and a
    table without a data set out; the `backbones` whose variants it shows, the `sources` that it judges."""
    own_tables: dict[str, Shown] = setting(_named(shown, fewest=0))
    """Name → `kind`, `left` and `right` of a table of one's own, which the stage `tables@<name>` makes; `{}`
    for none."""
    figures: dict[str, Shown] = setting(_named(shown))
    """Figure → the data sets and the distilling `source` it shows; Figure 5 shows Table 3's data set."""
    variants: VariantSettings = setting(checks.section(VariantSettings))
    """Variants of the method."""
    probe: ProbeSettings = setting(checks.section(ProbeSettings))
    """Linear probes."""
    alignment: AlignmentSettings = setting(checks.section(AlignmentSettings))
    """Mutual k-NN."""
    checkpoint: CheckpointSettings = setting(checks.section(CheckpointSettings))
    """How often a distillation saves its state."""
    dataset_overrides: dict[str, dict[str, Any]] = setting(_overrides)
    """Data set → settings of distillation that differ for it; `{}` for none. Paper: ImageNet-1k: 3 rounds."""


_GROUP_KEYS = tuple(entry.name for entry in fields(Groups))


@dataclass(frozen=True)
class Params(Groups):
    """A complete file of settings."""

    method: MethodSettings = setting(checks.section(MethodSettings))

    def backbone(self, name: str) -> BackboneSource:
        """The source of a backbone, be it one that tables compare or one of Figure 8 alone.

        Raises:
            InputError: if there is none of that name.
        """
        for group in (self.backbones, self.figure_backbones):
            if name in group:
                return group[name]
        known = ", ".join((*self.backbones, *self.figure_backbones))
        raise InputError(f"{name!r} is not among backbones; there are: {known}.")

    def members(self, source: str) -> dict[str, float]:
        """The backbones that a source distils with, and their weights: an ensemble's, or one alone.

        Raises:
            InputError: if there is no source of that name.
        """
        if source in self.ensembles:
            return dict(self.ensembles[source])
        if source in self.backbones or source in self.figure_backbones:
            return {source: 1.0}
        known = ", ".join((*self.backbones, *self.ensembles, *self.figure_backbones))
        raise InputError(f"{source!r} is not among backbones and ensembles; there are: {known}.")

    def for_dataset(self, dataset: str) -> MethodSettings:
        """The method with what `dataset_overrides` says of a data set."""
        overrides = self.dataset_overrides.get(dataset, {})
        return with_overrides(self.method, overrides, f"dataset_overrides.{dataset}.")

    def variant(self, name: str, overrides: Mapping[str, Any] | None = None) -> MethodSettings:
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
        known = [entry.name for entry in fields(VariantSettings)]
        found = getattr(self.variants, group) if group in known else {}
        if label not in found:
            names = ", ".join(f"{part}/{one}" for part in known for one in getattr(self.variants, part))
            raise InputError(f"{name!r} is no variant; there are under variants: {names}.")
        return with_overrides(method, found[label], f"variants.{group}.{label}.", several=group == SEVERAL)

    def features(self) -> FeatureSettings:
        """The part of the settings that the feature cache depends on."""
        return FeatureSettings(
            resolution=self.method.resolution,
            input_size=self.method.input_size,
            augment=self.method.augment,
            real_rounds=self.real_rounds,
            full_view_rounds=self.probe.full_view_rounds,
            full_augment=self.probe.augment,
        )


def parse_params(mapping: Any) -> Params:
    """Check a whole file of settings.

    Args:
        mapping: its content as plain Python values.

    Raises:
        InputError: naming the first key that is unknown, missing or out of range.
    """
    if not isinstance(mapping, Mapping):
        raise SettingError("the file", mapping, "a mapping of settings")
    known = (*_GROUP_KEYS, *METHOD_KEYS)
    for key in mapping:
        if key not in known:
            raise KeyFaultError("unknown", [str(key)], f"allowed: {', '.join(known)}")
    missing = [key for key in _GROUP_KEYS if key not in mapping]
    if missing:
        raise KeyFaultError("missing", missing, COMPLETE)
    method = parse(MethodSettings, {key: mapping[key] for key in METHOD_KEYS if key in mapping})
    groups = parse(Groups, {key: mapping[key] for key in _GROUP_KEYS})
    params = Params(method=method, **{key: getattr(groups, key) for key in _GROUP_KEYS})
    _check_names(params)
    _check_joined(params)
    _check_shown(params)
    _check_overrides(params)
    for group in fields(params.variants):
        for name in getattr(params.variants, group.name):
            params.variant(f"{group.name}/{name}")
    return params


def _check_joined(params: Params) -> None:
    """A stage's name, such as `probe@dataset-source`, is of one cell."""
    sources = {**params.backbones, **params.figure_backbones, **params.ensembles}
    pairs = [(dataset, source) for dataset in params.datasets for source in sources]
    groups = [
        [(*pair, variant) for pair in pairs for variant in of] for of in params.variants.groups.values()
    ]
    for cells in (pairs, *groups):
        known: dict[str, tuple[str, ...]] = {}
        for cell in cells:
            other = known.setdefault("-".join(cell), cell)
            if other != cell:
                allowed = f"names that give other stages than {' and '.join(other)}: rename one of them"
                raise SettingError("the names", " and ".join(cell), allowed)


def _check_overrides(params: Params) -> None:
    for dataset in params.dataset_overrides:
        if dataset not in params.datasets:
            raise SettingError("dataset_overrides", dataset, f"one of datasets: {', '.join(params.datasets)}")
        params.for_dataset(dataset)


def _check_shown(params: Params) -> None:
    """Tables and figures show data sets and sources that are listed."""
    other = {
        "source": ("backbones", [*params.backbones, NOTHING]),
        "backbones": ("backbones", [*params.backbones]),
        "sources": ("backbones and ensembles", [*params.backbones, *params.ensembles]),
    }
    for part in ("tables", "own_tables", "figures"):
        for title, place_names in getattr(params, part).items():
            for place, given in place_names.places.items():
                group, known = other.get(place, ("datasets", [*params.datasets, NOTHING]))
                if (title, place) == ("figure8", "source"):
                    known = [*known, *params.figure_backbones]
                for name in given if place in LISTS else (given,):
                    if name not in known:
                        allowed = f"one of {group}: {', '.join(known)}"
                        raise SettingError(f"{part}.{title}.{place}", name, allowed)


def _check_names(params: Params) -> None:
    """Names that would stand for two things at once."""
    reserved = {
        "datasets": (NOTHING, *RESERVED_DATASETS),
        "backbones": (NOTHING, *_ROWS),
        "figure_backbones": (NOTHING, *params.backbones),
        "ensembles": (NOTHING, *_ROWS, *params.backbones, *params.figure_backbones),
    }
    for group, names in reserved.items():
        taken = [name for name in getattr(params, group) if name in names]
        if taken:
            raise SettingError(f"{group}.{taken[0]}", taken[0], f"a name other than {', '.join(names)}")
    for name, members in params.ensembles.items():
        for member in members:
            if member not in params.backbones:
                allowed = f"one of backbones: {', '.join(params.backbones)}"
                raise SettingError(f"ensembles.{name}", member, allowed)
    if params.method.init == REAL:
        raise SettingError("init", REAL, "normal | zero; real images are a start in variants.ipc")
    if params.suite in RESERVED_SUITES:
        raise SettingError("suite", params.suite, f"a name other than {', '.join(RESERVED_SUITES)}")
