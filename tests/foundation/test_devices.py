"""The device that was asked for is used, or refused with what this machine offers."""

from __future__ import annotations

import pytest
import torch

from lgm_core.foundation.devices import choose_device, rank_count, rank_device
from lgm_core.foundation.errors import SettingError

CPU = torch.device("cpu")


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let torch believe in some GPUs, which take tensors of no size."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
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


def test_an_error_without_a_text_is_named_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int, device: str) -> None:
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
