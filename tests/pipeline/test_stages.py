"""A toy cell from images to tables, through the stages themselves."""

from __future__ import annotations

import csv
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pipeline.whole_runs import remove_backbone
from toy_project import (
    BACKBONES,
    COLORS,
    DATASET,
    DISTILLATIONS,
    ENSEMBLE,
    FIGURES,
    GROUPED,
    LAYOUT,
    PLOTS,
    SHOWN,
    TABLES,
    read,
    run,
    snapshot,
    variant_cells,
    write_settings,
)

from lgm_core.distilled import load_distilled, load_time_lapse
from lgm_core.features.cache import load_features
from lgm_core.foundation.errors import InputError
from lgm_core.settings.params import NOTHING
from stages.advice import explained

pytestmark = pytest.mark.slow
CELL = LAYOUT.cell


def of_data_sets() -> set[Path]:
    """What is made once for every data set."""
    cells = [CELL(dataset) for dataset in (DATASET, GROUPED)]
    return {
        path for cell in cells for path in (cell.inputs, cell.overrides, cell.alignment, cell.run("align"))
    }


def of_all_sources() -> set[Path]:
    """What is made of every data set with every backbone, once for all variants."""
    cells = [CELL(dataset, name) for dataset in (DATASET, GROUPED) for name in BACKBONES]
    cells.append(CELL(DATASET, SHOWN))
    paths = {path for cell in cells for path in (cell.baselines, cell.head, cell.run("baselines"))}
    for cell in cells:
        tensors = {cell.features / f"{part}.safetensors" for part in ("images", "train", "views", "test")}
        samples = cell.features / "samples"
        labels = range(3 if cell.dataset == DATASET else 2)
        pictures = {
            samples / split / str(label) / f"{place}.png"
            for split in ("train", "test")
            for label in labels
            for place in range(2)
        }
        pictures |= {samples / "mean" / f"{label}.png" for label in labels}
        paths |= tensors | pictures | {cell.run("features"), samples / "samples.json"}
    return paths


def of_all_variants() -> set[Path]:
    """What is made of every distilled set."""
    plain = [CELL(dataset, name) for dataset in (DATASET, GROUPED) for name in BACKBONES]
    alone = [CELL(DATASET, SHOWN), CELL(DATASET, ENSEMBLE)]
    cells = [*plain, *alone, *(CELL(DATASET, *variant) for variant in variant_cells())]
    paths = {path for cell in cells for path in (cell.probe, cell.seen, cell.run("probe"))}
    for cell in cells:
        classes = COLORS if cell.dataset == DATASET else ("landbird", "waterbird")
        kept = ("images.safetensors", "grid.png", "history.csv", "settings.json", "time_lapse.json")
        sets = [replace(cell, replicate=number).distilled for number in range(DISTILLATIONS)]
        paths |= {cell.run("distill"), *(folder / part for folder in sets for part in kept)}
        paths |= {cell.neighbors / part for part in ("features.safetensors", "neighbors.json")}
        if not cell.variant:
            further = cell.neighbors / "further"
            paths |= {further / name / "0" / f"{rank}.png" for name in classes for rank in (1, 2, 3)}
        for folder in (*sets, cell.neighbors):
            count = 2 if cell.variant.startswith("ipc/") else 1
            paths |= {folder / "images" / name / f"{k}.png" for name in classes for k in range(count)}
            if folder != cell.neighbors:
                paths |= {
                    folder / "time_lapse" / name / f"{k}.webp" for name in classes for k in range(count)
                }
    judged = [CELL(DATASET, source) for source in (BACKBONES[0], ENSEMBLE)]
    return paths | {path for cell in judged for path in (cell.judged, cell.run("judge"))}


def shown() -> set[Path]:
    """Tables and figures."""
    return {
        *(LAYOUT.table(table, suffix) for table in TABLES for suffix in (".csv", ".md", ".tex")),
        *(LAYOUT.metrics(table) for table in TABLES),
        *(LAYOUT.figure(figure, ".png") for figure in FIGURES),
        *(LAYOUT.figure(figure, ".svg") for figure in PLOTS),
        *(LAYOUT.figure(figure, ".csv") for figure in ("figure3", "figure9", "figure10", "losses")),
    }


def test_every_file_of_the_layout_is_made_and_nothing_else(project: dict[str, Any]) -> None:
    empty = str(LAYOUT.cell(NOTHING).folder)
    made = {path for path in snapshot() if not path.startswith(f"{empty}/")}
    expected = of_data_sets() | of_all_sources() | of_all_variants() | shown()
    assert made == {str(path) for path in expected}


def test_cells_hold_as_many_runs_as_the_settings_say(project: dict[str, Any]) -> None:
    seeds, draws = project["probe"]["seeds"], project["probe"]["random_seeds"]
    for name in BACKBONES:
        found = read(CELL(DATASET, name).probe)
        assert found["source"] == name
        assert set(found["targets"]) == set(BACKBONES)
        for target, sets in found["targets"].items():
            lengths = {key: [len(runs) for runs in one["top1"]] for key, one in sets.items()}
            expected = {key: [seeds] * DISTILLATIONS for key in ("distilled", "neighbors")}
            expected |= {"centroids": [seeds], **({"random": [1] * draws} if target == name else {})}
            assert lengths == expected
        assert len(read(CELL(DATASET, name).baselines)["full"]["top1"]) == seeds
        history = (CELL(DATASET, name).distilled / "history.csv").read_text(encoding="utf-8").splitlines()
        assert len(history) == 1 + project["steps"]


