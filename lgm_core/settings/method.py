"""The settings of Linear Gradient Matching, of its augmentation, its features and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lgm_core.foundation.errors import KeyFaultError, SettingError
from lgm_core.settings import checks
from lgm_core.settings.checks import setting

NO_AUGMENTATION = "none"
WHOLE_BANK = "all"
AS_MANY_AS_VIEWS = "views"
GRADIENT = "gradient"
MEANS = "means"
RIDGE = "ridge"
REAL = "real"
CLUSTERS = "clusters"
MOST_SNAPSHOTS = 100
UNREAD = "none"
"""The value of a setting that the objective does not read."""


@dataclass(frozen=True)
class AugmentSettings:
    """Random view of an image: flip, then random resized crop, then Gaussian noise (write-up A.2)."""

    flip_probability: float = setting(checks.number(0, 1))
    """Chance of a mirrored view. Paper: not stated; 0.5 (published code)."""
    crop_scale: tuple[float, float] = setting(checks.interval(0, 1))
    """Share of the image's area that the window covers, low and high. Paper: not stated; 0.08, 1 (published
    code)."""
    crop_ratio: tuple[float, float] = setting(checks.interval(0))
    """Width over height of the window, low and high. Paper: not stated; 3/4, 4/3 (published code)."""
    crop_overhang: bool = setting(checks.boolean)
    """Whether a window longer than the image leaves it and zeros come in, one window in seven at the
    published shares; if not, it is drawn again, so that all lie inside. Paper: not stated; `true` (published
    code)."""
    noise_mean: float = setting(checks.number())
    """Mean of the noise. Paper: not stated; 0 (published code; 0.5 in its first release)."""
    noise_std: float = setting(checks.number(0))
    """Standard deviation of the noise. Paper: 0.2."""
    noise_probability: float = setting(checks.number(0, 1))
    """Chance of noise in a view. Paper: not stated; 0.5 (published code)."""


@dataclass(frozen=True)
class MethodSettings:
    """Linear Gradient Matching, every setting of it (PROTOCOL: objective, images, optimiser)."""

    ipc: int = setting(checks.integer(1))
    """Synthetic images per class. Paper: 1."""
    steps: int = setting(checks.integer(1))
    """Updates of the images. Paper: 5000."""
    aug_rounds: int = setting(checks.integer(1))
    """K, views of every synthetic image in each step (Eq. 5). Paper: 10 (3 on ImageNet-1k)."""
    objective: str = setting(checks.choice(GRADIENT, MEANS, RIDGE))
    """What the images are to match: `gradient` of random heads; `means`, the class means of the features;
    `ridge`, a probe in closed form that is to classify real features. Paper: `gradient`."""
    augment: AugmentSettings | str = setting(checks.either(NO_AUGMENTATION, checks.section(AugmentSettings)))
    """Random views: flip → random resized crop → noise; or `none`. Paper: see below."""
    head_init: str = setting(checks.choice("normal", "linear"))
    """How a random head is drawn: `normal`, W ~ N(0, head_std²) and b = 0; `linear`, both U(-F^-½, F^-½) as
    `nn.Linear` draws them. Paper: `normal`."""
    head_std: float = setting(checks.number(0))
    """Standard deviation of W. Paper: 1 (§3.1); 0.01 (published code)."""
    head_draws: int = setting(checks.integer(1))
    """M, heads per step; the loss is the mean over M cosines. They share the features, so they are nearly
    free. Paper: 1."""
    head_bank: int = setting(checks.integer(0))
    """Heads that are drawn once, each with its gradient over the whole bank of real views, and that every
    step samples its `head_draws` from; 0: fresh heads in every step. Paper: not stated; 0 (published
    code)."""
    include_bias: bool = setting(checks.boolean)
    """One cosine over the gradients of W and b together, or of W alone. Paper: `false` (Eq. 3); `true`
    (published code)."""
    real_batch: int | str = setting(
        checks.either(AS_MANY_AS_VIEWS, checks.either(WHOLE_BANK, checks.integer(1)))
    )
    """Real views per step: `views`, as many as there are of synthetic images, K · classes · ipc; a number of
    different images; or `all`, the whole cached bank. Paper: not stated; `views` (published code)."""
    ridge_penalty: float | str = setting(checks.either(UNREAD, checks.number(above=0)))
    """λ of `ridge`, in units of the mean squared norm of the synthetic features; `none` for other
    objectives. Paper: not stated; `none` (published code)."""
    ridge_temperature: float | str = setting(checks.either(UNREAD, checks.number(0)))
    """τ that divides the logits of `ridge`; 0: in every step the one that fits best; `none` for other
    objectives. Paper: not stated; `none` (published code)."""
    slots: str = setting(checks.choice("shared", CLUSTERS))
    """What the images of a class stand for: `shared`, all of them for the class; `clusters`, each for one of
    `ipc` clusters of its real images, by k-means. Paper: not stated; `shared` (published code)."""
    parameterization: str = setting(checks.choice("pyramid", "pixels"))
    """`pyramid` of levels 1, 2, 4, … or `pixels`. Paper: `pyramid`."""
    init: str = setting(checks.choice("normal", "zero", REAL))
    """How the levels of the start begin: `normal`, N(0, 1) divided by their number; `zero`; or `real`, all
    levels of one real image of each of `ipc` clusters of a class. Levels that growth adds are drawn from
    N(0, 1) / (n + 1). Paper: `normal`."""
    pyramid_start: int = setting(checks.integer(1))
    """Side in pixels of the finest level at the start. Paper: not stated; 1 (published code)."""
    growth_interval: int = setting(checks.integer(1))
    """Steps until the next finer level is added. Paper: 200."""
    decorrelate_color: bool = setting(checks.boolean)
    """Optimise in the decorrelated colour space of Olah et al. (2017). Paper: `true`."""
    resolution: int = setting(checks.integer(8, 4096))
    """Side in pixels of synthetic images, and of real ones before cropping. Paper: 256."""
    input_size: int = setting(checks.integer(8, 4096))
    """Side in pixels of what the backbones see. Paper: 224."""
    optimizer: str = setting(checks.choice("adam", "sgd"))
    """Of the images: `adam` or `sgd`. Paper: `adam`."""
    learning_rate: float = setting(checks.number(above=0, maximum=1e6))
    """Step size of the optimiser. Paper: 0.002."""
    learning_rate_schedule: str = setting(checks.choice("constant", "cosine"))
    """`constant`, or `cosine`: half a cosine down to 0. Paper: not stated; `constant` (published code)."""
    snapshots: int = setting(checks.integer(0, MOST_SNAPSHOTS))
    """How many small renderings of a distillation are kept, from its start to its end; they show how the
    images grow and change nothing. Paper: not stated; 0 (published code)."""

    def __post_init__(self) -> None:
        if self.input_size > self.resolution:
            allowed = f"at most resolution, {self.resolution}, because views are cropped out of the images"
            raise SettingError("input_size", self.input_size, allowed)
        if self.pyramid_start > self.resolution:
            raise SettingError("pyramid_start", self.pyramid_start, f"at most resolution, {self.resolution}")
        self._check_objective()

    def _check_objective(self) -> None:
        """Refuse values of an objective's own settings where another objective is chosen."""
        if self.head_bank and self.objective != GRADIENT:
            raise SettingError("head_bank", self.head_bank, f"0 where objective is {self.objective}")
        if 0 < self.head_bank < self.head_draws:
            allowed = f"0, or at least head_draws, {self.head_draws}, which every step samples from it"
            raise SettingError("head_bank", self.head_bank, allowed)
        if self.slots == CLUSTERS and self.objective == RIDGE:
            raise SettingError("slots", self.slots, "shared where objective is ridge")
        for key in ("ridge_penalty", "ridge_temperature"):
            value = getattr(self, key)
            if self.objective == RIDGE and value == UNREAD:
                raise SettingError(key, value, "a number where objective is ridge")
            if self.objective != RIDGE and value != UNREAD:
                raise SettingError(key, value, f"{UNREAD!r} where objective is {self.objective}")

    def view_count(self, classes: int) -> int:
        """Views of all synthetic images in one step, K · classes · ipc."""
        return self.aug_rounds * classes * self.ipc

    @classmethod
    def paper(cls, **changes: Any) -> MethodSettings:
        """The paper's settings, some of them changed by keyword.

        Where its text differs from the published code or states nothing, the code's; but windows of views
        lie inside the image, which is `crop_overhang` of the code's.

        Raises:
            InputError: if a setting is unknown or out of range.
        """
        augment = AugmentSettings(0.5, (0.08, 1.0), (3 / 4, 4 / 3), False, 0.0, 0.2, 0.5)
        settings = cls(
            ipc=1,
            steps=5000,
            aug_rounds=10,
            objective=GRADIENT,
            augment=augment,
            head_init="normal",
            head_std=0.01,
            head_draws=1,
            head_bank=0,
            include_bias=True,
            real_batch=AS_MANY_AS_VIEWS,
            ridge_penalty=UNREAD,
            ridge_temperature=UNREAD,
            slots="shared",
            parameterization="pyramid",
            init="normal",
            pyramid_start=1,
            growth_interval=200,
            decorrelate_color=True,
            resolution=256,
            input_size=224,
            optimizer="adam",
            learning_rate=0.002,
            learning_rate_schedule="constant",
            snapshots=0,
        )
        return replace(settings, **checked_settings(changes, METHOD_KEYS))


