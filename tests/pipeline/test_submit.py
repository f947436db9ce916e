"""Stages as jobs elsewhere: each in a clone, results by the common cache, one dvc.lock in the project."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pipeline.test_side_by_side import Project

from lgm_core.foundation.errors import InputError
from stages.elsewhere import check_committed
from stages.submitted import _parsed, opened_executor

GRAPH = {
    "start": ("cat source > start", ["source"]),
    "left": ("cat start > left; cat data/pixels >> left; pwd >> $DVC_ROOT/../places", ["start"]),
    "right": ("cat start > right; echo 2 >> right", ["start"]),
    "report": ("cat left right > report", ["left", "right"]),
}


def git(folder: Path, *words: str) -> None:
    """A git command that succeeds."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A git checkout with a pipeline, and data that git does not know."""
    folder = tmp_path / "project"
    folder.mkdir()
    found = Project(folder)
    found.write(GRAPH)
    (folder / "source").write_text("1\n")
    (folder / "data").mkdir()
    (folder / "data/pixels").write_text("pixels\n")
    (folder / ".gitignore").write_text("".join(f"/{name}\n" for name in (*GRAPH, "data", ".lgm")))
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    return found


def submit(project: Project, *words: str) -> tuple[int, str, str]:
    """Run the command with jobs on this machine."""
    process = project.begin("python", "-P", "-m", "stages.submit", "--cluster", "local", *words)
    said, trouble = process.communicate(timeout=300)
    return process.returncode, said, trouble


@pytest.mark.slow
def test_jobs_leave_their_results_in_the_cache_and_the_project_has_them_all(project: Project) -> None:
    status, said, trouble = submit(project, "--scratch", str(project.folder.parent / "scratch"))
    assert status == 0, said + trouble
    assert (project.folder / "report").read_text() == "1\npixels\n1\n2\n"
    assert "4 stages left, 1 of them as jobs now: start\n" in said
    assert "3 stages left, 2 of them as jobs now: left, right\n" in said
    assert "Running stage" not in said.replace("Running stage 'report'", "")  # all else came from the cache
    places = (project.folder.parent / "places").read_text().split()
    assert str(project.folder.parent / "scratch/clones/left") in places
    assert not list((project.folder.parent / "scratch/clones").iterdir())
    assert "up to date" in project.dvc("repro")


@pytest.mark.slow
def test_a_job_that_fails_is_told_with_its_last_words(project: Project) -> None:
    project.write(GRAPH | {"left": ("echo the reason >&2; exit 3", ["start"])})
    git(project.folder, "commit", "-qam", "broken")
    status, _, trouble = submit(project, "report")
    assert status == 1
    assert "left failed" in trouble and "the reason" in trouble
    assert "Traceback" not in trouble.split("left failed")[0]
    assert not (project.folder / "report").exists()


def test_what_is_not_committed_is_named(project: Project) -> None:
    check_committed(project.folder)
    for name in ("params.yaml", "dvc.yaml"):
        with (project.folder / name).open("a", encoding="utf-8") as file:
            file.write("\n")
    with pytest.raises(InputError, match=r"these differ from it: dvc\.yaml\. Commit"):
        check_committed(project.folder)


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no git checkout"):
        check_committed(tmp_path)


def test_settings_of_jobs_are_names_and_values() -> None:
    found = _parsed("timeout_min=5 slurm_partition=gpu")
    assert found == {"name": "lgm", "timeout_min": 5, "slurm_partition": "gpu"}
    for word in ("timeout_min", "=5", "a-b=5"):
        with pytest.raises(InputError, match="words like timeout_min=240"):
            _parsed(word)


def test_a_cluster_that_is_not_here_or_a_setting_that_is_not_known_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"cluster is 'cloud'; allowed: slurm \| local"):
        opened_executor("cloud", "", tmp_path)
    with pytest.raises(InputError, match="submitit refuses --cluster slurm"):
        opened_executor("", "", tmp_path)
    with pytest.raises(InputError, match="submitit refuses --cluster local --slurm 'tempo=3'"):
        opened_executor("local", "tempo=3", tmp_path)
