"""The graph is honest: what dvc.yaml declares is what the stages read and write while a toy cell runs."""

from __future__ import annotations

import copy
import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc_graph import (
    CODE_FOLDERS,
    ROOT,
    STAGES,
    address,
    below,
    cells,
    commands,
    content,
    covers,
    declared,
    leaves,
    load,
    resolve,
    result_deps,
    texts,
    verb_of,
)
from recording import Seen, record, recording, recording_layout
from toy_project import DATASET, ENSEMBLE, SHOWN, enter, stage_calls, write_settings

from lgm_core.foundation.layout import Layout
from stages.params import read_params
from stages.verbs import SETTINGS

pytestmark = pytest.mark.slow

Recorded = tuple[dict[str, Any], dict[str, Seen]]
"""The settings, and what every cell of dvc.yaml touched."""
OWN_TABLES, TWIN, UNUSED = {"mine": "same_model", "aligned": "pairs"}, "again", "unused"
_CHECKS, *_REST = stage_calls()
CALLS = [_CHECKS, ("code",), *(("tables", name) for name in OWN_TABLES), *_REST]


def entry(call: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The stage of dvc.yaml, and its cell, that a call of a script belongs to."""
    verb, *arguments = call
    if verb in {"settings", "code", "report"}:
        return verb.replace("settings", "code"), {}
    if arguments[0] in OWN_TABLES:
        return "tables", {"key": arguments[0], "item": {"left": DATASET, "right": TWIN}}
    if verb in {"tables", "figures"}:
        return f"{verb}/{arguments[0]}", {}
    group, _, name = arguments[-1].rpartition("/")
    group = {SHOWN: "figure8", ENSEMBLE: "ensembles" if verb != "judge" else ""}.get(name, group)
    stage = f"{verb.removesuffix('_ipc')}_{group}" if group else verb
    return stage, {"item": dict(zip(STAGES[stage]["matrix"], [*arguments[:-1], name], strict=True))}


# The calls of every cell: `code` has two commands.
CELLS: dict[str, list[tuple[str, ...]]] = {}
for _call in CALLS:
    CELLS.setdefault(address(*entry(_call)), []).append(_call)
by_cell = pytest.mark.parametrize("name", CELLS)


def cells_of(stage: str) -> list[str]:
    """Names of a stage's recorded cells."""
    return [name for name, calls in CELLS.items() if entry(calls[0])[0] == stage]


def with_every_option(settings: dict[str, Any]) -> dict[str, Any]:
    """The toy suite with early stopping, a second name of its data set on every right, and own tables."""
    settings = copy.deepcopy(settings)
    settings["probe"]["patience"] = 2
    settings["datasets"] |= {TWIN: f"folder:{DATASET}", UNUSED: f"folder:{DATASET}"}
    for shown in (*settings["tables"].values(), *settings["figures"].values()):
        if shown.get("right") == DATASET:
            shown["right"] = TWIN
    own = {name: {"kind": kind, "left": DATASET, "right": TWIN} for name, kind in OWN_TABLES.items()}
    settings["own_tables"] = own
    return settings


@pytest.fixture(scope="module")
def recorded(recorded_toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """The toy cell's settings, and what every cell of dvc.yaml touched; the options' stages ran twice."""
    plain, settings, seen = recorded_toy
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copytree(plain, folder, dirs_exist_ok=True)
    for name in CODE_FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    for name in (TWIN, UNUSED):
        copied = shutil.copytree(folder / f"results/toy/{DATASET}", folder / f"results/toy/{name}")
        for path in copied.rglob("*.json"):  # each says of which data set it is
            said = path.read_text(encoding="utf-8")
            path.write_text(said.replace(f'"dataset": "{DATASET}"', f'"dataset": "{name}"'), encoding="utf-8")
    settings, whole = with_every_option(settings), {name: Seen() for name in CELLS}
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        write_settings(settings)
        options = {"code", "settings", "baselines", "probe", "tables", "figures", "report"}
        again = {call: record(call, folder, patch) for call in CALLS if call[0] in options}
    for call, found in (*seen.items(), *again.items()):
        for part in dataclasses.fields(Seen):
            getattr(whole[address(*entry(call))], part.name).update(getattr(found, part.name))
    return settings, whole


def test_every_stage_is_recorded(recorded: Recorded) -> None:
    settings, seen = recorded
    assert set(seen) == set(CELLS)
    assert [name for name, found in seen.items() if not found.made or not found.settings] == []
    assert {name.partition("@")[0] for name in seen} == set(STAGES)
    known = {address(stage, cell) for stage in STAGES for cell in cells(stage, settings)}
    assert [name for name in seen if name not in known] == []
    unlike = {name for name in known - set(seen) if TWIN not in name and UNUSED not in name}
    assert unlike == set()


@by_cell
def test_cmd_is_the_call(name: str, recorded: Recorded) -> None:
    stage, cell = entry(CELLS[name][0])
    assert [resolve(command, recorded[0], cell) for command in commands(stage)] == [
        " ".join([f"python -m stages.{verb}", *arguments]) for verb, *arguments in CELLS[name]
    ]


@by_cell
def test_a_stage_reads_no_settings_but_those_it_declares(name: str, recorded: Recorded) -> None:
    settings, seen = recorded
    stage, cell = entry(CELLS[name][0])
    claims = declared(stage, "params", settings, cell)
    # The suite's name stands in every path, and so in every dependency and output. A place that a table or
    # figure does not have is looked for, and can have no value: `code` refuses it.
    absent = {key for key in seen[name].settings if re.match(r"(tables|figures)\.", key)} - {
        *leaves(settings)
    }
    reads = seen[name].settings - {"suite"} - absent
    assert {key for key in reads if not any(covers(claim, key) for claim in claims)} == set()


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "code"])
def test_a_stage_declares_no_setting_that_none_of_its_cells_reads(stage: str, recorded: Recorded) -> None:
    settings, seen = recorded
    unused = {*texts(content(stage).get("params", [])), *SETTINGS[verb_of(stage)]}
    for name in cells_of(stage):
        for claim in list(unused):
            key = resolve(claim, settings, entry(CELLS[name][0])[1])
            if any(covers(key, read) or covers(read, key) for read in seen[name].settings):
                unused.remove(claim)
    assert unused == set()


