"""The library says what is wrong; here is added where to change it and what to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lgm_core.foundation.errors import (
    DamagedFileError,
    InputError,
    KeyFaultError,
    MissingFileError,
    NoMemoryError,
    SettingError,
    StaleFileError,
    WorkersError,
)
from stages.advice import explained
from stages.params import read_layout, read_params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded suite is the current folder's."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "suites" / "embedded.yaml").read_bytes())


def test_a_setting_is_one_of_the_params_file() -> None:
    error = SettingError("aug_rounds", "five", "a whole number from 1")
    assert explained(error) == "params.yaml: aug_rounds is 'five'; allowed: a whole number from 1."


def test_a_setting_of_the_machine_is_a_variable() -> None:
    error = SettingError("micro_batch", "0", "a whole number from 1, or auto")
    assert explained(error) == "LGM_MICRO_BATCH is '0'; allowed: a whole number from 1, or auto."


def test_where_memory_does_not_suffice_the_variable_that_helps_is_named() -> None:
    assert explained(NoMemoryError("Use the CPU.")) == "Use the CPU. LGM_DEVICE=cpu does that."


def test_an_unknown_key_lists_the_known_ones_and_a_missing_one_where_to_see_them_all() -> None:
    unknown = KeyFaultError("unknown", ["aug_round"], "allowed: aug_rounds, augment")
    assert explained(unknown) == "params.yaml: unknown key aug_round; allowed: aug_rounds, augment."
    missing = explained(KeyFaultError("missing", ["probe.seeds"], "a complete file states every key"))
    assert missing.startswith("params.yaml: missing key probe.seeds; ")
    assert missing.endswith(" The files in suites/ show every key.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MissingFileError, "is missing. Make it with: dvc repro probe@digits-lite0"),
        (DamagedFileError, "is damaged. Make it again with: dvc repro -f probe@digits-lite0"),
        (StaleFileError, "is of yesterday. Make it again with: dvc repro -f probe@digits-lite0"),
    ],
)
def test_a_result_is_made_by_a_stage(error: type[MissingFileError], words: str) -> None:
    path = read_layout(read_params()).cell("digits", "lite0").probe
    reason = words.partition(".")[0]
    made = error(path) if error is MissingFileError else error(path, reason)  # type: ignore[call-arg]
    assert explained(made) == f"{path} {words}"


@pytest.mark.parametrize("path", ["results/paper/digits/probe/lite0.json", "data/x.npz", "/elsewhere/x.json"])
def test_what_no_stage_of_this_suite_makes_has_no_command(path: str) -> None:
    assert explained(MissingFileError(Path(path))) == f"{path} is missing."


def test_where_the_params_file_cannot_be_read_the_error_is_still_told() -> None:
    path = read_layout(read_params()).cell("digits", "lite0").probe
    Path("params.yaml").write_text("suite: [", encoding="utf-8")
    assert explained(MissingFileError(path)) == f"{path} is missing."


def test_anything_else_is_told_as_it_is() -> None:
    assert explained(InputError("The classes differ.")) == "The classes differ."


def test_processes_that_ended_may_be_fewer() -> None:
    told = explained(WorkersError("One has ended."))
    assert told.startswith("One has ended. Run the same command again with fewer LGM_WORKERS (0: ")
