"""Whatever the cells hold, a table shows their means, whatever else lies around."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import write_json
from lgm_core.settings.params import Params
from stages.tables import main as write_table

NETS = ["a", "b", "c"]
RUNS = st.lists(st.floats(0.5, 100), min_size=1, max_size=4)
CELLS = st.fixed_dictionaries(
    {net: st.fixed_dictionaries(dict.fromkeys(NETS, RUNS) | {"full": RUNS}) for net in NETS}
)
Settings = Callable[..., Params]


def write_cells(layout: Layout, cells: dict[str, dict[str, list[float]]], order: list[str]) -> None:
    for net in order:
        targets = {other: {"distilled": {"top1": cells[net][other]}} for other in NETS}
        write_json(layout.probe("shapes", net), {"source": net, "targets": targets})
        write_json(layout.baselines("shapes", net), {"full": {"top1": cells[net]["full"]}})


def read_table(layout: Layout) -> dict[tuple[str, str], dict[str, str]]:
    with layout.table("table2", ".csv").open(encoding="utf-8", newline="") as file:
        return {(line["row"], line["column"]): line for line in csv.DictReader(file)}


@pytest.fixture
def table2(params: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project of one data set and three backbones, as the current folder."""
    pair = {"left": "shapes", "right": "shapes"}
    plan = params(tables={"table2": pair}, backbones=dict.fromkeys(NETS, "efficientnet_lite0"))
    plan = Params(**{**vars(plan), "backbones": {net: {"source": "efficientnet_lite0"} for net in NETS}})
    monkeypatch.setattr("stages.tables.read_params", lambda: plan)
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
    (table2.probe if kind == "probe" else table2.baselines)("shapes", lost).unlink()
    with pytest.raises(InputError, match=f"dvc repro {kind}@shapes-{lost}"):
        write_table("table2")
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
    for path in (table2.probe("shapes", "z"), table2.probe("shapes", ".a.json.tmp")):
        path.write_text(json.dumps(stray), encoding="utf-8")
    write_table("table2")
    assert table2.table("table2", ".csv").read_bytes() == before
