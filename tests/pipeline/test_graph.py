"""dvc.yaml is whole: every stage depends on its code, and on the data sets that its settings name."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc_graph import (
    CODE_FOLDERS,
    INTERPOLATION,
    ROOT,
    STAGES,
    SUITES,
    VERBS,
    address,
    cells,
    commands,
    content,
    covers,
    declared,
    leaves,
    load,
    look_up,
    resolve,
    result_deps,
    texts,
    verb_of,
)
from ruamel.yaml import YAML
from settings.suite_values import left_out
from toy_project import write_settings

from lgm_core.reporting.tables import OWN_KINDS, TABLES
from lgm_core.settings.places import LISTS
from stages.verbs import SETTINGS

by_suite = pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)


# Code


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "code"])
def test_a_stage_depends_on_the_fingerprint_of_its_verbs_code_and_no_other(stage: str) -> None:
    results = ("results/${suite}", "metrics")
    code = [dep for dep in texts(content(stage)["deps"]) if not dep.startswith(results)]
    assert code == [f"results/code/{verb_of(stage)}.json"]


def test_the_fingerprints_depend_on_all_code_and_are_those_that_stages_need() -> None:
    assert texts(STAGES["code"]["deps"]) == list(CODE_FOLDERS)
    outs = [out for out in texts(STAGES["code"]["outs"]) if out.startswith("results/code/")]
    assert sorted(outs) == [f"results/code/{verb}.json" for verb in VERBS]
    assert sorted(SETTINGS) == VERBS


def test_settings_are_checked_before_anything_else_is_done() -> None:
    assert commands("code") == ["python -m stages.settings", "python -m stages.code"]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_and_outs_are_plain_paths_named_once(stage: str) -> None:
    """A line that is indented too far becomes a part of the text above it."""
    for part in ("deps", "outs", "metrics"):
        paths = texts(content(stage).get(part, []))
        assert [path for path in paths if not re.fullmatch(r"(\$\{[\w.]+\}|[\w./])+", path)] == []
        assert [path for path, count in Counter(paths).items() if count > 1] == []


def test_the_graph_can_be_read_at_a_sitting() -> None:
    assert len((ROOT / "dvc.yaml").read_text(encoding="utf-8").splitlines()) <= 950


# Settings


@by_suite
def test_every_setting_is_claimed_by_a_stage_that_uses_it(suite: Path) -> None:
    """`code` checks all settings and `report` shows all; some other stage must read each."""
    params = load(suite)
    claims = {
        claim
        for stage in STAGES.keys() - {"code", "report"}
        for cell in cells(stage, params)
        for claim in declared(stage, "params", params, cell)
    }
    interpolated = set(INTERPOLATION.findall(json.dumps(STAGES)))
    unclaimed = [
        key
        for key in leaves(params)
        if not any(covers(claim, key) for claim in claims) and (key != "suite" or key not in interpolated)
    ]
    assert unclaimed == []


@by_suite
@pytest.mark.parametrize("stage", ["code", "report"])
def test_the_first_and_the_last_stage_claim_every_setting(stage: str, suite: Path) -> None:
    assert sorted(texts(STAGES[stage]["params"])) == sorted(load(suite))


@by_suite
def test_every_claimed_setting_exists(suite: Path) -> None:
    params = load(suite)
    for stage in STAGES:
        for cell in cells(stage, params):
            for claim in declared(stage, "params", params, cell):
                look_up(claim, params)


def test_settings_may_stand_under_the_name_of_their_file() -> None:
    entries = ["one", {"params.yaml": ["two", "three.four"]}, {"some/path.json": {"cache": False}}]
    assert texts(entries) == ["one", "two", "three.four", "some/path.json"]


# DVC's own opinion


@pytest.mark.slow
@by_suite
def test_dvc_itself_accepts_the_graph_of_every_suite(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load(suite)
    names = dvc_stages(tmp_path, params, monkeypatch)
    assert names == {address(stage, cell) for stage in STAGES for cell in cells(stage, params)}


@pytest.mark.slow
def test_dvc_accepts_a_table_with_one_data_set_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load(ROOT / "suites" / "embedded.yaml")
    params["tables"]["table2"]["right"] = params["tables"]["table2"]["left"]
    assert "tables/table2" in dvc_stages(tmp_path, params, monkeypatch)


@pytest.mark.slow
def test_dvc_accepts_tables_of_ones_own_and_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = nothing_shown(load(ROOT / "suites" / "embedded.yaml"))
    params["own_tables"]["mine"] = {"kind": "cross_model", "left": "digits", "right": "none"}
    names = dvc_stages(tmp_path, params, monkeypatch)
    assert {"tables@mine", "tables/table3", "figures/figure5"} <= names
    assert not [name for name in names if "_ablation" in name or "_rounds" in name or "_figure8" in name]


def nothing_shown(suite: dict[str, Any]) -> dict[str, Any]:
    """A suite whose tables and figures are all left out."""
    params = copy.deepcopy(suite)
    for part in ("tables", "figures"):
        params[part] = {name: left_out(shown) for name, shown in params[part].items()}
    none = {group: {} for group in params["variants"]}
    return params | {"variants": none, "ensembles": {}, "figure_backbones": {}}


def dvc_stages(folder: Path, params: dict[str, Any], patch: pytest.MonkeyPatch) -> set[str]:
    """Names of the stages that DVC makes of dvc.yaml under these settings, after its own checks."""
    from dvc.repo import Repo

    patch.chdir(folder)
    shutil.copy(ROOT / "dvc.yaml", folder)
    write_settings(params)
    with Repo.init(str(folder), no_scm=True) as repo:
        repo.check_graph(repo.index.stages)
        return {stage.addressing for stage in repo.index.stages}


# What tables and figures depend on

_OWN_MODEL = ("probe", "baselines")
_PARTS = {
    "table3": ("probe", "baselines", "ablation/probe"),
    "table6": ("probe", "alignment.json"),
    "table7": ("probe", "alignment.json"),
    "table9": (
        *("probe", "runs/distill", "ensembles/probe", "ensembles/runs/distill"),
        *("longer/probe", "longer/runs/distill"),
    ),
    "table10": (
        *("probe", "distilled", "runs/distill"),
        *("objectives/probe", "objectives/distilled", "objectives/runs/distill"),
    ),
    "table11": ("judged", "baselines", "runs/distill", "ensembles/runs/distill", "runs/baselines"),
}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_depends_on_the_data_sets_it_names(table: str) -> None:
    tables = load(ROOT / "params.yaml")["tables"]
    # Table 5 compares its leads with Table 1's.
    of = (table, "table1") if table == "table5" else (table,)
    assert set(result_deps(f"tables/{table}")) == {
        f"results/${{suite}}/${{tables.{name}.{side}}}/{kind}"
        for name in of
        for side in tables[name]
        if side not in LISTS
        for kind in _PARTS.get(table, _OWN_MODEL)
    }


def test_a_table_of_ones_own_depends_on_all_that_its_kinds_need() -> None:
    assert set(result_deps("tables")) == {
        f"results/${{suite}}/${{item.{side}}}/{kind}"
        for side in ("left", "right")
        for kind in (*_OWN_MODEL, "alignment.json")
    }
    beyond = {"ablation", "universal", "objectives", "judges"}
    assert set(OWN_KINDS) == {row.kind for row in TABLES.values()} - beyond


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.startswith("figures/")])
def test_a_figure_depends_on_the_data_sets_it_names(stage: str) -> None:
    figure = stage.removeprefix("figures/")
    results = result_deps(stage)
    start = "tables.table3" if figure == "figure5" else f"figures.{figure}"
    assert results
    for dep in results:
        assert re.match(rf"results/\$\{{suite\}}/\$\{{{re.escape(start)}\.(dataset|left|right)\}}/\w", dep)


def test_variants_are_made_for_their_tables_and_figures_alone() -> None:
    """No other stage depends on what a variant makes, so that Table 2 distils no ablation."""
    users = {
        "ablation": {"tables/table3", "figures/figure5"},
        "rounds": {"figures/figure3"},
        "ensembles": {"tables/table9", "tables/table11", "judge"},
        "longer": {"tables/table9"},
        "objectives": {"tables/table10"},
        "ipc": {"figures/figure9"},
        "recipes": {"figures/figure10"},
        "judged": {"tables/table11"},
    }
    for stage in STAGES:
        for group, shown in users.items():
            deps = [dep for dep in result_deps(stage) if f"/{group}/" in dep]
            assert not deps or stage.endswith(f"_{group}") or stage in shown, stage


# Text


def test_no_flow_list_holds_an_interpolation() -> None:
    def flow_lists(node: Any) -> Iterator[Any]:
        if isinstance(node, list) and node.fa.flow_style():
            yield node
        for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from flow_lists(part)

    tree = YAML(typ="rt").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert [node for node in flow_lists(tree) if "${" in str(node)] == []


@by_suite
def test_matrix_items_are_plain_names(suite: Path) -> None:
    params = load(suite)
    addresses = {address(stage, cell) for stage in STAGES for cell in cells(stage, params)}
    assert [name for name in addresses if not re.fullmatch(r"[\w/]+(@[A-Za-z0-9_-]+)?", name)] == []


@by_suite
def test_commands_name_their_cell_with_plain_words(suite: Path) -> None:
    params = load(suite)
    for stage in STAGES:
        for cell in cells(stage, params):
            for command in commands(stage):
                assert re.fullmatch(r"python -m stages\.\w+( [\w/-]+)*", resolve(command, params, cell))