def test_further_distillations_start_from_draws_of_their_own(project: dict[str, Any]) -> None:
    for cell in (CELL(DATASET, BACKBONES[0]), CELL(DATASET, *variant_cells()[0])):
        first, second = (load_distilled(replace(cell, replicate=number).distilled) for number in range(2))
        assert (first.facts["replicate"], second.facts["replicate"]) == (0, 1)
        assert not torch.equal(first.images, second.images)
        assert {**first.facts, "replicate": 1} == second.facts


def test_every_distilled_image_is_looked_at_by_every_backbones_full_data_probe(
    project: dict[str, Any],
) -> None:
    for cell in (CELL(DATASET, BACKBONES[0]), CELL(DATASET, ENSEMBLE), CELL(DATASET, *variant_cells()[0])):
        found = read(cell.seen)
        assert set(found["targets"]) == set(BACKBONES)
        assert found["classes"] == sorted(COLORS)
        count = len(read(cell.distilled / "settings.json")["pictures"])
        for images in found["targets"].values():
            assert len(images) == count
            for one in images:
                assert sorted(number for number, _ in one["whole"]) == [0, 1, 2]
                assert sum(percent for _, percent in one["whole"]) == pytest.approx(100, abs=0.05)
                assert 0 <= one["own_share"] <= 100


def test_a_distilled_set_lies_with_its_time_lapse(project: dict[str, Any]) -> None:
    for cell in (CELL(DATASET, BACKBONES[0]), replace(CELL(DATASET, ENSEMBLE), replicate=1)):
        lapse = load_time_lapse(cell.distilled)
        assert lapse is not None
        assert lapse.steps == tuple(range(project["steps"] + 1))
        end = load_distilled(cell.distilled).images
        assert (lapse.frames[-1].float() / 255 - end).abs().mean() < 0.1


def test_random_baseline_shows_every_backbone_the_same_images(project: dict[str, Any]) -> None:
    draws = [read(CELL(DATASET, name).baselines)["selection"]["random"] for name in BACKBONES]
    assert draws[0] == draws[1]
    assert len(draws[0]) == project["probe"]["random_seeds"]


