"""What the descriptions call the paper's value is what its text says; where it says nothing, so do they."""

from __future__ import annotations

import re

import pytest
from settings.suite_values import read_suite

from lgm_core.settings.checks import parse
from lgm_core.settings.descriptions import describe
from lgm_core.settings.evaluation import AlignmentSettings, ProbeSettings
from lgm_core.settings.method import AugmentSettings, MethodSettings
from lgm_core.settings.params import Groups, VariantSettings

STATED: dict[type, dict[str, str]] = {
    MethodSettings: {
        "ipc": "1",  # §4
        "steps": "5000",  # §4, A.1
        "aug_rounds": "10 (3 on ImageNet-1k)",  # A.1, Limitations
        "objective": "`gradient`",  # §3.1
        "augment": "see below",
        "head_init": "`normal`",  # §3.1
        "head_std": "1 (§3.1)",
        "head_draws": "1",  # §3.1
        "include_bias": "`false` (Eq. 3)",
        "parameterization": "`pyramid`",  # §3.2
        "init": "`normal`",  # A.1
        "growth_interval": "200",  # A.1
        "decorrelate_color": "`true`",  # §3.2
        "resolution": "256",  # §3.2, A.1
        "input_size": "224",  # §4, A.2
        "optimizer": "`adam`",  # A.1
        "learning_rate": "0.002",  # A.1
    },
    AugmentSettings: {"noise_std": "0.2"},  # A.2
    ProbeSettings: {
        "epochs": "1000",  # A.3
        "batch_size": "100",  # A.3
        "random_seeds": "10",  # §4
        "patience": "50, on images it does not name",  # A.3
    },
    AlignmentSettings: {},
    Groups: {
        "datasets": "those of `suites/paper.yaml`",  # §4, A.4, B
        "backbones": "CLIP, DINO-v2, EVA-02, MoCo-v3",  # §4
        "figure_backbones": "DINO v1",  # §4.7
        "dataset_overrides": "ImageNet-1k: 3 rounds",  # Limitations
    },
    VariantSettings: {
        "ablation": "color, pyramid, augmentation",  # §4.3
        "rounds": "1, 5, 10",  # Figure 3
    },
}
"""Setting → what the text of the paper says of it, and where."""
NOTHING_TO_STATE = {
    Groups: {
        "suite",
        "seed",
        "tables",
        "own_tables",
        "figures",
        "variants",
        "probe",
        "alignment",
        "checkpoint",
    }
}
NOT_THE_CODES = {
    "batch_size",  # the text's
    "patience",  # none: the final epoch counts
    "holdout",  # of nobody but this project
}
"""Settings whose value in `paper()` is not the last one that is told."""


def _stated(kind: type) -> dict[str, str]:
    """Setting → all that is said of its value in the paper."""
    said = {name: found.paper for name, found in describe(kind).items()}
    assert {name for name, paper in said.items() if not paper} == NOTHING_TO_STATE.get(kind, set())
    return {name: paper for name, paper in said.items() if paper}


@pytest.mark.parametrize("kind", STATED, ids=lambda kind: kind.__name__)
def test_the_papers_values_are_those_of_its_text(kind: type) -> None:
    first = {name: told.partition("; ")[0] for name, told in _stated(kind).items()}
    assert {name: value for name, value in first.items() if value != "not stated"} == STATED[kind]


@pytest.mark.parametrize("kind", [MethodSettings, ProbeSettings])
def test_the_papers_settings_are_the_published_codes_where_that_differs_from_the_text(
    kind: type[MethodSettings] | type[ProbeSettings],
) -> None:
    paper = kind.paper()
    for name, told in _stated(kind).items():
        value = str(getattr(paper, name))
        value = value.lower() if value in {"True", "False"} else value
        *_, last = told.split("; ")
        known = re.sub(r" \(.*\)$", "", last).strip("`")
        if name not in {*NOT_THE_CODES, "augment", "view_rounds", "full_view_rounds"}:
            assert known == value, name


def test_the_papers_views_are_the_published_codes_but_inside_the_image() -> None:
    augment = MethodSettings.paper().augment
    assert isinstance(augment, AugmentSettings)
    known = {
        name: re.sub(r" \(.*\)$", "", told).removeprefix("not stated; ")
        for name, told in _stated(AugmentSettings).items()
    }
    assert known == {
        "flip_probability": str(augment.flip_probability),
        "crop_scale": "0.08, 1",
        "crop_ratio": "3/4, 4/3",
        "crop_overhang": "`true`",
        "noise_mean": "0",
        "noise_std": str(augment.noise_std),
        "noise_probability": str(augment.noise_probability),
    }
    assert (augment.crop_scale, augment.crop_ratio) == ((0.08, 1), (3 / 4, 4 / 3))
    assert (augment.noise_mean, augment.crop_overhang) == (0, False)


def test_neighbors_and_samples_of_the_papers_suite_are_those_of_huh_et_al() -> None:
    alignment = parse(AlignmentSettings, read_suite("paper")["alignment"])
    assert _stated(AlignmentSettings) == {
        "neighbors": f"not stated; {alignment.neighbors} (Huh et al. 2024)",
        "samples": f"not stated; {alignment.samples} (Huh et al. 2024)",
        "seed": "not stated",
    }
