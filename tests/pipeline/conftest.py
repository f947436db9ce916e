"""The toy project, run once for all tests of the pipeline, with notes on what its stages touched."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from recording import Seen, record
from toy_project import enter, stage_calls, start_project


@pytest.fixture(scope="session")
def recorded_toy(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any], dict[tuple[str, ...], Seen]]:
    """The toy project with every stage run once, its settings, what every call touched; not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        settings = start_project(folder)
        seen = {call: record(call, folder, patch) for call in stage_calls()}
    return folder, settings, seen


@pytest.fixture
def project(recorded_toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A test's own copy of the finished project as the current folder; its settings."""
    folder, settings, _ = recorded_toy
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    enter(tmp_path, monkeypatch)
    return copy.deepcopy(settings)


@pytest.fixture
def empty_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder that is current, with data below it."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"LGM_DATA": str(tmp_path / "data"), "LGM_WORKERS": "0", "LGM_DEVICE": "cpu"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path
