"""How a stage runs as a process: its arguments, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lgm_core.foundation.errors import InputError, MissingFileError, SettingError
from stages import guard
from stages.guard import alone_with, guarded, run_alone
from stages.process import run_stage
from stages.signals import finishing_steps

ROOT = Path(__file__).resolve().parents[2]
Main = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _own_folder_and_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with a params file, and the process's own signal handlers again afterwards."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "suites" / "embedded.yaml").read_bytes())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def end(monkeypatch: pytest.MonkeyPatch, main: Main, *arguments: str) -> int | str | None:
    """Exit status of a stage called with the given arguments."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/distill.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        run_stage("distill", "Distils.", "dataset backbone", work=lambda verb, given: main(*given))
    return stopped.value.code


# Arguments


def test_arguments_are_handed_over_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[str] = []
    assert end(monkeypatch, lambda *arguments: given.extend(arguments), "digits", "lite0") == 0
    assert given == ["digits", "lite0"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [(), ("digits",), ("digits", "lite0", "now")], ids=len)
def test_a_wrong_number_of_arguments_shows_the_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert end(monkeypatch, lambda *given: pytest.fail("called"), *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: python -m stages.distill [-h] dataset backbone\n")


@pytest.mark.parametrize(
    ("usage", "options", "typed", "handed"),
    [
        ("dataset source [variant]", (), ["a", "b"], ["a", "b"]),
        ("dataset source [variant]", (), ["a", "b", "rounds/c"], ["a", "b", "rounds/c"]),
        ("", ("images", "backbone", "[dataset]"), ["--backbone", "b", "--images", "i"], ["i", "b", ""]),
        ("", ("images", "[dataset]"), ["--dataset=d", "--images=i"], ["i", "d"]),
        ("[targets...]", ("[jobs]",), ["a/b", "c", "--jobs=2"], ["a/b c", "2"]),
        ("[targets...]", ("[jobs]",), [], ["", ""]),
    ],
)
def test_arguments_may_be_left_out_and_have_names(
    monkeypatch: pytest.MonkeyPatch, usage: str, options: tuple[str, ...], typed: list[str], handed: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", *typed])
    seen: list[list[str]] = []
    with pytest.raises(SystemExit) as stopped:
        run_stage("x", None, usage, options=options, work=lambda verb, given: seen.append(given))
    assert (stopped.value.code, seen) == (0, [handed])


def test_a_needed_option_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--backbone", "clip"])
    with pytest.raises(SystemExit) as stopped:
        run_stage("x", None, options=("images", "backbone"), work=lambda *given: pytest.fail("called"))
    assert stopped.value.code == 2
    assert "--images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("params.yaml/x", "params.yaml/x: Not a directory."),
        ("x" * 5000, " (5,000 characters): File name too long."),
    ],
)
def test_a_file_that_the_system_refuses_is_one_short_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, told: str
) -> None:
    def read(*given: str) -> None:
        Path(path).read_bytes()

    assert end(monkeypatch, read, "a", "b") == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.endswith(f"{told}\n")
    assert len(shown) < 300


def test_an_error_of_the_system_without_a_file_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: str) -> None:
        raise ConnectionResetError("by a bug")

    monkeypatch.setattr(sys, "argv", ["x", "a", "b"])
    with pytest.raises(ConnectionResetError):
        run_stage("distill", None, "dataset backbone", work=lambda verb, given: fail())


def test_wrong_settings_are_told_before_the_work_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("\nsteps: 150", "\nsteps: many"), encoding="utf-8")
    assert end(monkeypatch, lambda *given: pytest.fail("called"), "digits", "lite0") == 1
    assert capsys.readouterr() == (
        "",
        "error: params.yaml: steps is 'many'; allowed: a whole number from 1.\n",
    )


def test_a_command_that_repairs_settings_runs_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("params.yaml").unlink()
    monkeypatch.setattr(sys, "argv", ["x"])
    seen: list[str] = []
    with pytest.raises(SystemExit) as stopped:
        run_stage("suite", None, params=False, work=lambda verb, given: seen.append(verb))
    assert (stopped.value.code, seen) == (0, ["suite"])


# Ends


def test_an_input_error_is_one_message_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(dataset: str, backbone: str) -> None:
        raise InputError(f"{dataset} is unusable.")

    assert end(monkeypatch, main, "digits", "lite0") == 1
    assert capsys.readouterr() == ("", "error: digits is unusable.\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SettingError("workers", "x", "a number"), "LGM_WORKERS is 'x'; allowed: a number."),
        (
            MissingFileError(Path("results/embedded/digits/inputs.json")),
            "results/embedded/digits/inputs.json is missing. Make it with: dvc repro inputs@digits",
        ),
        (MemoryError(), "Memory ran out (MemoryError). Set LGM_MICRO_BATCH to a smaller number"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Memory ran out (DefaultCPUAllocator"),
    ],
    ids=["setting", "file", "memory", "allocator"],
)
def test_an_error_says_what_to_type_and_which_rank_it_met(
    capsys: pytest.CaptureFixture[str], error: Exception, message: str
) -> None:
    with pytest.raises(SystemExit) as stopped, guarded("rank 1: "):
        raise error
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith(f"rank 1: error: {message}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stage_ends_with_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def main(dataset: str, backbone: str) -> None:
        os.kill(os.getpid(), number)
        signal.pause()

    assert end(monkeypatch, main, "digits", "lite0") == 130
    assert capsys.readouterr() == ("", "interrupted; run the same command again\n")


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes differ")])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), guarded():
        raise error


# One process a cell


def test_a_cell_that_is_at_work_is_not_begun_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard, "run_verb", lambda verb, arguments: pytest.fail("called"))
    with alone_with("distill", ["digits", "lite0"]), pytest.raises(SystemExit) as stopped, guarded():
        run_alone("distill", ["digits", "lite0"])
    assert stopped.value.code == 1
    assert f"The cell 'distill digits lite0' is being run by pid {os.getpid()}" in capsys.readouterr().err


def test_other_cells_may_be_at_work_and_none_leaves_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(guard, "run_verb", lambda verb, arguments: seen.append(arguments))
    with alone_with("distill", ["digits", "lite0"]):
        run_alone("distill", ["digits", "lite1"])
        run_alone("export", ["digits", "lite0", "../release"])
    assert len(seen) == 2
    assert {path.name for path in Path(".lgm/locks").glob("*.lock")} == {
        "distill digits lite0.lock",
        "distill digits lite1.lock",
        "export digits lite0 ..%2Frelease.lock",
    }


@pytest.mark.parametrize("words", ["a/" * 120, "timm:vit_base " * 30, "ä" * 5000, "\udcff"])
def test_arguments_of_any_length_have_a_lock_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(guard, "run_verb", lambda verb, arguments: seen.append(arguments[0]))
    with alone_with("suite", [words]):
        run_alone("suite", [f"{words}b"])
        with pytest.raises(SystemExit), guarded():
            run_alone("suite", [words])
    assert seen == [f"{words}b"]
    told = capsys.readouterr().err
    assert "is being run by pid" in told
    assert len(told) < 500


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_only_asks_a_distillation_to_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with finishing_steps() as ending:
        assert not ending()
        os.kill(os.getpid(), number)
        assert ending()
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), finishing_steps():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
