"""Tables 9 to 11, Figures 9 and 10, of hand-made numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reporting.hand_made import one_set, write_of
from settings.suite_values import left_out

from lgm_core.foundation.layout import Layout
from lgm_core.reporting.blocks import Compared
from lgm_core.reporting.curve_figures import ipc_data, ipc_series, seconds_data
from lgm_core.reporting.judges import judge_blocks
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import to_latex, to_markdown
from lgm_core.reporting.tables import Table
from lgm_core.reporting.universal import universal_blocks, universal_told
from lgm_core.reporting.variant_blocks import objective_blocks
from lgm_core.settings.params import Params, parse_params

NETS = ("a", "b", "c")
ENSEMBLES = {"all": NETS, "without_c": ("a", "b")}
COMPARED = Compared(NETS, ("threefold",), ensembles=ENSEMBLES, varied=NETS, distillations=2)
Write = Callable[..., None]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, "hand", ensembles=frozenset(ENSEMBLES))


@pytest.fixture
def write(layout: Layout) -> Write:
    """`write("a", "", [60, 40, 20], seconds=100)`: two distillations, one 2 points below and one 2 above."""

    def make(
        source: str,
        variant: str,
        accuracies: list[float],
        seconds: float = 100.0,
        method: dict[str, Any] | None = None,
        real: dict[str, float] | None = None,
    ) -> None:
        cell = layout.cell("pets", source, variant)
        targets = {}
        for net, value in zip(NETS, accuracies, strict=True):
            found = {"top1": [[value - 2.0], [value + 2.0]], "nearest_neighbor": [[0.0], [0.0]]}
            targets[net] = {"distilled": found}
            targets[net] |= {name: one_set([there]) for name, there in (real or {}).items()}
        write_of(cell, "probe", {"targets": targets})
        write_of(cell, cell.run("distill"), {"seconds": seconds})
        told = {"steps": 300, "aug_rounds": 4, "objective": "gradient", "head_bank": 0, "ipc": 1}
        write_of(cell, cell.distilled / "settings.json", {"method": {**told, **(method or {})}})

    return make


# Table 9


@pytest.fixture
def universal(layout: Layout, write: Write) -> Results:
    """Dedicated sets reach 60; `all` 58 everywhere, `without_c` 59 on its own and 50 on c."""
    for number, net in enumerate(NETS):
        write(net, "", [60.0 if place == number else 40.0 - number for place in range(3)])
        write(net, "longer/threefold", [66.0 if place == number else 45.0 for place in range(3)], 300.0)
    write("all", "", [58.0, 58.0, 58.0], 310.0)
    write("without_c", "", [59.0, 59.0, 50.0], 205.0)
    return Results(layout)


def test_universal_sets_by_hand(universal: Results) -> None:
    (block,) = universal_blocks(universal, "pets", COMPARED)
    long = [f"longer/{net}/threefold" for net in NETS]
    assert block.rows == (*NETS, *long, "all", "without_c")
    row = block.cells["without_c"]
    assert row["average"].mean == pytest.approx(56.0)
    assert row["held_out"].mean == pytest.approx(50.0)
    assert row["worst"].mean == pytest.approx(50.0)
    # 100 · (59 + 59 + 50) / 60 / 3.
    assert row["own_share"].mean == pytest.approx(93.333, abs=1e-3)
    assert row["seconds"].mean == pytest.approx(102.5)
    assert "held_out" not in block.cells["all"]
    assert block.cells["b"]["held_out"].mean == pytest.approx(39.0)
    assert block.marked["without_c"] == ("c",)
    assert block.marked["a"] == ("b", "c")
    assert block.marked["all"] == ()


def test_cells_whose_model_did_not_distil_are_marked(universal: Results) -> None:
    (block,) = universal_blocks(universal, "pets", COMPARED)
    printed = to_markdown(Table("table9", "", (block,), ())).replace("**", "")
    (line,) = [line for line in printed.splitlines() if line.startswith("| without_c ")]
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2:5] == ["59.0 ± 2.8", "59.0 ± 2.8", "50.0 ± 2.8†"]


def test_what_universal_sets_say(universal: Results) -> None:
    told = universal_told(universal, "pets", COMPARED)
    # Two distillations, both ± 2 · √2 / √2 = 2 of error; averages move together, run by run.
    assert "all = a + b + c, without_c = a + b" in told
    assert (
        "all less the sets that each model distilled for itself, on average: -2.0 ± 2.8 (not resolved)"
        in told
    )
    # On c: a reaches 40, b 39; with three times the steps 45.
    assert "less the best single source at the same steps: +10.0 ± 2.8 (resolved)" in told
    assert "less the best single source, threefold: +5.0 ± 2.8 (not resolved)" in told


def test_lone_backbones_without_more_steps_have_no_row_and_are_no_rivals(
    universal: Results,
) -> None:
    """On c, which `without_c` never saw, only a and b are rivals; b alone reaches 45."""
    some = replace(COMPARED, varied=("b", "c"))
    (block,) = universal_blocks(universal, "pets", some)
    assert block.rows == (*NETS, "longer/b/threefold", "longer/c/threefold", "all", "without_c")
    told = universal_told(universal, "pets", some)
    assert "less b or c, threefold: +5.0 ± 2.8 (not resolved)" in told
    assert "threefold" not in universal_told(universal, "pets", replace(COMPARED, varied=("c",)))


def test_one_distillation_has_no_error(layout: Layout, universal: Results) -> None:
    for source in (*NETS, "all", "without_c"):
        cell = layout.cell("pets", source)
        found = {net: {"distilled": one_set([50.0])} for net in NETS}
        write_of(cell, "probe", {"targets": found})
    told = universal_told(universal, "pets", replace(COMPARED, variants=(), distillations=1))
    assert told.count("one distillation, error unknown") == 2


# Table 10


def test_objectives_by_hand(layout: Layout, write: Write) -> None:
    for net in NETS:
        write(net, "", [60.0, 50.0, 40.0], 90.0)
        write(net, "objectives/means", [70.0, 40.0, 40.0], 60.0, {"objective": "means", "aug_rounds": 2})
    blocks = objective_blocks(Results(layout), "pets", replace(COMPARED, variants=("means",)))
    same, cross, costs = (block.cells for block in blocks)
    assert [same["settings"][net].mean for net in (*NETS, "average")] == [60.0, 50.0, 40.0, 50.0]
    assert [cross["means"][net].mean for net in NETS] == [40.0, 55.0, 55.0]
    assert {name: value.mean for name, value in costs["means"].items()} == {
        "steps": 300.0,
        "rounds": 2.0,
        "seconds": 30.0,
    }


def test_objectives_are_called_as_the_settings_call_them(layout: Layout, write: Write) -> None:
    """Another table has a row of ridge regression on all images, whose title is another."""
    for net in NETS:
        write(net, "", [60.0, 50.0, 40.0], 90.0)
        write(net, "objectives/ridge", [70.0, 40.0, 40.0], 60.0, {"objective": "ridge", "aug_rounds": 2})
    blocks = objective_blocks(Results(layout), "pets", replace(COMPARED, variants=("ridge",)))
    table = Table("table10", "", blocks, ())
    assert to_markdown(table).count("\n| ridge |") == 3
    assert to_latex(table).count("\nridge & ") == 3


# Table 11


def test_the_judges_by_hand(layout: Layout, write: Write) -> None:
    write("a", "", [0.0] * 3, 90.0)
    names = ("distilled", "distilled_png", "distilled_jpeg95", "neighbors", "centroids", "random", "herding",
             "medoids", "k_center")  # fmt: skip
    levels = {"distilled": (70.0, 50.0, 46.0), "random": (30.0, 24.0, 26.0)}
    targets: dict[str, Any] = {
        net: {name: one_set([levels.get(name, (40.0, 30.0, 20.0))[place]]) for name in names}
        for place, net in enumerate(NETS)
    }
    targets["a"]["prototypes"] = one_set([75.0])
    facts = {"png_bytes": {name: [2048, 4096] for name in names}, "seconds": {"probe": 0.5}}
    write_of(layout.cell("pets", "a"), "judged", {"targets": targets, **facts})
    write_of(
        layout.cell("pets", "a"),
        "baselines",
        {"full": {"top1": [80.0]}, "ridge": 87.5},
    )
    (block,) = judge_blocks(Results(layout), "pets", replace(COMPARED, sources=("a",)))
    row = {name: value.mean for name, value in block.cells["distilled"].items()}
    alpha = (40.0 - 10.0) / 200
    assert row == pytest.approx(
        {
            "same": 70.0,
            "others": 48.0,
            "worst": 46.0,
            "share": 80.0,
            "ior": 40.0,
            "hlr": 10.0,
            "lrs": (math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1)),
            "kib": 3.0,
            "seconds": 45.0,
            "probe_seconds": 0.5,
        }
    )
    assert block.cells["random"]["ior"].mean == 0.0
    assert set(block.cells["prototypes"]) == {"same", "share", "ior", "hlr", "lrs"}


# Figures 9 and 10


@pytest.fixture
def drawn(suite: dict[str, Any]) -> Params:
    suite |= {
        "datasets": {"pets": "folder:pets"},
        "backbones": dict.fromkeys(NETS, "efficientnet_lite0"),
        "ensembles": {},
    }
    suite["variants"] |= {
        "ipc": {
            "one": {"ipc": 1, "aug_rounds": 2},
            "five": {"ipc": 5, "aug_rounds": 2},
            "five_clusters": {"ipc": 5, "aug_rounds": 2, "slots": "clusters"},
        },
        "recipes": {"short": {"steps": 100}, "long": {"steps": 200}, "few": {"aug_rounds": 1}},
    }
    for part in ("tables", "figures"):
        for shown in suite[part].values():
            shown |= left_out(shown) | ({"source": "a"} if "source" in shown else {})
    for name, shown in suite["figures"].items():
        if "source" in shown and name not in ("figure9", "figure10"):
            shown["source"] = "none"
    for name in ("figure9", "figure10"):
        suite["figures"][name] = {"dataset": "pets", "source": "a"}
    return parse_params(suite)


def test_images_per_class_by_hand(layout: Layout, write: Write, drawn: Params) -> None:
    every = dict.fromkeys(("centroids", "random", "herding", "medoids", "k_center"), 30.0)
    for name, values, real in (
        ("one", [50.0, 40.0, 30.0], every),
        ("five", [60.0, 50.0, 46.0], {**every, "herding": 35.0}),
        ("five_clusters", [62.0, 52.0, 44.0], None),
    ):
        write("a", f"ipc/{name}", values, real=real)
    for net, full in zip(NETS, (80.0, 70.0, 60.0), strict=True):
        write_of(layout.cell("pets", net), "baselines", {"full": {"top1": [full]}})
    results = Results(layout)
    own, others = ipc_series(results, drawn, "pets", "a").items()
    assert own[0] == "pets: a, which distils"
    assert others[0] == "pets: mean of b, c"
    lines = {line.name: (line.x, line.y) for line in own[1]}
    assert lines["distilled"] == ([1.0, 5.0], [50.0, 60.0])
    assert lines["distilled, slots clusters"] == ([5.0], [62.0])
    assert lines["Herding"] == ([1.0, 5.0], [30.0, 35.0])
    assert lines["all images"] == ([1.0, 5.0], [80.0, 80.0])
    lines = {line.name: line.y for line in others[1]}
    assert lines["distilled"] == [35.0, 48.0]
    assert lines["all images"] == [65.0, 65.0]
    assert ipc_data(results, drawn, ("pets",), "a")["distilled, other models"].y == [35.0, 48.0]


def test_seconds_by_hand(layout: Layout, write: Write, drawn: Params) -> None:
    drawn = replace(drawn, distillations=2)
    write("a", "", [60.0, 0.0, 0.0], 120.0)
    write("a", "recipes/short", [50.0, 0.0, 0.0], 40.0, {"steps": 100})
    write("a", "recipes/long", [58.0, 0.0, 0.0], 80.0, {"steps": 200})
    write("a", "recipes/few", [55.0, 0.0, 0.0], 30.0, {"aug_rounds": 1})
    lines = {
        name: (line.x, line.y) for name, line in seconds_data(Results(layout), drawn, ("pets",), "a").items()
    }
    assert lines == {
        "the settings' own: gradient, K = 4": ([60.0], [60.0]),
        "gradient, K = 4": ([20.0, 40.0], [50.0, 58.0]),
        "gradient, K = 1": ([15.0], [55.0]),
        "its accuracy": ([15.0, 60.0], [60.0, 60.0]),
    }