METHOD_KEYS = tuple(entry.name for entry in fields(MethodSettings))


@dataclass(frozen=True)
class FeatureSettings:
    """How real images become features: one centre view and `real_rounds` augmented ones.

    Attributes:
        resolution: side in pixels of the square cut out of an image.
        input_size: side in pixels of what the backbone sees.
        augment: the views that the real gradient is taken over.
        real_rounds: how many of them.
        full_view_rounds: training views of the probe on all images.
        full_augment: how these are made.
    """

    resolution: int
    input_size: int
    augment: AugmentSettings | str
    real_rounds: int
    full_view_rounds: int
    full_augment: AugmentSettings


@dataclass(frozen=True)
class CheckpointSettings:
    """How often a distillation saves its state; after either, whichever comes first."""

    steps: int = setting(checks.integer(1))
    """Steps between two checkpoints."""
    minutes: float = setting(checks.number(0))
    """Minutes between two checkpoints."""


_HEADS = ("head_init", "head_std", "head_draws", "head_bank", "include_bias")
_RIDGES = ("ridge_penalty", "ridge_temperature")
_UNREAD = {
    GRADIENT: _RIDGES,
    MEANS: (*_HEADS, *_RIDGES, "real_batch"),
    RIDGE: (*_HEADS, "slots"),
}
"""Objective → settings that it does not read."""
_WAITING = {"head_bank": 0, "slots": "shared", **dict.fromkeys(_RIDGES, UNREAD)}
"""Settings that must have these values where the objective does not read them."""

