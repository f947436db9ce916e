"""An export's card names commands that make it: each stage that it names is one of the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lgm_core.foundation.store import write_json
from lgm_core.settings.params import Params
from stages.exporting import centroids_of, commands
from stages.params import read_layout

TWO = {"all": ["lite1", "lite2"]}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_backbones_set_is_one_stage(params: Callable[..., Params]) -> None:
    options = {"size": "small", "terms": ""}
    assert commands(params(), "digits", "lite0", "out", options) == [
        "make suite NAME=embedded",
        "dvc repro probe@digits-lite0",
        "python -m stages.export digits lite0 out --size small",
    ]


@pytest.mark.parametrize(
    ("dataset", "made"),
    [
        ("shapes", ["dvc repro probe_ensembles@shapes-all"]),
        ("digits", ["python -m stages.distill digits all", "python -m stages.probe digits all"]),
    ],
)
def test_an_ensembles_set_is_a_stage_where_table_9_shows_it(
    params: Callable[..., Params], dataset: str, made: list[str]
) -> None:
    suite = params(ensembles=TWO, tables={"table9": {"dataset": "shapes"}})
    found = commands(suite, dataset, "all", "out", {"terms": "cifar10"})
    assert found[1:-1] == [f"dvc repro probe@{dataset}-lite1", *made]
    assert found[-1] == f"python -m stages.export {dataset} all out --terms cifar10"


def test_centroids_are_those_of_the_first_member_that_was_probed(params: Callable[..., Params]) -> None:
    suite = params(ensembles=TWO)
    assert centroids_of(suite, "digits", "all") == "lite1"
    write_json(read_layout(suite).cell("digits", "lite2").probe, {})
    assert centroids_of(suite, "digits", "all") == "lite2"
