"""Every result has one place, and every place one stage that makes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lgm_core.foundation.layout import BASE, NOTHING, RESERVED_DATASETS, RESERVED_SUITES, Cell, Layout

ALONE = "dino"
"""A source that Figure 8 alone shows."""
LAYOUT = Layout(Path("/project"), "small", frozenset({ALONE}), frozenset({"mine"}))
RESULTS = Path("/project/results/small")
VARIANT = "ablation/no_pyramid"

CELL, PLAIN = LAYOUT.cell("cats"), LAYOUT.cell("cats", "vit")
VARIED, SHOWN = LAYOUT.cell("cats", "vit", VARIANT), LAYOUT.cell("cats", ALONE)

PLACES = [
    (PLAIN.features, "cats/features/vit"),
    (PLAIN.baselines, "cats/baselines/vit.json"),
    (PLAIN.distilled, "cats/distilled/vit"),
    (PLAIN.neighbors, "cats/neighbors/vit"),
    (PLAIN.probe, "cats/probe/vit.json"),
    (PLAIN.run("distill"), "cats/runs/distill/vit.json"),
    (CELL.alignment, "cats/alignment.json"),
    (CELL.inputs, "cats/inputs.json"),
    (CELL.overrides, "cats/overrides.json"),
    (CELL.run("align"), "cats/runs/align/all.json"),
    (VARIED.distilled, "cats/ablation/distilled/vit/no_pyramid"),
    (VARIED.neighbors, "cats/ablation/neighbors/vit/no_pyramid"),
    (VARIED.probe, "cats/ablation/probe/vit/no_pyramid.json"),
    (VARIED.run("probe"), "cats/ablation/runs/probe/vit/no_pyramid.json"),
    (LAYOUT.table("table1", ".csv"), "tables/table1.csv"),
    (LAYOUT.figure("losses", ".svg"), "figures/losses.svg"),
]


@pytest.mark.parametrize(("path", "expected"), PLACES, ids=[expected for _, expected in PLACES])
def test_results_lie_where_the_layout_says(path: Path, expected: str) -> None:
    assert path == RESULTS / expected


def test_what_no_suite_owns_lies_beside_the_results_of_suites() -> None:
    assert LAYOUT.metrics("table1") == Path("/project/metrics/small/table1.json")
    assert LAYOUT.code("probe") == Path("/project/results/code/probe.json")
    assert LAYOUT.report == Path("/project/report")
    assert LAYOUT.results == RESULTS


def test_a_cell_says_what_it_is_of() -> None:
    assert Cell(RESULTS / "cats", "vit", BASE) == PLAIN
    assert (VARIED.dataset, VARIED.source, VARIED.variant) == ("cats", "vit", VARIANT)


def test_features_and_baselines_are_shared_by_all_variants() -> None:
    assert (VARIED.features, VARIED.baselines) == (PLAIN.features, PLAIN.baselines)


def test_no_two_results_of_a_suite_share_a_place() -> None:
    cells = [
        LAYOUT.cell(dataset, source, variant)
        for dataset in ("cats", "dogs")
        for source in ("vit", "conv")
        for variant in (BASE, VARIANT, "rounds/no_pyramid", "ablation/other")
    ]
    kinds = ("distilled", "neighbors", "probe")
    paths = [
        *(getattr(cell, kind) for cell in cells for kind in kinds),
        *(cell.run(verb) for cell in cells for verb in ("distill", "probe")),
    ]
    assert len(set(paths)) == len(paths)
    assert not any(path in other.parents for path in paths for other in paths)


STAGES = [
    (PLAIN.features, "features@cats-vit"),
    (PLAIN.features / "train.safetensors", "features@cats-vit"),
    (PLAIN.features / "samples" / "train" / "0" / "1.png", "features@cats-vit"),
    (PLAIN.baselines, "baselines@cats-vit"),
    (PLAIN.distilled, "distill@cats-vit"),
    (PLAIN.distilled / "images" / "cat" / "0.png", "distill@cats-vit"),
    (PLAIN.neighbors / "neighbors.json", "probe@cats-vit"),
    (PLAIN.probe, "probe@cats-vit"),
    (CELL.alignment, "align@cats"),
    (CELL.inputs, "inputs@cats"),
    (CELL.overrides, "inputs@cats"),
    (PLAIN.run("features"), "features@cats-vit"),
    (PLAIN.run("baselines"), "baselines@cats-vit"),
    (PLAIN.run("distill"), "distill@cats-vit"),
    (PLAIN.run("probe"), "probe@cats-vit"),
    (CELL.run("align"), "align@cats"),
    (VARIED.distilled / "images.safetensors", "distill_ablation@cats-vit-no_pyramid"),
    (VARIED.neighbors, "probe_ablation@cats-vit-no_pyramid"),
    (VARIED.probe, "probe_ablation@cats-vit-no_pyramid"),
    (VARIED.run("distill"), "distill_ablation@cats-vit-no_pyramid"),
    (VARIED.run("probe"), "probe_ablation@cats-vit-no_pyramid"),
    (LAYOUT.cell("cats", "vit", "rounds/rounds_3").probe, "probe_rounds@cats-vit-rounds_3"),
    (VARIED.features, "features@cats-vit"),
    (VARIED.baselines, "baselines@cats-vit"),
    (SHOWN.features / "test.safetensors", "features_figure8@cats-dino"),
    (SHOWN.distilled, "distill_figure8@cats-dino"),
    (SHOWN.neighbors / "x.png", "probe_figure8@cats-dino"),
    (SHOWN.run("features"), "features_figure8@cats-dino"),
    (SHOWN.run("distill"), "distill_figure8@cats-dino"),
    *((LAYOUT.table("table2", suffix), "tables/table2") for suffix in (".csv", ".md", ".tex")),
    (LAYOUT.metrics("table2"), "tables/table2"),
    *((LAYOUT.table("mine", suffix), "tables@mine") for suffix in (".csv", ".md", ".tex")),
    (LAYOUT.metrics("mine"), "tables@mine"),
    *((LAYOUT.figure("figure8", suffix), "figures/figure8") for suffix in (".png", ".svg", ".csv")),
    (LAYOUT.report, "report"),
    (LAYOUT.report / "images" / "x.png", "report"),
    (LAYOUT.code("distill"), "code"),
    (LAYOUT.cell(NOTHING, "vit").probe, "code"),
]


@pytest.mark.parametrize(
    ("path", "stage"), STAGES, ids=[str(path.relative_to("/project")) for path, _ in STAGES]
)
def test_the_stage_that_makes_a_path_is_known(path: Path, stage: str) -> None:
    assert LAYOUT.stage(path) == stage


def test_paths_below_the_current_folder_are_understood_too() -> None:
    layout = Layout(Path(), "small")
    assert layout.stage(layout.cell("cats", "vit").probe) == "probe@cats-vit"
    assert layout.stage(Path("./results/small/cats/inputs.json")) == "inputs@cats"


OTHERS = [
    "/elsewhere/results/small/cats/probe/vit.json",
    "results/small/cats/probe/vit.json",
    "/project",
    "/project/params.yaml",
    "/project/data/cats/train",
    "/project/results",
    "/project/results/small",
    "/project/results/small/cats",
    "/project/results/small/cats/something.json",
    "/project/results/small/cats/features",
    "/project/results/small/cats/runs",
    "/project/results/small/cats/runs/distill",
    "/project/results/small/cats/ablation",
    "/project/results/small/cats/ablation/probe",
    "/project/results/small/cats/ablation/probe/vit",
    "/project/results/small/tables",
    "/project/results/small/figures",
    "/project/results/large/cats/probe/vit.json",
    "/project/metrics/small",
    "/project/metrics/large/table1.json",
]


@pytest.mark.parametrize("path", OTHERS)
def test_no_stage_makes_what_is_no_result_of_the_suite(path: str) -> None:
    assert LAYOUT.stage(Path(path)) is None


def test_names_that_would_collide_with_other_folders_are_reserved() -> None:
    folders = {path.relative_to(RESULTS).parts[0] for path, _ in PLACES} - {"cats"}
    assert folders == set(RESERVED_DATASETS)
    assert LAYOUT.code("probe").parent.name in RESERVED_SUITES
