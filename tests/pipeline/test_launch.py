"""Several processes share a stage: started by itself, or by torchrun; the result is one process's."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import StageProcess
from toy_project import DATASET, LAYOUT

from lgm_core.features.cache import FeatureCache, load_features
from stages import launch

FEATURES = ("features", DATASET, "conv")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, list[str]]]:
    """The verbs that are run in this process, instead of running them."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LGM_RANKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LGM_DEVICE", "cpu")
    made: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(launch, "run_verb", lambda verb, arguments: made.append((verb, arguments)))
    return made


@pytest.mark.parametrize("ranks", ["", "1"])
def test_on_a_cpu_one_process_works_alone(
    calls: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch, ranks: str
) -> None:
    monkeypatch.setenv("LGM_RANKS", ranks)
    monkeypatch.setattr(launch, "spawn_ranks", lambda *given: pytest.fail("more than one"))
    launch.run_shared("features", ["digits", "lite0"])
    assert calls == [("features", ["digits", "lite0"])]


def test_as_many_processes_share_a_stage_as_are_asked_for(
    calls: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LGM_RANKS", "3")
    spawned: list[tuple[Callable[..., None], int, tuple[Any, ...]]] = []
    monkeypatch.setattr(launch, "spawn_ranks", lambda *given: spawned.append(given))
    launch.run_shared("features", ["digits", "lite0"])
    assert calls == []
    assert [given[1:] for given in spawned] == [(3, ("features", ["digits", "lite0"]))]


@pytest.fixture
def without_features(project: dict[str, Any]) -> tuple[Path, FeatureCache]:
    """A test's own project whose features are gone, and what they were."""
    folder = LAYOUT.cell(DATASET, "conv").features
    found = load_features(folder)
    shutil.rmtree(folder)
    return Path.cwd(), found


def same(found: FeatureCache, expected: FeatureCache) -> bool:
    """Other sizes of batches may change the last bits."""
    names = ("train", "test", "real_views", "full_views")
    close = all(torch.allclose(getattr(found, n), getattr(expected, n), atol=1e-5) for n in names)
    return close and torch.equal(found.train_labels, expected.train_labels)


@pytest.mark.slow
def test_two_processes_make_what_one_makes(without_features: tuple[Path, FeatureCache]) -> None:
    folder, expected = without_features
    stage = StageProcess(folder, *FEATURES, LGM_RANKS="2")
    assert stage.wait() == 0, stage.output
    assert "(1 of 2 ranks)" in stage.output
    assert same(load_features(LAYOUT.cell(DATASET, "conv").features), expected)


@pytest.mark.slow
def test_torchrun_says_who_is_who(without_features: tuple[Path, FeatureCache]) -> None:
    folder, expected = without_features
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    said = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    ranks = [StageProcess(folder, *FEATURES, RANK=n, LOCAL_RANK=n, **said) for n in ("0", "1")]
    assert [stage.wait() for stage in ranks] == [0, 0], [stage.output for stage in ranks]
    assert "(1 of 2 ranks)" in ranks[0].output
    assert "images" not in ranks[1].output
    assert same(load_features(LAYOUT.cell(DATASET, "conv").features), expected)
