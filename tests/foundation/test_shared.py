"""Memory that forked processes share is theirs together, and needs no file."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.shared import shared_zeros


@pytest.mark.parametrize("shape", [(3, 4), (5,), (0, 7), (0,)])
def test_it_is_zeros_of_a_shape(shape: tuple[int, ...]) -> None:
    found = shared_zeros(shape, torch.int16)
    assert torch.equal(found, torch.zeros(shape, dtype=torch.int16))


def test_what_a_forked_process_writes_is_there() -> None:
    shared = shared_zeros((2, 3), torch.int64)
    process = multiprocessing.get_context("fork").Process(target=lambda: shared[1].fill_(7))
    process.start()
    process.join()
    assert shared.tolist() == [[0, 0, 0], [7, 7, 7]]


def test_it_is_no_open_file() -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("this system does not list a process's open files")
    before = len(list(folder.iterdir()))
    kept = [shared_zeros((100,), torch.uint8) for _ in range(50)]
    assert len(kept) == 50
    assert len(list(folder.iterdir())) == before


def test_more_than_there_is_is_refused_by_its_size() -> None:
    with pytest.raises(InputError, match=r"Memory ran out: 144115188076 MB to share between processes"):
        shared_zeros((2**57,), torch.uint8)
