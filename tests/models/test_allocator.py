"""A process that keeps the memory it frees waits for no new pages, where its C library can be told so."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from lgm_core.models.cpu.allocator import keep_freed_memory

_PAGES = """
import resource, sys, torch
from lgm_core.models.cpu.allocator import keep_freed_memory
torch.set_num_threads(1)
kept = sys.argv[1] == "keep" and keep_freed_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(12):
    before = faults()
    for size in (10, 30, 20):
        torch.ones(size, 2**20)
print(int(kept), faults() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another one")
def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    """The last of many equal rounds still waits for new pages, unless the process keeps what it frees."""

    def last_round(way: str) -> tuple[int, int]:
        command = [sys.executable, "-c", _PAGES, way]
        kept, faults = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return int(kept), int(faults)

    pages = (10 + 30 + 20) * 2**22 // os.sysconf("SC_PAGE_SIZE")
    assert last_round("give back")[1] > pages / 1000
    assert last_round("keep") == (1, 0)


class _Library:
    """A C library that notes what it is told."""

    def __init__(self, answer: int) -> None:
        self.told: list[tuple[int, int]] = []
        self.mallopt = lambda option, value: self.told.append((option, value)) or answer


@pytest.mark.parametrize(("answer", "kept"), [(1, True), (0, False)])
def test_the_c_library_says_whether_it_was_told(
    answer: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _Library(answer)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert keep_freed_memory() is kept
    assert library.told[0] == (-4, 0)


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
