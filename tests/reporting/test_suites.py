"""Suites side by side: means over models from the metrics of every suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lgm_core.foundation.errors import DamagedFileError
from lgm_core.foundation.store import write_json
from lgm_core.reporting.page import write_report
from lgm_core.reporting.results import Results
from lgm_core.reporting.suites import SuiteRow, suites_side_by_side
from lgm_core.settings.params import Params

ROOT = Path(__file__).resolve().parents[2]


def top1(distilled: Any = 60.0) -> dict[str, Any]:
    """Accuracies of one model and their mean."""
    means = {"distilled": distilled, "neighbors": 40.0, "centroids": 50.0, "random": 30.0, "full": 90.0}
    return {"pets": {"top1": {row: {"a": 0.0, "average": mean} for row, mean in means.items()}}}


def test_every_suite_has_a_row_for_every_data_set(tmp_path: Path) -> None:
    write_json(tmp_path / "one" / "table1.json", top1())
    write_json(tmp_path / "two" / "table1.json", {"cars and pets": {"gap": {}}, **top1(70.0)})
    write_json(tmp_path / "two" / "table2.json", {})
    write_json(tmp_path / "three" / "table2.json", {})
    assert suites_side_by_side(tmp_path) == [
        SuiteRow("one", "pets", 60.0, 50.0, 30.0, 90.0),
        SuiteRow("two", "pets", 70.0, 50.0, 30.0, 90.0),
    ]


def test_the_metrics_of_this_project_can_be_read() -> None:
    assert len({row.suite for row in suites_side_by_side(ROOT / "metrics")}) > 1


@pytest.mark.parametrize("value", ["high", None, float("nan"), [1.0]])
def test_damaged_metrics_are_named(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "one" / "table1.json"
    path.parent.mkdir()
    path.write_text(str(top1(value)).replace("'", '"').replace("None", "null").replace("nan", "NaN"))
    with pytest.raises(DamagedFileError, match=re.escape(str(path))):
        suites_side_by_side(tmp_path)


def test_the_page_shows_them_where_there_are_several(own_whole: Results, settings: Params) -> None:
    layout = own_whole.layout
    for suite in ("one", "two"):
        write_json(layout.root / "metrics" / suite / "table1.json", top1())
    write_report(own_whole, settings, {}, layout.report)
    text = (layout.report / "index.html").read_text(encoding="utf-8")
    assert '<th scope="row">two</th><td>pets</td><td>60.0</td><td>50.0</td>' in text
