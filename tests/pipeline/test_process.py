"""What comes from outside: environment, params file, command line; and how a stage ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stages.boundary import named, progress_bar, read_layout, read_machine, read_params, run_stage

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("LGM_DEVICE", "LGM_WORKERS", "LGM_DATA", "LGM_MICRO_BATCH")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No `LGM_*` variable, and the process's own signal handlers again afterwards."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


# The machine


def test_defaults_need_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(3)))
    machine = read_machine()
    assert machine.device in {"cpu", "cuda"}
    assert (machine.workers, machine.data_root, machine.micro_batch) == (3, Path("data"), None)


def test_workers_are_at_most_eight_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    assert read_machine().workers == 8


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in zip(VARIABLES, ("cpu", "3", "/images", "16"), strict=True):
        monkeypatch.setenv(variable, value)
    machine = read_machine()
    assert machine.device == "cpu"
    assert (machine.workers, machine.data_root, machine.micro_batch) == (3, Path("/images"), 16)


@pytest.mark.parametrize("given", ["0", "00"])
def test_no_workers_means_this_process(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("LGM_WORKERS", given)
    assert read_machine().workers == 0


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = read_machine()
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    assert read_machine() == defaults


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("LGM_WORKERS", "-1"),
        ("LGM_WORKERS", "two"),
        ("LGM_WORKERS", "1.5"),
        ("LGM_MICRO_BATCH", "0"),
        ("LGM_MICRO_BATCH", "1e3"),
        ("LGM_MICRO_BATCH", " "),
        ("LGM_DEVICE", "warp"),
        ("LGM_DEVICE", "cuda:99"),
        ("LGM_DEVICE", "cpu:x"),
    ],
)
def test_an_unusable_variable_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: str
) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(InputError) as caught:
        read_machine()
    assert variable in str(caught.value)
    assert repr(given) in str(caught.value)


# The params file


def test_params_are_read_as_yaml_1_2(tmp_path: Path) -> None:
    text = (ROOT / "suites" / "embedded.yaml").read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("learning_rate: 0.05", "learning_rate: 5e-2"), encoding="utf-8")
    assert read_params(path) == read_params(ROOT / "suites" / "embedded.yaml")
    path.write_text(text.replace("include_bias: true", "include_bias: yes"), encoding="utf-8")
    with pytest.raises(InputError, match="include_bias is 'yes'"):
        read_params(path)


def test_params_of_the_current_folder_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"params.yaml is missing.*make suite"):
        read_params()
    (tmp_path / "params.yaml").write_bytes((ROOT / "suites" / "embedded.yaml").read_bytes())
    assert read_params().suite == "embedded"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"suite: [a", "not valid YAML"),
        (b"suite: a\nsuite: b\n", "not valid YAML"),
        (b"suite: \xff\xfe\n", "not valid YAML"),
        (b"", "a mapping of settings"),
        (b"- a\n", "a mapping of settings"),
        (b"suite: a\n", "missing key"),
        (b"!!python/object/apply:os.getcwd []\n", "params.yaml"),
    ],
    ids=["open", "twice", "bytes", "empty", "list", "incomplete", "code"],
)
def test_a_broken_file_is_an_input_error(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_params(path)
    assert words in str(caught.value)


def test_layout_lies_below_the_current_folder() -> None:
    params = read_params(ROOT / "suites" / "embedded.yaml")
    assert read_layout(params) == Layout(Path(), "embedded")


def test_a_name_is_looked_up_or_the_known_ones_are_listed() -> None:
    known = {"lite0": {"source": "efficientnet_lite0"}, "lite1": {"source": "efficientnet_lite1"}}
    assert named(known, "lite1", "backbones") is known["lite1"]
    with pytest.raises(InputError, match=r"'lite9' is not among backbones in params.yaml.*lite0, lite1"):
        named(known, "lite9", "backbones")


# How a stage ends


def end(monkeypatch: pytest.MonkeyPatch, main: object, *arguments: str) -> int | str | None:
    """Exit status of a stage called with the given arguments; 0 where it just returns."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/stages/distill.py", *arguments])
    try:
        run_stage(main, ("dataset", "backbone"))  # type: ignore[arg-type]
    except SystemExit as stopped:
        return stopped.code
    return 0


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
    assert end(monkeypatch, lambda *given: pytest.fail("called"), *arguments) == 1
    assert capsys.readouterr() == ("", "error: usage: python -m stages.distill <dataset> <backbone>\n")


def test_an_input_error_is_one_message_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(dataset: str, backbone: str) -> None:
        raise InputError(f"{dataset} is unusable.")

    assert end(monkeypatch, main, "digits", "lite0") == 1
    assert capsys.readouterr() == ("", "error: digits is unusable.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_stage_ends_with_status_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    def main(dataset: str, backbone: str) -> None:
        os.kill(os.getpid(), number)
        signal.pause()

    assert end(monkeypatch, main, "digits", "lite0") == 130
    assert capsys.readouterr() == ("", "interrupted; run the same command again\n")


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def main(dataset: str, backbone: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        end(monkeypatch, main, "digits", "lite0")


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(2, "distill digits", "steps") as bar:
        bar.update(2)
        assert bar.format_dict["elapsed"] >= 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "distill digits" in shown.err
    assert "2/2" in shown.err
