"""Shared by the tests of the reports: hand-made results, and the settings that show them."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reporting.hand_made import shown_settings, write_papers, write_three, write_two
from reporting.whole_report import CAPTIONS, whole_settings, write_whole

from lgm_core.foundation.layout import Layout
from lgm_core.reporting.page import write_report
from lgm_core.reporting.results import Results
from lgm_core.reporting.tables import Table, assemble
from lgm_core.settings.params import Params

Assembled = Callable[..., Table]


@pytest.fixture(autouse=True)
def _unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is written for long."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def two(tmp_path: Path) -> Results:
    """Results of two backbones, a and b, on pets and cars."""
    write_two(Layout(tmp_path, "two"))
    return Results(Layout(tmp_path, "two"))


@pytest.fixture
def three(tmp_path: Path) -> Results:
    """Results of three models on pets and biased, and of variants."""
    write_three(Layout(tmp_path, "three"))
    return Results(Layout(tmp_path, "three"))


@pytest.fixture
def papers(tmp_path: Path) -> Results:
    """Results of the paper's models on some of its data sets."""
    write_papers(Layout(tmp_path, "paper"))
    return Results(Layout(tmp_path, "paper"))


@pytest.fixture
def assembled(suite: dict[str, Any]) -> Assembled:
    """`assembled("table2", results, "pets", "cars", ("a", "b"))`: a table of hand-made results."""

    def make(
        name: str, results: Results, left: str, right: str, backbones: tuple[str, ...], **more: Any
    ) -> Table:
        captions = more.pop("captions", {})
        return assemble(name, results, shown_settings(suite, left, right, backbones, **more), captions)

    return make


@pytest.fixture(scope="session")
def _whole(_embedded_suite: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """All that a report shows, and the report itself; not to be changed."""
    settings = whole_settings(copy.deepcopy(_embedded_suite))
    layout = Layout(tmp_path_factory.mktemp("whole"), settings.suite)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        write_whole(layout, settings)
        write_report(Results(layout), settings, CAPTIONS, layout.report)
    return layout


@pytest.fixture
def settings(suite: dict[str, Any]) -> Params:
    """Two small data sets, two models, one ablation and one number of rounds."""
    return whole_settings(suite)


@pytest.fixture
def report(_whole: Layout) -> Path:
    """The report of those settings; not to be changed."""
    return _whole.report


@pytest.fixture
def whole(_whole: Layout) -> Results:
    """All that a report of those settings shows; not to be changed."""
    return Results(_whole)


@pytest.fixture
def own_whole(_whole: Layout, tmp_path: Path) -> Results:
    """The same, a test's own copy, the report included."""
    shutil.copytree(_whole.root, tmp_path / "whole")
    return Results(Layout(tmp_path / "whole", _whole.suite))
