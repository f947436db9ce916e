"""Results say what made them: plain settings, versions, and in a file of its own what they cost."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

import lgm_core
from lgm_core.foundation.belonging import check_of
from lgm_core.foundation.layout import Cell
from lgm_core.foundation.provenance import Measurement, settings_of, versions
from lgm_core.foundation.store import fingerprint, read_json
from lgm_core.settings.method import MethodSettings


def test_versions_are_those_of_what_the_numbers_depend_on() -> None:
    assert versions() == {
        "lgm": lgm_core.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": timm.__version__,
    }


def test_settings_are_plain_values_of_the_named_fields_alone(method: Callable[..., MethodSettings]) -> None:
    found = settings_of(method(steps=7), ("steps", "augment", "real_batch"))
    assert list(found) == ["steps", "augment", "real_batch"]
    assert (found["steps"], found["real_batch"]) == (7, "all")
    assert found["augment"]["crop_scale"] == (0.7, 1.0)
    assert fingerprint(found) == fingerprint(settings_of(method(steps=7, ipc=9), tuple(found)))
    assert fingerprint(found) != fingerprint(settings_of(method(steps=8), tuple(found)))


def test_a_run_is_measured_from_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 103.456])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    cell = Cell(tmp_path / "pets", "vit", "rounds/one")
    Measurement("cpu").write(cell, "probe")
    measured = read_json(cell.run("probe"))
    assert measured.keys() == {"dataset", "source", "variant", "seconds", "peak_memory_mib", "device"}
    check_of(cell.run("probe"), measured, cell)
    assert (measured["seconds"], measured["device"]) == (3.46, "cpu")
    assert 50 < measured["peak_memory_mib"] < 10**6


def test_parts_of_a_run_are_noted_for_one_of_several_equal_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 13.0, 20.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    measurement = Measurement("cpu")
    with measurement.part("probe", 4):
        pass
    cell = Cell(tmp_path / "pets", "vit")
    measurement.write(cell, "probe")
    assert read_json(cell.run("probe"))["parts"] == {"probe": 0.75}


def test_a_time_that_was_measured_elsewhere_goes_before(tmp_path: Path) -> None:
    cell = Cell(tmp_path / "pets", "vit")
    Measurement(torch.device("cpu")).write(cell, "distill", seconds=12.0)
    assert read_json(cell.run("distill"))["seconds"] == 12


def test_the_peak_of_memory_is_in_the_same_unit_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux counts in KiB, macOS in bytes."""
    here = Measurement("cpu")._peak_mib()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Measurement("cpu")._peak_mib() * 1024 == pytest.approx(here, rel=0.2)


def test_on_a_gpu_its_own_memory_counts_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", began.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    measurement = Measurement("cuda:1")
    assert began == [torch.device("cuda:1")]
    assert measurement._peak_mib() == 3
