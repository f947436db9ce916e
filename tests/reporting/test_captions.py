"""What stands under a figure: what is seen in it, of which data set and suite, and what its ± is."""

from __future__ import annotations

from dataclasses import replace

from reporting.whole_report import CAPTIONS

from lgm_core.reporting.figures import FIGURES, figure_caption
from lgm_core.settings.params import Params


def test_a_caption_says_what_is_shown_of_which_data_set_and_suite(settings: Params) -> None:
    told = FIGURES["figure1"].told
    assert (
        figure_caption("figure1", settings, CAPTIONS)
        == f"{told}\npets: {CAPTIONS['pets']}.\nSuite: embedded."
    )
    both = figure_caption("losses", settings, {"pets": "x", "biased": "y"})
    assert both.endswith("\npets: x.\nbiased: y.\nSuite: embedded.")
    assert figure_caption("figure1", settings, {}) == f"{told}\nSuite: embedded."


def test_every_caption_says_what_is_seen_and_what_a_spread_is(settings: Params) -> None:
    several = replace(settings, distillations=3)
    for name, row in FIGURES.items():
        assert row.told.endswith("."), name
        said = figure_caption(name, several, {})
        assert ("± is the standard deviation over 3 distillations" in said) == row.spread, name
    assert {name for name, row in FIGURES.items() if row.spread} == {
        "figure3",
        "figure8",
        "figure9",
        "figure10",
    }