# Features and baselines are made once for all variants; `ipc` has baselines of its own in one group of them.
_SHARED_KEYS = ("ipc", "resolution", "input_size")


def checked_settings(
    changes: Mapping[str, Any], allowed: tuple[str, ...], prefix: str = ""
) -> dict[str, Any]:
    """Single settings of the method, checked.

    Args:
        changes: setting → value.
        allowed: names that may be given.
        prefix: of their dotted names, for messages.

    Raises:
        InputError: if a setting is unknown or out of range.
    """
    known = {entry.name: entry for entry in fields(MethodSettings)}
    for key in changes:
        if key not in allowed:
            raise KeyFaultError("unknown", [f"{prefix}{key}"], f"allowed: {', '.join(allowed)}")
    return {key: known[key].metadata["check"](value, prefix + key) for key, value in changes.items()}


def with_overrides(
    method: MethodSettings, overrides: Mapping[str, Any], prefix: str = "", *, several: bool = False
) -> MethodSettings:
    """The method with some settings replaced, checked like its own.

    Where another objective replaces the method's, settings that belong to that one alone are left behind.

    Args:
        method: the settings to start from.
        overrides: setting → value.
        prefix: of their dotted names, for messages.
        several: whether these may be more images per class, and begin as real ones.

    Raises:
        InputError: if a setting is unknown, out of range, not read by the objective, or one that all
            variants share: features and baselines are made once, with the same sizes and augmentation.
    """
    shared = [key for key in _SHARED_KEYS if not (several and key == "ipc")]
    for key in shared:
        if key in overrides:
            raise SettingError(prefix + key, overrides[key], "no value of its own, all variants share one")
    checked = checked_settings(overrides, tuple(key for key in METHOD_KEYS if key not in shared), prefix)
    if checked.get("augment", NO_AUGMENTATION) not in (NO_AUGMENTATION, method.augment):
        raise SettingError(f"{prefix}augment", overrides["augment"], f"{NO_AUGMENTATION!r}")
    if checked.get("init") == REAL and not several:
        raise SettingError(f"{prefix}init", REAL, "normal | zero; real images are a start in variants.ipc")
    objective = checked.get("objective", method.objective)
    for key in checked:
        if key in _UNREAD[objective]:
            raise SettingError(
                prefix + key, overrides[key], f"left out: objective {objective} does not read it"
            )
    left = {key: value for key, value in _WAITING.items() if key in _UNREAD[objective]}
    try:
        return replace(method, **{**left, **checked})
    except SettingError as error:
        raise SettingError(prefix + error.key, error.given, error.allowed) from None
