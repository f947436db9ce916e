"""Settings of the evaluation: linear probes and alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lgm_core.foundation.errors import SettingError
from lgm_core.settings import checks
from lgm_core.settings.checks import parse, setting
from lgm_core.settings.method import AugmentSettings


@dataclass(frozen=True)
class ProbeSettings:
    """Evaluation by linear probing (write-up A.3)."""

    epochs: int = setting(checks.integer(1))
    """Passes over a small training set. Paper: 1000."""
    full_epochs: int = setting(checks.integer(1))
    """Passes over the full data set. Paper: not stated; 100 (published code)."""
    batch_size: int = setting(checks.integer(1))
    """Images per step. Paper: 100; min(100, images) (published code)."""
    learning_rate: float = setting(checks.number(above=0))
    """For a batch of 256; scaled by `batch_size / 256`, however many images there are; cosine decay to 0.
    Paper: not stated; 0.001 (published code)."""
    head_std: float = setting(checks.number(0))
    """Standard deviation of the initial head's weights. Paper: not stated; 0.01 (published code)."""
    seeds: int = setting(checks.integer(1))
    """Runs, which ± is over where there is one distillation. Paper: not stated; 5 (published code)."""
    random_seeds: int = setting(checks.integer(1))
    """Draws of the Random baseline. Paper: 10."""
    view_rounds: int = setting(checks.integer(1))
    """Rounds of training views made of each image, of which every seed has its own share; a share of fewer
    rounds than epochs is visited again in random order. Paper: not stated; = epochs, for every seed
    (published code)."""
    full_view_rounds: int = setting(checks.integer(1))
    """The same for the full data set, in the feature cache. Paper: not stated; = full_epochs (published
    code)."""
    patience: int = setting(checks.integer(0))
    """0 reports the final epoch; n stops after n epochs without a better accuracy on held-out *training*
    images, never on the test set. Paper: 50, on images it does not name."""
    holdout: float = setting(checks.number(above=0, maximum=0.5))
    """Share of the training images held out for that, and for choosing ridge's penalty. Paper: not stated."""
    augment: AugmentSettings = setting(checks.section(AugmentSettings))
    """Training views. Paper: not stated; flip and crop (published code)."""

    def __post_init__(self) -> None:
        if self.view_rounds < self.seeds:
            allowed = f"at least seeds, {self.seeds}, for each has rounds of its own"
            raise SettingError("view_rounds", self.view_rounds, allowed)

    @classmethod
    def paper(cls, **changes: Any) -> ProbeSettings:
        """The paper's settings, some of them changed by keyword.

        Where its text states nothing, the published code's, with windows inside the image; the final epoch
        counts, for the text does not say on which images it would stop earlier.

        Raises:
            InputError: if a setting is unknown or out of range.
        """
        settings = {
            "epochs": 1000,
            "full_epochs": 100,
            "batch_size": 100,
            "learning_rate": 0.001,
            "head_std": 0.01,
            "seeds": 5,
            "random_seeds": 10,
            "view_rounds": 1000,
            "full_view_rounds": 100,
            "patience": 0,
            "holdout": 0.1,
            "augment": {
                "flip_probability": 0.5,
                "crop_scale": [0.08, 1.0],
                "crop_ratio": [3 / 4, 4 / 3],
                "crop_overhang": False,
                "noise_mean": 0.0,
                "noise_std": 0.0,
                "noise_probability": 0.0,
            },
        }
        return parse(cls, settings | changes)


@dataclass(frozen=True)
class AlignmentSettings:
    """Mutual k-nearest-neighbour alignment (Huh et al. 2024)."""

    neighbors: int = setting(checks.integer(1))
    """K of mutual k-NN. Paper: not stated; 10 (Huh et al. 2024)."""
    samples: int = setting(checks.integer(2))
    """Test images that are compared. Paper: not stated; 1000 (Huh et al. 2024)."""
    seed: int = setting(checks.integer(0))
    """Of their choice. Paper: not stated."""
