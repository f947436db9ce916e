"""The device that was asked for is used, or refused with what this machine offers."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from lgm_core.foundation import devices
from lgm_core.foundation.devices import choose_device, claim, rank_count, rank_device
from lgm_core.foundation.errors import InputError, SettingError

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let torch believe in some GPUs, which take any tensor."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch, "empty", lambda size, device: None)


@pytest.mark.parametrize("wanted", [None, ""])
@pytest.mark.parametrize(("gpus", "expected"), [(0, "cpu"), (1, "cuda"), (4, "cuda")])
def test_a_gpu_is_chosen_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, gpus: int, expected: str
) -> None:
    with_gpus(monkeypatch, gpus)
    assert choose_device(wanted) == torch.device(expected)


@pytest.mark.parametrize("wanted", ["cpu", "cuda", "cuda:1"])
def test_what_is_wanted_goes_before(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    with_gpus(monkeypatch, 2)
    assert choose_device(wanted) == torch.device(wanted)


@pytest.mark.parametrize("wanted", ["warp", "cpu:x", "cuda:99", "CPU", " "])
def test_a_device_that_is_not_there_is_named_with_the_reason(wanted: str) -> None:
    with pytest.raises(SettingError) as caught:
        choose_device(wanted)
    assert caught.value.key == "device"
    assert f"device is {wanted!r}; allowed: one that this machine offers (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_a_driver_that_shows_no_gpu_is_no_device(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    with_gpus(monkeypatch, 0)
    with pytest.raises(SettingError, match=r"one that this machine offers \(no GPU is visible\)"):
        choose_device(wanted)


def test_a_driver_that_gives_tensors_of_no_size_alone_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(size: int, device: torch.device) -> None:
        if size:
            raise RuntimeError("CUDA driver initialization failed")

    with_gpus(monkeypatch, 1)
    monkeypatch.setattr(torch, "empty", broken)
    with pytest.raises(SettingError, match=r"this machine offers \(CUDA driver initialization failed\)"):
        choose_device("cuda")


def test_the_gpu_that_is_named_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[torch.device] = []
    with_gpus(monkeypatch, 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    choose_device("cuda")
    assert current == []
    choose_device("cuda:1")
    assert current == [torch.device("cuda:1")]


def test_an_error_without_a_text_is_named_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int, device: torch.device) -> None:
        raise AssertionError

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(SettingError, match=r"one that this machine offers \(AssertionError\)"):
        choose_device("cpu")


@pytest.mark.parametrize(("wanted", "expected"), [(None, 1), (1, 1), (5, 5)])
def test_on_a_cpu_there_is_one_rank_or_as_many_as_wanted(wanted: int | None, expected: int) -> None:
    assert rank_count(CPU, wanted) == expected


@pytest.mark.parametrize(
    ("device", "wanted", "expected"),
    [("cuda", None, 4), ("cuda", 3, 3), ("cuda", 4, 4), ("cuda:2", None, 1), ("cuda:2", 1, 1)],
)
def test_there_is_one_rank_for_every_gpu_or_fewer(
    monkeypatch: pytest.MonkeyPatch, device: str, wanted: int | None, expected: int
) -> None:
    with_gpus(monkeypatch, 4)
    assert rank_count(torch.device(device), wanted) == expected


@pytest.mark.parametrize("wanted", [None, 1])
def test_a_stage_is_never_shared_by_nobody(monkeypatch: pytest.MonkeyPatch, wanted: int | None) -> None:
    with_gpus(monkeypatch, 0)
    with pytest.raises(SettingError, match="no GPU is visible"):
        rank_count(torch.device("cuda"), wanted)


@pytest.mark.parametrize(("device", "wanted", "most"), [("cuda", 5, 4), ("cuda:2", 2, 1)])
def test_more_ranks_than_gpus_are_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, wanted: int, most: int
) -> None:
    with_gpus(monkeypatch, 4)
    told = f"ranks is {wanted}; allowed: at most {most}, one for every GPU of device={device}"
    with pytest.raises(SettingError, match=told):
        rank_count(torch.device(device), wanted)


def test_every_rank_has_a_gpu_of_its_own_unless_one_was_named() -> None:
    assert [rank_device(torch.device("cuda"), number) for number in range(3)] == [
        torch.device("cuda", number) for number in range(3)
    ]
    assert rank_device(torch.device("cuda:2"), 1) == torch.device("cuda:2")
    assert rank_device(CPU, 3) == CPU


# Claims


@pytest.fixture
def unclaimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has claimed nothing, and will have claimed nothing afterwards."""
    monkeypatch.setattr(devices, "_claimed", {})


def begin_claiming(folder: Path) -> subprocess.Popen[str]:
    """A process that claims one of two devices, says which, and lives until its input ends."""
    code = (
        "import sys; from pathlib import Path; from lgm_core.foundation.devices import claim\n"
        "print(claim(['cuda:0', 'cuda:1'], Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
    )


@pytest.mark.slow
def test_of_three_claimants_of_two_devices_the_third_waits_for_one_to_end(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(begin_claiming(tmp_path)) for _ in range(2))
        for process in (first, second):
            stack.callback(process.kill)
        assert first.stdout and second.stdout
        found = {first.stdout.readline().strip(), second.stdout.readline().strip()}
        assert found == {"cuda:0", "cuda:1"}
        third = stack.enter_context(begin_claiming(tmp_path))
        stack.callback(third.kill)
        assert third.stdout
        assert not select.select([third.stdout], [], [], 4.0)[0]
        first.kill()  # as hard as can be: a claim needs no clearing up
        assert third.stdout.readline().strip() in found


def test_a_process_keeps_what_it_has_claimed(unclaimed: None, tmp_path: Path) -> None:
    assert claim(["cuda:0", "cuda:1"], tmp_path) == "cuda:0"
    assert claim(["cuda:0", "cuda:1"], tmp_path) == "cuda:0"
    assert not (tmp_path / "cuda:1.lock").exists()


def test_a_claimed_device_is_the_one_to_compute_on(
    unclaimed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with_gpus(monkeypatch, 2)
    cards = [SimpleNamespace(uuid="b"), SimpleNamespace(uuid="a")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: cards[number])
    (tmp_path / f"lgm-gpus-{os.getuid()}").mkdir()
    with FileLock(tmp_path / f"lgm-gpus-{os.getuid()}" / "b.lock"):
        assert choose_device("claim") == torch.device("cuda:1")
    assert rank_count(choose_device("claim")) == 1


def test_without_a_gpu_there_is_none_to_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 0)
    with pytest.raises(SettingError, match="device is 'claim'; allowed: cpu"):
        choose_device("claim")


def test_a_folder_that_cannot_be_made_is_named(unclaimed: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Cannot claim a device in .*file/below"):
        claim(["cuda:0"], tmp_path / "file/below")