@by_cell
def test_a_stage_writes_its_outs_and_names_no_other_results_than_its_deps(
    name: str, recorded: Recorded
) -> None:
    settings, seen = recorded
    stage, cell = entry(CELLS[name][0])
    outs = declared(stage, "outs", settings, cell) + declared(stage, "metrics", settings, cell)
    deps = declared(stage, "deps", settings, cell)
    deps = [dep for dep in deps if below(dep, "results/toy") or below(dep, "metrics")]
    found = seen[name]
    assert [path for path in found.made if not any(below(path, out) for out in outs)] == []
    assert [out for out in outs if not any(below(path, out) for path in found.made)] == []
    named_elsewhere = [path for path in found.paths if not any(below(path, top) for top in outs + deps)]
    assert named_elsewhere == []


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "code"])
def test_a_stage_depends_on_no_result_that_none_of_its_cells_names(stage: str, recorded: Recorded) -> None:
    settings, seen = recorded
    unused = set(result_deps(stage))
    for name in cells_of(stage):
        for dep in list(unused):
            path = resolve(dep, settings, entry(CELLS[name][0])[1])
            if any(below(named, path) for named in seen[name].paths):
                unused.remove(dep)
    assert unused == set()


@by_cell
def test_the_layout_knows_which_stage_makes_a_file(name: str, recorded: Recorded) -> None:
    settings, seen = recorded
    shown_alone, own_tables = frozenset(settings["figure_backbones"]), frozenset(settings["own_tables"])
    layout = Layout(Path(), settings["suite"], shown_alone, own_tables, frozenset(settings["ensembles"]))
    assert {layout.stage(Path(path)) for path in seen[name].made} == {name}


# The recorder itself


def test_the_recorder_hears_settings_that_are_passed_whole() -> None:
    params = read_params(ROOT / "suites" / "embedded.yaml")
    reads: set[str] = set()
    heard = recording(params, "", reads)
    method = heard.method
    assert isinstance(method, type(params.method))
    assert reads == set()
    assert method.augment.noise_std == params.method.augment.noise_std
    assert reads == {"augment.noise_std"}
    dataclasses.asdict(heard.probe)
    assert {key for key in leaves(load(ROOT / "params.yaml")) if key.startswith("probe.")} <= reads
    row = heard.backbones["lite0"]
    assert not any(covers("backbones", key) for key in reads)
    assert row.source == "efficientnet_lite0"
    assert "backbones.lite0.source" in reads
    assert list(heard.backbones) == list(params.backbones)
    assert "backbones" in reads


def test_the_recorder_hears_every_path_of_a_cell() -> None:
    paths: set[str] = set()
    layout = recording_layout(Layout(Path(), "toy"), paths)
    cell = layout.cell(DATASET, "vit", "ablation/pixels")
    assert isinstance(layout, Layout)
    assert paths == set()
    assert cell.distilled == Layout(Path(), "toy").cell(DATASET, "vit", "ablation/pixels").distilled
    assert (cell.run("probe"), layout.table("table1", ".md")) == (
        Path(f"results/toy/{DATASET}/ablation/runs/probe/vit/pixels.json"),
        Path("results/toy/tables/table1.md"),
    )
    assert paths == {
        f"results/toy/{DATASET}/ablation/distilled/vit/pixels",
        f"results/toy/{DATASET}/ablation/runs/probe/vit/pixels.json",
        "results/toy/tables/table1.md",
    }
