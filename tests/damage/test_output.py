"""A stage whose files are written has not failed because nobody could read what it said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT
from toy_project import DATASET, LAYOUT

pytestmark = pytest.mark.slow

TABLES = "-m stages.tables table2"
FEATURES = f"-m stages.features {DATASET} conv"
LGM = "-c 'from lgm_core.cli import main; main()' check --data digits --backbone efficientnet_lite0"
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def status(command: str, **environment: str) -> int:
    """Exit status of the first program of a command of the shell; nothing but messages may be on stderr."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} {command}"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LGM_DEVICE": "cpu", "LGM_WORKERS": "2", **environment},
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert b"Exception ignored" not in done.stderr, done.stderr.decode()
    return done.returncode


@pytest.mark.parametrize("redirected", ["| true", ">/dev/full", ">&-", ">&- 2>&-"])
def test_a_table_that_nobody_reads_is_made(project: Path, redirected: str) -> None:
    made = LAYOUT.table("table2", ".md")
    made.unlink()
    assert status(f"{TABLES} {redirected}") == 0
    assert "±" in made.read_text(encoding="utf-8")


def test_a_table_is_shown_on_a_terminal_of_ascii_characters(project: Path) -> None:
    assert status(TABLES, **ASCII) == 0


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "2>&1 | true", "<&- >&- 2>&-"])
def test_features_whose_progress_nobody_sees_are_made(project: Path, redirected: str) -> None:
    made = LAYOUT.cell(DATASET, "conv").features / "train.safetensors"
    before = made.stat().st_mtime_ns
    assert status(f"{FEATURES} {redirected}") == 0
    assert made.stat().st_mtime_ns != before


@pytest.mark.parametrize("redirected", ["| true", ">/dev/full", ">&-"])
def test_the_command_lgm_ends_well_too(project: Path, redirected: str) -> None:
    assert status(f"{LGM} {redirected}") == 0
