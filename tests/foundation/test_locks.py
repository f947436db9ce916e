"""Of two processes with the same work one does it and the other says who."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lgm_core.foundation import locks
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.locks import alone, is_running

HOLDER = """
import sys, time
from pathlib import Path
from lgm_core.foundation.locks import alone
with alone(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a.lock")]
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_is_told_who_is_at_work(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    told = pytest.raises(InputError, match=f"The cell x is being run by pid {holder.pid} on ")
    with told, alone(tmp_path / "a.lock", "The cell x"):
        pytest.fail("two at once")


def test_a_killed_owner_frees_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with alone(tmp_path / "a.lock", "it"):
        assert str(os.getpid()) in (tmp_path / "a.owner").read_text()


def test_other_work_is_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with alone(tmp_path / "b.lock", "it"):
        pass


def test_the_lock_can_be_taken_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "a.lock", "it"):
        raise ZeroDivisionError
    with alone(tmp_path / "a.lock", "it"):
        pass


def test_an_unknown_owner_is_not_invented(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_GRACE_SECONDS", 0.1)
    for content in ("", "[]", "{", '{"pid": 4194999, "host": "elsewhere"}'):
        (tmp_path / "a.owner").write_text(content)
        who = "pid 4194999 on elsewhere" if "elsewhere" in content else "another process"
        with pytest.raises(InputError, match=who), alone(tmp_path / "a.lock", "it"):
            pytest.fail("two at once")


def test_children_of_a_killed_owner_get_time_to_end(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner named is gone, but something still holds the lock: it is waited for, then refused."""
    monkeypatch.setattr(locks, "_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(locks, "is_running", lambda pid: False)
    with pytest.raises(InputError, match="is being run by"), alone(tmp_path / "a.lock", "it"):
        pytest.fail("two at once")


def test_a_folder_that_takes_no_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = pytest.raises(InputError, match=r"Cannot lock .*was not started")
    with told, alone(tmp_path / "file" / "a.lock", "it"):
        pytest.fail("no lock")


def test_processes_are_running_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_running(os.getpid())
    assert not is_running(2**22 + 1)

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_running(1)
