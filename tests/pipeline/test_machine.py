"""What the machine offers comes from `LGM_*` variables, each checked and named when it is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch

from lgm_core.foundation import devices
from lgm_core.foundation.errors import SettingError
from stages import advice, machine
from stages.advice import explained
from stages.backbones import opened
from stages.machine import KEYS, own_inputs_suffice, read_machine, whole_number
from stages.params import read_params

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("LGM_DEVICE", "LGM_WORKERS", "LGM_DATA", "LGM_MICRO_BATCH")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(f"LGM_{key.upper()}", raising=False)


def test_defaults_need_no_environment() -> None:
    found = read_machine()
    assert found.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert (found.data_root, found.micro_batch) == (Path("data"), None)
    assert (found.precision, found.compiled) == ("auto", False)


@pytest.mark.parametrize(("device", "cores", "workers"), [("cuda", 64, 8), ("cuda", 3, 3), ("cpu", 64, 0)])
def test_pictures_are_decoded_beside_a_gpu_by_up_to_eight_processes(
    device: str, cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU is busy with the backbone: more processes would only take turns with it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    monkeypatch.setattr(machine, "choose_device", lambda wanted: torch.device(device))
    assert read_machine().workers == workers


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in zip(VARIABLES, ("cpu", "3", "/images", "16"), strict=True):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("LGM_PRECISION", "bfloat16")
    monkeypatch.setenv("LGM_COMPILE", "1")
    found = read_machine()
    assert found.device == torch.device("cpu")
    assert (found.workers, found.data_root, found.micro_batch) == (3, Path("/images"), 16)
    assert (found.precision, found.compiled) == ("bfloat16", True)


@pytest.mark.parametrize(
    ("device", "triton", "compiler", "expected"),
    [
        ("cuda", True, True, True),
        ("cuda", False, True, False),
        ("cuda", True, False, False),
        ("cpu", True, True, False),
    ],
)
def test_a_gpu_with_triton_and_a_c_compiler_compiles_by_itself(
    device: str, triton: bool, compiler: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.machine.choose_device", lambda wanted: torch.device(device))
    monkeypatch.setattr(devices, "find_spec", lambda name: object() if triton else None)
    monkeypatch.setattr(devices.shutil, "which", lambda name: f"/bin/{name}" if compiler else None)
    assert read_machine().compiled is expected
    monkeypatch.setenv("LGM_COMPILE", "auto")
    assert read_machine().compiled is expected
    monkeypatch.setenv("LGM_COMPILE", "0")
    assert not read_machine().compiled


@pytest.mark.parametrize("given", ["0", "00"])
def test_no_workers_means_this_process(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("LGM_WORKERS", given)
    assert read_machine().workers == 0


def test_a_micro_batch_may_be_found_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LGM_MICRO_BATCH", "auto")
    assert read_machine().micro_batch is None


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
        ("LGM_COMPILE", "yes"),
        ("LGM_DEVICE", "warp"),
        ("LGM_DEVICE", "cuda:99"),
        ("LGM_DEVICE", "cpu:x"),
    ],
)
def test_an_unusable_variable_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: str
) -> None:
    monkeypatch.setenv(variable, given)
    with pytest.raises(SettingError) as caught:
        read_machine()
    assert explained(caught.value).startswith(f"{variable} is {given!r}; allowed: ")


def test_ranks_are_a_number_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert whole_number("ranks", minimum=1) is None
    monkeypatch.setenv("LGM_RANKS", "2")
    assert whole_number("ranks", minimum=1) == 2
    monkeypatch.setenv("LGM_RANKS", "0")
    with pytest.raises(SettingError) as caught:
        whole_number("ranks", minimum=1)
    assert explained(caught.value) == "LGM_RANKS is '0'; allowed: a whole number from 1."


def test_inputs_may_be_a_data_sets_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not own_inputs_suffice()
    monkeypatch.setenv("LGM_INPUTS", "own")
    assert own_inputs_suffice()
    monkeypatch.setenv("LGM_INPUTS", "some")
    with pytest.raises(SettingError) as caught:
        own_inputs_suffice()
    assert explained(caught.value) == "LGM_INPUTS is 'some'; allowed: all | own."


def test_an_unknown_precision_is_named_when_a_backbone_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LGM_PRECISION", "half")
    monkeypatch.setenv("LGM_DEVICE", "cpu")
    params = read_params(ROOT / "suites" / "embedded.yaml")
    with pytest.raises(SettingError) as caught:
        opened(params, "lite0", read_machine())
    assert explained(caught.value) == "LGM_PRECISION is 'half'; allowed: auto | float32 | bfloat16."


def test_every_variable_is_described_and_known_where_messages_are_made() -> None:
    described = re.findall(r"^LGM_(\w+)", machine.__doc__ or "", re.MULTILINE)
    assert {name.lower() for name in described} == KEYS
    assert KEYS - {"data"} == advice._MACHINE  # any path will do
