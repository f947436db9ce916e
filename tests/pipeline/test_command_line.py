"""Stages as commands: help and complaints come before torch is loaded, and end with one message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from code_reading import ROOT
from toy_project import DATASET, LAYOUT, enter, snapshot, start_project, write_settings

pytestmark = pytest.mark.slow

COMMANDS = sorted(
    path.stem
    for path in (ROOT / "stages").glob("*.py")
    if '\nif __name__ == "__main__":\n' in path.read_text(encoding="utf-8")
)
WITHOUT_SETTINGS = {"code", "parameters_page", "releases", "suite", "unlock"}
# Runs command lines one after the other as `python -m stages.<verb> …` does, and prints how each ended.
_DRIVER = """
import contextlib, io, json, runpy, sys
ends = []
for verb, *arguments in json.loads(sys.argv[1]):
    sys.argv = [verb, *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_module(f"stages.{verb}", run_name="__main__", alter_sys=True)
            status = None
        except SystemExit as end:
            status = end.code
    ends.append([status, out.getvalue(), err.getvalue(), "torch" in sys.modules])
print(json.dumps(ends))
"""
End = tuple[int, str, str, bool]
"""Exit status, stdout, stderr, and whether torch was loaded."""


def python(*words: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "LGM_DEVICE": "cpu"}
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, check=False
    )


def ends_of(calls: dict[str, list[str]]) -> dict[str, End]:
    """How every verb ends with its arguments, in one process that has loaded nothing before."""
    lines = [[verb, *arguments] for verb, arguments in calls.items()]
    done = python("-c", _DRIVER, json.dumps(lines))
    assert done.returncode == 0, done.stderr
    return dict(zip(calls, map(tuple, json.loads(done.stdout)), strict=True))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the embedded suite's settings, and nothing else."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "suites" / "embedded.yaml").read_bytes())
    return tmp_path


def test_the_commands_are_known() -> None:
    assert {"code", "distill", "export", "probe_images", "settings", "unlock"} <= set(COMMANDS)
    assert set(COMMANDS) > WITHOUT_SETTINGS


def test_every_command_says_what_it_does_without_torch(here: Path) -> None:
    found = ends_of({verb: ["--help"] for verb in COMMANDS})
    for verb, (status, out, err, torch) in found.items():
        assert (status, err, torch) == (0, "", False), verb
        assert out.startswith(f"usage: python -m stages.{verb} [-h]"), verb
        assert len(out.splitlines()) > 4, f"{verb} does not say what it does"


def test_wrong_arguments_show_the_usage_without_torch(here: Path) -> None:
    # These take any number of targets.
    words = {verb: ["one", "two", "three", "four", "five"] for verb in COMMANDS}
    found = ends_of(words | {verb: ["--five"] for verb in ("side_by_side", "submit")})
    for verb, (status, out, err, torch) in found.items():
        assert (status, out, torch) == (2, "", False), verb
        assert f"usage: python -m stages.{verb} [-h]" in err, verb
        assert "Traceback" not in err


def test_wrong_settings_are_one_message_without_torch(here: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("aug_rounds: 4\n", "aug_round: 4\n", 1), encoding="utf-8")
    calls = {verb: arguments(verb) for verb in COMMANDS if verb not in WITHOUT_SETTINGS}
    for verb, (status, out, err, torch) in ends_of(calls).items():
        assert (status, out, torch) == (1, "", False), verb
        assert err.startswith("error: params.yaml: unknown key aug_round; allowed: "), verb
        assert (err.count("error:"), err.count("\n")) == (1, 1), verb
    assert {path.name for path in here.iterdir()} == {"params.yaml"}


def arguments(verb: str) -> list[str]:
    """As many as a verb takes."""
    given = {
        "inputs": ["digits"], "align": ["digits"], "tables": ["table1"], "figures": ["figure1"],
        "export": ["digits", "lite0", "out"], "distill_ipc": ["digits", "lite0", "ipc/ipc_2"],
        "statistics": ["digits", "lite0", "out"], "probe_images": ["--images", "x", "--backbone", "lite0"],
    }  # fmt: skip
    without = {"check", "report", "settings"}
    return given.get(verb, [] if verb in without else ["digits", "lite0"])


def test_a_flag_of_another_command_asks_that_one(here: Path) -> None:
    ((status, out, _, torch),) = ends_of({"probe": ["--images", "x", "--help"]}).values()
    assert (status, torch) == (0, False)
    assert out.startswith("usage: python -m stages.probe_images [-h]")


# As a shell starts them


def is_one_message(done: subprocess.CompletedProcess[str]) -> bool:
    shown = done.stderr + done.stdout
    return done.stderr.startswith("error: ") and shown.count("error:") == 1 and "Traceback" not in shown


def test_a_process_without_its_data_ends_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(tmp_path, monkeypatch)
    settings = start_project(tmp_path)
    write_settings(settings)
    (tmp_path / "data" / DATASET).rename(tmp_path / "data" / "elsewhere")
    done = python("-m", "stages.inputs", DATASET)
    assert done.returncode == 1
    assert is_one_message(done), done.stderr
    assert f"{tmp_path}/data/{DATASET}/train" in done.stderr
    assert snapshot() == {}


def test_a_process_that_meets_an_unknown_setting_writes_nothing(project: dict[str, Any]) -> None:
    write_settings({**project, "aug_round": 5})
    before = snapshot()
    done = python("-m", "stages.distill", DATASET, "vit")
    assert done.returncode == 1
    assert is_one_message(done), done.stderr
    assert "aug_round;" in done.stderr
    assert snapshot() == before


def test_a_table_is_made_without_importing_torch(project: dict[str, Any]) -> None:
    code = "import sys; from stages.tables import main; main('table2'); assert 'torch' not in sys.modules"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == LAYOUT.table("table2", ".md").read_text(encoding="utf-8").strip()
