"""Stages side by side: each after what it depends on, several at once, and nothing lost when one fails."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dvc_graph import ROOT
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError
from stages.plan import Plan, stale
from stages.side_by_side import _job_count

GRAPH = {"code": set(), "a": {"code"}, "b": {"code"}, "table": {"a", "b"}, "other": set()}


def test_what_depends_on_a_change_is_looked_at_and_nothing_else() -> None:
    assert stale(GRAPH, set()).over
    assert stale(GRAPH, {"a"}).waiting == {"a": set(), "table": {"a"}}
    assert set(stale(GRAPH, {"code", "other"}).waiting) == set(GRAPH)


def test_a_stage_begins_when_all_that_it_waits_for_is_done() -> None:
    plan = Plan({name: set(needs) for name, needs in GRAPH.items()})
    assert [plan.begin(), plan.begin(), plan.begin()] == ["code", "other", None]
    plan.done("code")
    assert [plan.begin(), plan.begin(), plan.begin()] == ["a", "b", None]
    for name in ("other", "a"):
        plan.done(name)
    assert plan.begin() is None
    plan.done("b")
    assert plan.begin() == "table"
    assert not plan.over
    plan.done("table")
    assert plan.over


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5"])
def test_jobs_are_a_number(given: str) -> None:
    with pytest.raises(InputError, match="a whole number from 1"):
        _job_count(given)


def test_there_is_a_job_for_every_core_and_one_where_stages_use_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.side_by_side.available_cores", lambda: 6)
    monkeypatch.setattr("stages.side_by_side._gpus", lambda: False)
    assert (_job_count(""), _job_count("3")) == (6, 3)
    monkeypatch.setattr("stages.side_by_side._gpus", lambda: True)
    assert (_job_count(""), _job_count("3")) == (1, 3)


class Project:
    """A folder with a DVC pipeline of shell commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, folder: Path) -> Project:
        """One without stages."""
        found = cls(folder)
        shutil.copy(ROOT / "params.yaml", folder)
        found.dvc("init", "--no-scm", "--quiet")
        return found

    def write(self, stages: dict[str, tuple[str, list[str]]]) -> None:
        """Stages: name → command, which writes a file of that name, and what it depends on."""
        content = {
            name: {"cmd": command, "deps": needs, "outs": [name]} for name, (command, needs) in stages.items()
        }
        with (self.folder / "dvc.yaml").open("w", encoding="utf-8") as file:
            YAML().dump({"stages": content}, file)

    def begin(self, *command: str) -> subprocess.Popen[str]:
        """A command in this folder."""
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=env, text=True, stdout=pipe, stderr=pipe)

    def dvc(self, *words: str) -> str:
        """What a DVC command says; it succeeds."""
        process = self.begin(sys.executable, "-m", "dvc", *words)
        said, trouble = process.communicate(timeout=480)
        assert process.returncode == 0, said + trouble
        return said

    def side_by_side(self, *words: str) -> subprocess.Popen[str]:
        """The command under test."""
        return self.begin(sys.executable, "-P", "-m", "stages.side_by_side", *words)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Its exit status, and what it said."""
        process = self.side_by_side(*words)
        said, trouble = process.communicate(timeout=480)
        return process.returncode, said, trouble


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    return Project.new(tmp_path)


def meets(name: str, other: str) -> str:
    """A command that succeeds only if another one runs at the same time."""
    wait = f"for i in $(seq 300); do test -e {other}.here && exit 0; sleep 0.1; done; exit 1"
    return f"touch {name}.here && echo {name} > {name} && ({wait})"


@pytest.mark.slow
def test_independent_stages_run_at_the_same_time_and_in_the_order_of_the_graph(project: Project) -> None:
    project.write(
        {
            "start": ("echo 1 > start", []),
            "left": (meets("left", "right"), ["start"]),
            "right": (meets("right", "left"), ["start"]),
            "end": ("cat left right > end", ["left", "right"]),
            "unasked": ("echo 1 > unasked", []),
        }
    )
    status, said, trouble = project.run("--jobs", "2", "end")
    assert status == 0, said + trouble
    assert (project.folder / "end").read_text() == "left\nright\n"
    assert "4 stages are not up to date; 2 at a time" in said
    assert said.index("start") < said.index("left") < said.index("[4/4] end")
    assert not (project.folder / "unasked").exists()
    lock = (project.folder / "dvc.lock").read_text()
    assert project.run("--jobs", "2", "end")[:2] == (0, "All is up to date.\n")
    assert "up to date" in project.dvc("repro", "end")
    assert (project.folder / "dvc.lock").read_text() == lock


@pytest.mark.slow
def test_a_failure_is_told_with_its_last_words_and_nothing_new_begins(project: Project) -> None:
    stages = {
        "good": ("sleep 2 && echo 1 > good", []),
        "bad": ("echo the reason >&2; test -e mended && echo 1 > bad", []),
        "after": ("cat bad > after", ["bad"]),
        "later": ("cat good > later", ["good"]),
    }
    project.write(stages)
    status, said, trouble = project.run("--jobs", "2")
    assert status == 1
    assert "bad failed" in trouble and "    the reason" in trouble and ".lgm/jobs/bad.log" in trouble
    assert (project.folder / "good").exists()  # it had begun, and its result is kept
    assert not (project.folder / "after").exists() and not (project.folder / "later").exists()
    (project.folder / "mended").touch()
    status, said, trouble = project.run("--jobs", "2")
    assert status == 0, said + trouble
    assert "3 stages" in said and "good" not in said.split("at a time")[1]


@pytest.mark.slow
def test_an_interruption_reaches_the_stages_and_what_is_done_stays(project: Project) -> None:
    (project.folder / "long.sh").write_text(
        "trap 'echo told > told; exit 130' INT\ntouch begun\nfor i in $(seq 600); do sleep 0.1; done\n"
    )
    project.write({"first": ("echo 1 > first", []), "long": ("sh long.sh", ["first"])})
    process = project.side_by_side("--jobs", "2")
    deadline = time.monotonic() + 60
    while not (project.folder / "begun").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, trouble = process.communicate(timeout=240)
    assert process.returncode == 130
    assert trouble == "interrupted; run the same command again\n"
    assert (project.folder / "told").exists()
    assert "first" in (project.folder / "dvc.lock").read_text()


@pytest.mark.slow
def test_many_small_stages_do_not_stand_in_each_others_way(project: Project) -> None:
    names = [f"s{number}" for number in range(12)]
    project.write({name: (f"echo {name} > {name}", []) for name in names})
    for _ in range(2):
        status, said, trouble = project.run("--jobs", "4")
        assert status == 0, said + trouble
        assert all((project.folder / name).read_text() == f"{name}\n" for name in names)
        shutil.rmtree(project.folder / ".dvc/cache")
        for name in (*names, "dvc.lock"):
            (project.folder / name).unlink()


@pytest.mark.slow
def test_one_job_is_dvc_itself(project: Project) -> None:
    project.write({"only": ("echo 1 > only", [])})
    status, said, trouble = project.run("--jobs", "1")
    assert status == 0, said + trouble
    assert "Running stage 'only'" in said
    assert not (project.folder / ".lgm/jobs").exists()


@pytest.mark.slow
def test_an_unknown_target_is_named(project: Project) -> None:
    project.write({"only": ("echo 1 > only", [])})
    status, _, trouble = project.run("--jobs", "2", "tables/table99")
    assert status == 1
    assert "tables/table99" in trouble and "Traceback" not in trouble
