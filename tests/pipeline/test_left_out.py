"""What a suite leaves out of tables and figures is said there, and DVC finds the files that it looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dvc_graph import STAGES, cells, content, declared, texts
from settings.suite_values import left_out
from toy_project import FIGURES, LAYOUT, TABLES, run, write_settings

pytestmark = pytest.mark.slow


@pytest.fixture
def nothing_shown(empty_project: Path, suite: dict[str, Any]) -> dict[str, Any]:
    """Settings whose tables and figures are all left out, in the current folder; they were checked."""
    for part in ("tables", "figures"):
        suite[part] = {name: left_out(places) for name, places in suite[part].items()}
    suite |= {"suite": "toy", "ensembles": {}}
    suite["variants"] = {group: {} for group in suite["variants"]}
    suite["own_tables"] = {"mine": {"kind": "pairs", "left": "none", "right": "none"}}
    write_settings(suite)
    run("settings")
    return suite


def shown(suite: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Stages of tables and figures, with their cells."""
    stages = [stage for stage in STAGES if stage.startswith(("tables", "figures"))]
    return [(stage, cell) for stage in stages for cell in cells(stage, suite)]


def test_all_that_tables_and_figures_depend_on_is_there(nothing_shown: dict[str, Any]) -> None:
    found = [
        dep
        for stage, cell in shown(nothing_shown)
        for dep in declared(stage, "deps", nothing_shown, cell)
        if dep.startswith("results/toy/")
    ]
    assert len(found) > 30
    assert [dep for dep in found if not Path(dep).exists()] == []
    outs = declared("code", "outs", nothing_shown, {})
    assert {dep.split("/")[2] for dep in found} <= {out.rpartition("/")[2] for out in outs}


def test_checking_again_changes_no_file(nothing_shown: dict[str, Any]) -> None:
    before = {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}
    run("settings")
    assert {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()} == before


def test_each_of_them_says_that_it_is_left_out_and_writes_its_outs(nothing_shown: dict[str, Any]) -> None:
    for name in (*TABLES, "mine"):
        run("tables", name)
        assert f"{name} is left out" in LAYOUT.table(name, ".md").read_text(encoding="utf-8")
    for name in FIGURES:
        run("figures", name)
    for stage, cell in shown(nothing_shown):
        parts = [part for part in ("outs", "metrics") if part in content(stage)]
        assert parts
        missing = [
            out
            for part in parts
            for out in declared(stage, part, nothing_shown, cell)
            if not Path(out).is_file()
        ]
        assert missing == [], texts(content(stage)["outs"])
