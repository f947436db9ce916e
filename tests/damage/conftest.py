"""The toy project as tests of damage find it: finished with one seed, to be distilled with another."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from damage.interrupted import (
    CELL,
    DISTILL,
    SETTINGS,
)
from processes import run_to_end
from toy_project import BACKBONES, DATASET, enter, run, start_project, write_settings


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The toy project with everything that Table 2 needs, and its settings; not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    cells = [
        (verb, DATASET, name) for verb in ("features", "baselines", "distill", "probe") for name in BACKBONES
    ]
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        settings = start_project(folder)
        for call in [("settings",), ("inputs", DATASET), *cells, ("tables", "table2")]:
            run(*call)
    return folder, settings


@pytest.fixture(scope="session")
def long_run(
    finished: tuple[Path, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any]]:
    """The finished project run without disturbance to a longer distillation of another seed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(finished[0], folder, dirs_exist_ok=True)
    settings = copy.deepcopy(finished[1]) | SETTINGS | {"seed": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_settings(settings)
    for verb in ("features", "baselines"):
        run_to_end(folder, verb, DATASET, "conv")
    for call in (DISTILL, ("probe", DATASET, "conv")):
        run_to_end(folder, *call)
    return folder, settings


@pytest.fixture
def project(
    finished: tuple[Path, dict[str, Any]],
    long_run: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A test's own project with the results of the first seed and the settings of the second."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    enter(tmp_path, monkeypatch)
    write_settings(long_run[1])
    return tmp_path


@pytest.fixture
def ready(project: Path, long_run: tuple[Path, dict[str, Any]]) -> Path:
    """The same with the second seed's features, so that distillation can start, and what they give alone."""
    features = CELL.features
    shutil.rmtree(project / features)
    shutil.copytree(long_run[0] / features, project / features)
    for path in (CELL.baselines, CELL.head):
        shutil.copy(long_run[0] / path, project / path)
    return project
