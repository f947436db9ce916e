"""The toy project, run once for all tests of the pipeline."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_project import enter, run, stage_calls, start_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The toy project with every stage run once, and its settings; not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        settings = start_project(folder)
        for call in stage_calls():
            run(*call)
    yield folder, settings


@pytest.fixture
def project(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A test's own copy of the finished project as the current folder; its settings."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    enter(tmp_path, monkeypatch)
    return copy.deepcopy(finished[1])
