"""The stages write a file for what is left out, too, and it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from settings.suite_values import left_out

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import read_json
from lgm_core.reporting.tables import check_tables
from lgm_core.settings.params import Params, parse_params
from stages.figures import main as draw_figure
from stages.tables import main as write_table


@pytest.fixture
def nothing(suite: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A project whose tables and figures show nothing, as the current folder, and without any result."""
    for part in ("tables", "figures"):
        suite[part] = {name: left_out(shown) for name, shown in suite[part].items()}
    suite["own_tables"] = {"mine": {"kind": "pairs", "left": "none", "right": "none"}}
    suite["variants"] |= {"ablation": {}, "rounds": {}}
    settings: Params = parse_params(suite)
    for module in ("tables", "figures"):
        monkeypatch.setattr(f"stages.{module}.read_params", lambda: settings)
    monkeypatch.chdir(tmp_path)
    return Layout(Path(), settings.suite)


@pytest.mark.parametrize("name", ["table2", "table3", "mine"])
def test_a_table_that_shows_nothing_says_so_in_all_its_files(
    nothing: Layout, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(name)
    said = f"{name} is left out: its data set in the settings is none."
    for suffix in (".md", ".tex"):
        assert said in nothing.table(name, suffix).read_text(encoding="utf-8")
    assert len(nothing.table(name, ".csv").read_text(encoding="utf-8").splitlines()) == 1
    assert read_json(nothing.metrics(name)) == {}
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(("name", "suffixes"), [("figure1", {".png"}), ("figure3", {".png", ".svg", ".csv"})])
@pytest.mark.slow
def test_a_figure_that_shows_nothing_says_so_in_all_its_files(
    nothing: Layout, name: str, suffixes: set[str]
) -> None:
    draw_figure(name)
    assert {path.suffix for path in nothing.figure(name, ".png").parent.iterdir()} == suffixes
    if ".svg" in suffixes:
        said = f"{name} is left out: its data set in the settings is none."
        assert said in nothing.figure(name, ".svg").read_text(encoding="utf-8")
        assert nothing.figure(name, ".csv").read_text(encoding="utf-8") == "series,x,y\n"


@pytest.mark.parametrize("name", ["table3", "table10"])
def test_a_table_that_averages_over_other_models_needs_two(suite: dict[str, Any], name: str) -> None:
    suite |= {"backbones": {"lite0": "efficientnet_lite0"}, "ensembles": {}}
    for part in ("tables", "figures"):
        for shown in suite[part].values():
            shown |= left_out(shown)
    suite["tables"][name] = {"dataset": "shapes", "backbones": ["lite0"]}
    groups = {"table3": "ablation", "table10": "objectives"}
    shown_alone = {groups[name]: {"short": {"steps": 9}}}
    suite["variants"] = {group: {} for group in suite["variants"]} | shown_alone
    with pytest.raises(InputError, match=rf"tables\.{name}\.dataset is 'shapes'; allowed: none where"):
        check_tables(parse_params(suite))


def test_ablations_that_no_table_shows_are_refused(suite: dict[str, Any]) -> None:
    suite["tables"]["table3"] = left_out(suite["tables"]["table3"])
    with pytest.raises(SettingError) as caught:
        check_tables(parse_params(suite))
    assert (caught.value.key, caught.value.given) == (
        "variants.ablation",
        ["no_decorrelate", "no_pyramid", "no_augment"],
    )
    suite["variants"]["ablation"] = {}
    check_tables(parse_params(suite))
