"""Nothing that a program prints ends it, and what can be read arrives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from lgm_core.foundation.output import never_fail_to_print
never_fail_to_print()
print("90.1 ± 0.2 \\udcff")
print("90.1 ± 0.2", file=sys.stderr)
for _ in range(3):
    print("x" * 100_000, flush=True)
opened = open("result.txt", "w")
opened.write("whole")
opened.close()
print(sys.stdout.isatty(), sys.stderr.isatty(), sys.stdout.fileno(), sys.stderr.fileno())
"""


def ended(folder: Path, redirected: str, **environment: str) -> tuple[int, bytes]:
    """Exit status of the program in a shell with redirections, and what arrived."""
    command = f'"$0" -c "$1" {redirected}'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}", sys.executable, PROGRAM],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "redirected",
    [
        "| true", "2>&1 | head -c 10", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full",
        "2>/dev/full", ">/dev/full 2>&1", "</dev/null",
    ],
)  # fmt: skip
def test_output_that_nobody_takes_ends_nothing(tmp_path: Path, redirected: str) -> None:
    status, _ = ended(tmp_path, redirected)
    assert status == 0
    assert (tmp_path / "result.txt").read_text() == "whole"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_characters_that_a_terminal_cannot_show_are_numbers(tmp_path: Path, encoding: str) -> None:
    status, told = ended(tmp_path, "", PYTHONIOENCODING=encoding)
    shown = {"ascii": rb"\xb1", "latin-1": b"\xb1", "cp437": b"\xf1"}[encoding]
    assert status == 0
    assert told.startswith(b"90.1 " + shown + rb" 0.2 \udcff" + b"\n")


def test_what_is_read_arrives_whole_and_in_order(tmp_path: Path) -> None:
    status, told = ended(tmp_path, "2>/dev/null", PYTHONUTF8="1")
    assert status == 0
    assert told.decode() == "90.1 ± 0.2 \\udcff\n" + ("x" * 100_000 + "\n") * 3 + "False False 1 2\n"


def test_a_reader_that_is_slow_and_a_pipe_that_does_not_wait_lose_nothing(tmp_path: Path) -> None:
    slow = "2>/dev/null | (sleep 0.3; wc -c)"
    unwaiting = "import os; os.set_blocking(1, False)\n" + PROGRAM
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {slow}', sys.executable, unwaiting],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) == len("90.1 ± 0.2 \\udcff\n".encode()) + 3 * 100_001 + len("False False 1 2\n")
