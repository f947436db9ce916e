"""docs/parameters.md says what the settings say of themselves, and leaves none out."""

from __future__ import annotations

import re
from typing import Any

from dvc_graph import ROOT

from lgm_core.settings.descriptions import describe
from lgm_core.settings.evaluation import AlignmentSettings, ProbeSettings
from lgm_core.settings.method import AugmentSettings, CheckpointSettings, MethodSettings
from lgm_core.settings.params import Groups, VariantSettings
from stages import machine
from stages.parameters_page import PAGE, sections, written

TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
# Groups that stand on the page by their settings; what is below other keys are names that a suite gives.
GROUPS = ("checkpoint", "variants", "probe", "alignment")


def test_the_committed_page_is_the_generated_one() -> None:
    assert written(TEXT) == TEXT


def test_every_section_stands_on_the_page_once_and_between_marks() -> None:
    assert sorted(re.findall(r"^<!-- generated:(\w+) -->$", TEXT, re.MULTILINE)) == sorted(sections())
    assert TEXT.count("<!-- /generated -->") == len(sections())


def test_a_page_out_of_date_is_mended_and_the_text_around_its_tables_kept() -> None:
    stale = TEXT.replace("Synthetic images per class", "something else")
    assert stale != TEXT
    assert written(stale) == TEXT
    prose = "Before.\n<!-- generated:checkpoint -->\nold\n<!-- /generated -->\nAfter.\n"
    assert re.fullmatch(r"Before\.\n.*\| `checkpoint\.steps` \|.*\nAfter\.\n", written(prose), re.DOTALL)


def test_every_setting_of_a_suite_stands_on_the_page(suite: dict[str, Any]) -> None:
    keys = [key for key in suite if key not in GROUPS]
    keys += [f"{group}.{key}" for group in (*GROUPS, "augment") for key in suite[group]]
    assert [key for key in keys if f"`{key}`" not in TEXT] == []


def test_every_setting_says_what_it_is() -> None:
    kinds = (Groups, VariantSettings, MethodSettings, AugmentSettings, ProbeSettings)
    for spec in (*kinds, AlignmentSettings, CheckpointSettings):
        assert all(said.about for said in describe(spec).values())


def test_every_variable_of_the_machine_stands_on_the_page() -> None:
    rows = re.findall(r"^\| `(LGM_\w+)` \|", sections()["machine"], re.MULTILINE)
    assert sorted(rows) == sorted(f"LGM_{key.upper()}" for key in machine.KEYS)
