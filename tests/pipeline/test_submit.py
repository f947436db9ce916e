"""Stages as jobs elsewhere: each in a clone, results by the common cache, one dvc.lock in the project."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc_graph import ROOT
from pipeline.test_side_by_side import Project
from pipeline.whole_runs import LITTLE, LITTLE_PROBE, leave_out, show_only
from ruamel.yaml import YAML
from toy_project import write_checkpoints, write_dataset

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
    found = Project.new(folder)
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
    said, trouble = process.communicate(timeout=600)
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


@pytest.fixture
def miniature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project itself and the paper's suite, with two small backbones and three classes, for Table 2."""
    folder = tmp_path / "project"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, text=True, capture_output=True).stdout
    for name in tracked.splitlines():
        if name != "dvc.lock" and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_dataset(folder / "data" / "blobs")
    (folder / "weights").mkdir()
    monkeypatch.chdir(folder)
    rows = write_checkpoints(Path("weights"))
    settings = YAML(typ="safe").load((ROOT / "suites/paper.yaml").read_text(encoding="utf-8"))
    settings |= {"datasets": {"imagenet100": "folder:blobs"}, "backbones": rows, "figure_backbones": {}}
    settings |= {**LITTLE, "dataset_overrides": {}, "resolution": 36, "input_size": 32}
    settings["probe"] |= LITTLE_PROBE
    show_only(settings, "imagenet100", "none", "vit")
    leave_out(settings, *(name for name in settings["tables"] if name != "table2"), *settings["figures"])
    settings["variants"] = {group: {} for group in settings["variants"]}
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(settings, file)
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "all")
    for name, value in {"LGM_WORKERS": "0", "LGM_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    return Project(folder)


def files_of_table_2(project: Project) -> dict[str, bytes]:
    """All that the table consists of, its metrics too."""
    folders = (project.folder / "results/paper/tables", project.folder / "metrics/paper")
    return {path.name: path.read_bytes() for folder in folders for path in folder.glob("table2.*")}


def made_again(project: Project, jobs: str) -> dict[str, bytes]:
    """The table from nothing, so many stages at a time."""
    for name in ("results", ".dvc/cache", "metrics", ".lgm"):
        shutil.rmtree(project.folder / name)
    (project.folder / "dvc.lock").unlink()
    status, said, trouble = project.run("--jobs", jobs, "tables/table2")
    assert status == 0, said + trouble
    return files_of_table_2(project)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_papers_table_2_is_made_by_jobs_in_miniature_and_side_by_side_alike(miniature: Project) -> None:
    status, said, trouble = submit(miniature, "tables/table2")
    assert status == 0, said + trouble
    assert "distill@imagenet100-vit, distill@imagenet100-conv" in said
    table = files_of_table_2(miniature)
    assert {"table2.md", "table2.csv", "table2.json"} <= table.keys()
    assert b"| vit |" in table["table2.md"] and b"| conv |" in table["table2.md"]
    assert "up to date" in miniature.dvc("repro", "tables/table2")
    assert made_again(miniature, "2") == table
    assert made_again(miniature, "1") == table