def _csv_cells(table: str) -> dict[tuple[str, str, str], dict[str, str]]:
    with LAYOUT.table(table, ".csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["measure"] == "top1"]
    return {(line["dataset"], line["row"], line["column"]): line for line in lines}


def test_table1_is_the_mean_and_spread_of_the_cells(project: dict[str, Any]) -> None:
    cells = _csv_cells("table1")
    for name in BACKBONES:
        targets = read(CELL(DATASET, name).probe)["targets"]
        sets = {key: value["top1"] for key, value in targets[name].items()}
        runs = {
            key: values[0] if len(values) == 1 else [statistics.fmean(one) for one in values]
            for key, values in sets.items()
        }
        ceilings = read(CELL(DATASET, name).baselines)
        runs["full"] = ceilings["full"]["top1"]
        for row, values in runs.items():
            cell = cells[DATASET, row, name]
            assert float(cell["mean"]) == pytest.approx(statistics.fmean(values), rel=1e-5)
            assert float(cell["std"]) == pytest.approx(statistics.stdev(values), rel=1e-5)
        for row in ("nearest_class_mean", "ridge"):
            assert float(cells[DATASET, row, name]["mean"]) == pytest.approx(ceilings[row], rel=1e-5)
            assert cells[DATASET, row, name]["std"] == ""
    rows = ("distilled", "neighbors", "centroids", "random", "lead", "full", "nearest_class_mean", "ridge")
    assert set(cells) == {(DATASET, row, column) for row in rows for column in (*BACKBONES, "average")}


def test_table2_rows_distil_and_columns_evaluate(project: dict[str, Any]) -> None:
    cells = _csv_cells("table2")
    found = {name: read(CELL(DATASET, name).baselines) for name in BACKBONES}
    full = {name: max(statistics.fmean(one["full"]["top1"]), one["ridge"]) for name, one in found.items()}
    for source in BACKBONES:
        targets = read(CELL(DATASET, source).probe)["targets"]
        sets = {target: targets[target]["distilled"]["top1"] for target in BACKBONES}
        means = {name: statistics.fmean(map(statistics.fmean, values)) for name, values in sets.items()}
        for target, mean in means.items():
            cell = cells[DATASET, source, target]
            assert float(cell["mean"]) == pytest.approx(mean, rel=1e-5)
            assert float(cell["share_of_full"]) == pytest.approx(100 * mean / full[target], rel=1e-5)
        average = float(cells[DATASET, source, "average"]["mean"])
        assert average == pytest.approx(statistics.fmean(means.values()), rel=1e-5)
    chosen = [f"centroids/{name}" for name in BACKBONES]
    rows = (*BACKBONES, *chosen, "random", "full", "ridge")
    assert set(cells) == {(DATASET, row, column) for row in rows for column in (*BACKBONES, "average")}


def test_metrics_are_the_tables_means(project: dict[str, Any]) -> None:
    for table in ("table1", "table2"):
        metrics = read(LAYOUT.metrics(table))
        for (dataset, row, column), cell in _csv_cells(table).items():
            assert metrics[dataset]["top1"][row][column] == pytest.approx(float(cell["mean"]), abs=1e-3)


def test_alignment_of_a_backbone_with_itself_is_complete(project: dict[str, Any]) -> None:
    found = read(CELL(DATASET).alignment)
    assert set(found["matrix"]) == set(BACKBONES)
    assert all(found["matrix"][name][name] == 1.0 for name in BACKBONES)
    assert found["matrix"]["vit"]["conv"] == found["matrix"]["conv"]["vit"]
    assert found["samples"] == 10


def test_a_removed_backbone_leaves_no_trace_in_the_tables(project: dict[str, Any]) -> None:
    remove_backbone(project, "conv")
    write_settings(project)
    run("probe", DATASET, "vit")
    run("tables", "table1")
    run("tables", "table2")
    assert CELL(DATASET, "conv").features.is_dir()
    assert CELL(DATASET, "conv").probe.is_file()
    for table in ("table1", "table2"):
        for path in (LAYOUT.table(table, ".csv"), LAYOUT.table(table, ".md"), LAYOUT.metrics(table)):
            assert "conv" not in path.read_text(encoding="utf-8")
            assert "vit" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "lost", "stage"),
    [
        ("table1", CELL(DATASET, "vit").probe, f"probe@{DATASET}-vit"),
        ("table1", CELL(DATASET, "conv").baselines, f"baselines@{DATASET}-conv"),
        ("table2", CELL(DATASET, "conv").probe, f"probe@{DATASET}-conv"),
    ],
)
def test_a_missing_cell_names_the_stage_to_run(
    project: dict[str, Any], table: str, lost: Path, stage: str
) -> None:
    lost.unlink()
    before = snapshot()
    with pytest.raises(InputError) as caught:
        run("tables", table)
    assert explained(caught.value).endswith(f"is missing. Make it with: dvc repro {stage}")
    assert snapshot() == before


def test_a_cell_made_without_a_later_backbone_names_the_stage_to_run(project: dict[str, Any]) -> None:
    path = CELL(DATASET, "vit").probe
    cell = read(path)
    del cell["targets"]["conv"]
    path.write_text(json.dumps(cell), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        run("tables", "table2")
    assert explained(caught.value).endswith(f"Make it again with: dvc repro -f probe@{DATASET}-vit")


def test_what_was_made_from_other_features_is_refused(project: dict[str, Any]) -> None:
    """Stages that run by hand, one of them forgotten: no accuracy of one thing stands for another."""
    project["augment"] = "none"
    write_settings(project)
    run("features", DATASET, "conv")
    before = snapshot()
    for verb, stale in (("probe", "distill"), ("distill", ""), ("probe", "baselines"), ("baselines", "")):
        if not stale:
            run(verb, DATASET, "conv")
            before = snapshot()
            continue
        with pytest.raises(InputError, match=f"was not made from {DATASET}/features/conv") as caught:
            run(verb, DATASET, "conv")
        assert explained(caught.value).endswith(f"dvc repro -f {stale}@{DATASET}-conv")
        assert snapshot() == before
    run("probe", DATASET, "conv")
    # The other backbone's set was probed on the features that were there before.
    with pytest.raises(InputError, match=f"different {DATASET}/features/conv"):
        run("tables", "table2")
    run("probe", DATASET, "vit")
    run("tables", "table2")


def test_the_same_settings_distil_the_same_bytes(project: dict[str, Any]) -> None:
    images = CELL(DATASET, "conv").distilled / "images.safetensors"
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

    images = CELL(DATASET, "vit").distilled / "images.safetensors"
    whole = load_file(images)["images"]
    monkeypatch.setenv("LGM_MICRO_BATCH", "4")
    run("distill", DATASET, "vit")
    assert torch.allclose(load_file(images)["images"], whole, atol=1e-3)


def test_early_stopping_runs_through_the_stages(project: dict[str, Any]) -> None:
    project["probe"]["patience"] = 2
    write_settings(project)
    run("baselines", DATASET, "vit")
    run("probe", DATASET, "vit")
    assert set(read(CELL(DATASET, "vit").probe)["targets"]) == set(BACKBONES)


def test_without_augmentation_the_centre_views_are_matched(project: dict[str, Any]) -> None:
    project["augment"] = "none"
    write_settings(project)
    run("features", DATASET, "conv")
    run("distill", DATASET, "conv")
    cache = load_features(CELL(DATASET, "conv").features)
    assert torch.equal(cache.real_views, cache.train[None])
