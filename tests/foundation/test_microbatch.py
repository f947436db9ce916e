"""Micro-batches are as large as memory allows, and halve when it turns out that it does not."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lgm_core.foundation import microbatch
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.microbatch import Backoff, fitting_views, free_bytes, is_out_of_memory, peak_bytes

CPU = torch.device("cpu")


# How much is free


def test_free_memory_is_a_plausible_number() -> None:
    assert 2**20 < free_bytes(CPU) < 2**50


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`machine(free=8, limit=5, used=1)`: a machine and a container of so many KiB; None: it does not say."""

    def build(free: int | None, limit: int | str | None = None, used: int | None = None) -> None:
        monkeypatch.setattr(microbatch, "_MEMINFO", tmp_path / "meminfo")
        monkeypatch.setattr(microbatch, "_CGROUP", tmp_path)
        if free is not None:
            lines = f"MemTotal:   999 kB\nMemAvailable:   {free} kB\n"
            (tmp_path / "meminfo").write_text(lines)
        if limit is not None:
            (tmp_path / "memory.max").write_text(f"{limit * 1024 if isinstance(limit, int) else limit}\n")
        if used is not None:
            (tmp_path / "memory.current").write_text(f"{used * 1024}\n")

    return build


@pytest.mark.parametrize(
    ("free", "limit", "used", "expected"),
    [(8, None, None, 8), (8, 5, 1, 4), (8, 50, 1, 8), (8, "max", 1, 8), (8, 5, 6, 0), (8, 5, None, 8)],
    ids=["no container", "tight", "wide", "without a limit", "beyond its limit", "unreadable"],
)
def test_the_tighter_of_machine_and_container_counts(
    machine: Callable[..., None], free: int, limit: int | str | None, used: int | None, expected: int
) -> None:
    machine(free, limit, used)
    assert free_bytes(CPU) == expected * 1024


def test_a_machine_that_does_not_say_is_half_free(machine: Callable[..., None]) -> None:
    machine(None)
    assert free_bytes(CPU) == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def test_memory_that_a_gpu_keeps_in_reserve_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 300)
    assert free_bytes(torch.device("cuda")) == 1400


# How much is needed


def test_the_peak_counts_what_lives_at_once_and_no_weights() -> None:
    weight = torch.nn.Parameter(torch.ones(8, 8), requires_grad=False)
    inputs = torch.ones(4, 8, requires_grad=True)
    size = 4 * 8 * 4

    def product() -> None:
        (inputs @ weight).tanh()

    def one_after_the_other() -> None:
        for _ in range(5):
            inputs.detach() + 1

    def views() -> None:
        inputs.detach()[:2].reshape(-1)

    assert peak_bytes(product, CPU) == 2 * size
    assert peak_bytes(one_after_the_other, CPU) == size
    assert peak_bytes(views, CPU) == 0


def test_the_peak_is_that_of_the_backward_pass_too() -> None:
    inputs = torch.ones(4, 8, requires_grad=True)

    def there_and_back() -> None:
        torch.autograd.grad(inputs.exp().sum(), inputs)

    # exp's result is kept; the sum's gradient is a view of one number; the gradient itself is as large.
    assert 2 * 4 * 8 * 4 <= peak_bytes(there_and_back, CPU) <= 2 * 4 * 8 * 4 + 3 * 4


def there_and_back(views: int) -> None:
    """800 bytes for each view at the peak: what exp keeps, and the gradient."""
    inputs = torch.ones(views, 100, requires_grad=True)
    torch.autograd.grad(inputs.exp(), inputs, inputs.detach())


def test_the_micro_batch_fills_half_of_the_free_memory_in_equal_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    each = peak_bytes(lambda: there_and_back(2), CPU) - peak_bytes(lambda: there_and_back(1), CPU)
    monkeypatch.setattr(microbatch, "free_bytes", lambda device: each * 2 * 8)  # half of it holds 8
    assert fitting_views(there_and_back, 6, CPU) == 6
    assert fitting_views(there_and_back, 10, CPU) == 5
    assert fitting_views(there_and_back, 17, CPU) == 6
    assert fitting_views(there_and_back, 1, CPU) == 1
    assert fitting_views(there_and_back, 10, CPU, processes=8) == 1
    monkeypatch.setattr(microbatch, "free_bytes", lambda device: 0)
    assert fitting_views(there_and_back, 10, CPU) == 1


def test_what_every_trial_needs_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 views and 10 views' worth beside them fit where 20 views would."""
    each = peak_bytes(lambda: there_and_back(2), CPU) - peak_bytes(lambda: there_and_back(1), CPU)
    kept: list[Tensor] = []

    def trial(views: int) -> None:
        kept[:] = [torch.empty(10 * each, dtype=torch.uint8)]
        there_and_back(views)
        kept.clear()

    monkeypatch.setattr(microbatch, "free_bytes", lambda device: 2 * each * 20)
    assert fitting_views(trial, 10, CPU) == 10
    assert fitting_views(trial, 11, CPU) == 6


# When it is not enough


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("cudaErrorMemoryAllocation: out of memory"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_a_lack_of_memory_is_known_by_its_signs(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("can't allocate memory"))
    with pytest.raises(RuntimeError, match="shapes"):
        Backoff(8).run(lambda views: (_ for _ in ()).throw(RuntimeError("shapes cannot be multiplied")))


def _fits(most: int, asked: list[int], error: Exception | None = None) -> Callable[[int], int]:
    def work(views: int) -> int:
        asked.append(views)
        if views > most:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.\nmore")
        return views * 10

    return work


def test_the_micro_batch_halves_until_it_fits_and_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []
    backoff = Backoff(13)
    with caplog.at_level(logging.WARNING):
        assert backoff.run(_fits(3, asked)) == 20
    assert asked == [13, 7, 4, 2]
    assert "out of memory (CUDA out of memory. Tried to allocate 1 GiB.)" in caplog.text
    assert "micro-batch of 2 views" in caplog.text
    assert backoff.run(_fits(99, asked)) == 20
    assert backoff.views == 2


@pytest.mark.parametrize(
    ("error", "reason"), [(MemoryError(), "MemoryError"), (RuntimeError("bad_alloc\nat"), "bad_alloc")]
)
def test_one_view_that_does_not_fit_is_an_error_that_repairs(error: Exception, reason: str) -> None:
    with pytest.raises(InputError, match=rf"single view in the backbone \({reason}\)\. Lower input_size"):
        Backoff(2).run(_fits(0, [], error))


def test_what_a_failed_attempt_held_is_freed_before_the_next() -> None:
    held: list[weakref.ref[Tensor]] = []

    def work(views: int) -> int:
        assert all(reference() is None for reference in held)
        large = torch.zeros(views)
        held.append(weakref.ref(large))
        if views > 1:
            raise MemoryError
        return views

    assert Backoff(4).run(work) == 1
    assert len(held) == 3


def test_a_gpus_reserve_is_given_back_before_the_next_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    Backoff(4).run(_fits(1, []))
    assert emptied == [True, True]
