"""Whatever the cells hold, a table shows their means, whatever else lies around."""

from __future__ import annotations

import csv
import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reporting.hand_made import shown_settings, write_of

from lgm_core.foundation.errors import MissingFileError
from lgm_core.foundation.layout import Layout
from stages.advice import explained
from stages.tables import main as write_table

pytestmark = pytest.mark.slow

NETS = ("a", "b", "c")
RUNS = st.lists(st.floats(0.5, 100), min_size=1, max_size=4)
CELLS = st.fixed_dictionaries(
    {net: st.fixed_dictionaries(dict.fromkeys(NETS, RUNS) | {"full": RUNS}) for net in NETS}
)


def write_cells(
    layout: Layout, cells: dict[str, dict[str, list[float]]], order: list[str] | tuple[str, ...]
) -> None:
    real = {name: {"top1": [[1.0]]} for name in ("centroids", "random")}
    for net in order:
        targets = {other: {"distilled": {"top1": [cells[net][other]]}, **real} for other in NETS}
        write_of(layout.cell("shapes", net), "probe", {"source": net, "targets": targets})
        write_of(
            layout.cell("shapes", net),
            "baselines",
            {"full": {"top1": cells[net]["full"]}, "ridge": 0.0},
        )


def read_table(layout: Layout) -> dict[tuple[str, str], dict[str, str]]:
    with layout.table("table2", ".csv").open(encoding="utf-8", newline="") as file:
        return {(line["row"], line["column"]): line for line in csv.DictReader(file)}


@pytest.fixture
def table2(suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project of one data set and three backbones, as the current folder."""
    plan = shown_settings(suite, "shapes", "shapes", NETS)
    for module in ("tables", "advice"):
        monkeypatch.setattr(f"stages.{module}.read_params", lambda: plan)
    monkeypatch.chdir(tmp_path)
    return Layout(Path(), plan.suite)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(CELLS, st.permutations(NETS))
def test_a_table_shows_the_means_of_its_cells(
    table2: Layout, cells: dict[str, dict[str, list[float]]], order: list[str]
) -> None:
    write_cells(table2, cells, order)
    write_table("table2")
    shown = read_table(table2)
    full = {net: statistics.fmean(cells[net]["full"]) for net in NETS}
    for net in NETS:
        means = {other: statistics.fmean(cells[net][other]) for other in NETS}
        for other in NETS:
            line = shown[net, other]
            assert math.isclose(float(line["mean"]), means[other], rel_tol=1e-5)
            assert math.isclose(float(line["share_of_full"]), 100 * means[other] / full[other], rel_tol=1e-4)
            assert (line["std"] == "") == (len(cells[net][other]) == 1)
        average = statistics.fmean(means.values())
        assert math.isclose(float(shown[net, "average"]["mean"]), average, rel_tol=1e-5)
        assert min(means.values()) - 1e-3 <= average <= max(means.values()) + 1e-3


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(CELLS, st.sampled_from(NETS), st.sampled_from(["probe", "baselines"]))
def test_a_missing_cell_is_never_a_smaller_table(
    table2: Layout, cells: dict[str, dict[str, list[float]]], lost: str, kind: str
) -> None:
    write_cells(table2, cells, NETS)
    write_table("table2")
    before = table2.table("table2", ".csv").read_bytes()
    path = getattr(table2.cell("shapes", lost), kind)
    path.unlink()
    with pytest.raises(MissingFileError) as caught:
        write_table("table2")
    assert caught.value.path == path
    assert explained(caught.value).endswith(f"Make it with: dvc repro {kind}@shapes-{lost}")
    assert table2.table("table2", ".csv").read_bytes() == before


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(CELLS)
def test_what_else_lies_around_changes_nothing(
    table2: Layout, cells: dict[str, dict[str, list[float]]]
) -> None:
    write_cells(table2, cells, NETS)
    write_table("table2")
    before = table2.table("table2", ".csv").read_bytes()
    stray = {"source": "z", "targets": {"a": {"distilled": {"top1": [99.0]}}}}
    for path in (table2.cell("shapes", "z").probe, table2.cell("shapes", ".a.json.tmp").probe):
        path.write_text(json.dumps(stray), encoding="utf-8")
    write_table("table2")
    assert table2.table("table2", ".csv").read_bytes() == before
