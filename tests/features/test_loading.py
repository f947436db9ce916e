"""Decoded blocks are the same whoever decodes; what is under way is bounded; a process that ends is told."""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from features.test_extraction import _image_set
from PIL import Image
from torch import Tensor

from lgm_core.features import loading
from lgm_core.features.loading import Squares, decoded_blocks
from lgm_core.foundation.errors import StaleFileError, WorkersError
from lgm_core.images import ImageSet

HERE = os.getpid()
SIDE, ROUNDS = 16, ["one", "two"]
IMAGE_BYTES = 3 * 3 * SIDE * SIDE
BLOCKS = {3: range(0, 10), 4: range(10, 20), 7: range(20, 20), 9: range(20, 23)}


def _blocks(decode: Callable[[int], Image.Image] | None = None, workers: int = 0) -> list[tuple[int, Tensor]]:
    images: ImageSet = _image_set(23)
    images = replace(images, decode=decode) if decode else images
    return list(decoded_blocks(Squares(images, SIDE, ROUNDS, 5), BLOCKS, workers, pinned=False))


def _in_worker(act: Callable[[int], object]) -> Callable[[int], Image.Image]:
    """A decoder that does something before, where another process decodes."""
    images = _image_set(23)

    def decode(index: int) -> Image.Image:
        if os.getpid() != HERE:
            act(index)
        return images.decode(index)

    return decode


@pytest.mark.parametrize("images_under_way", [1, 14, 40, 10**6])
@pytest.mark.parametrize("workers", [1, 2])
def test_blocks_are_the_same_whoever_decodes_and_in_pieces_of_any_size(
    monkeypatch: pytest.MonkeyPatch, workers: int, images_under_way: int
) -> None:
    monkeypatch.setattr(loading, "_BYTES_UNDER_WAY", images_under_way * IMAGE_BYTES)
    late = random.Random(0)
    helped = _blocks(_in_worker(lambda index: time.sleep(late.random() / 100)), workers)
    alone = _blocks()
    assert [number for number, _ in helped] == list(BLOCKS)
    for (_, one), (_, other) in zip(alone, helped, strict=True):
        assert torch.equal(one, other)


def test_what_is_under_way_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def noted(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        taken.append(torch.Size(shape).numel())
        return torch.zeros(shape, dtype=dtype).share_memory_()

    monkeypatch.setattr(loading, "shared_zeros", noted)
    monkeypatch.setattr(loading, "_BYTES_UNDER_WAY", 20 * IMAGE_BYTES)
    _blocks(workers=2)
    assert taken == [20 * IMAGE_BYTES]


def test_images_of_any_size_go_through_without_a_file_of_shared_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: object) -> object:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1>: No space left on device"
        )

    monkeypatch.setattr("_multiprocessing.SemLock", full)
    monkeypatch.setattr(torch.UntypedStorage, "_new_using_fd_cpu", full)
    monkeypatch.setattr(torch.UntypedStorage, "_new_using_filename_cpu", full)
    assert [len(pixels) for _, pixels in _blocks(workers=2)] == [10, 10, 0, 3]


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGBUS, signal.SIGSEGV], ids=lambda number: number.name
)
def test_a_process_that_is_killed_is_one_message(number: signal.Signals) -> None:
    killing = _in_worker(lambda index: index == 12 and os.kill(os.getpid(), number))
    told = rf"A process that decodes images has ended by {number.name} \(memory running out is a common cause"
    with pytest.raises(WorkersError, match=told):
        _blocks(killing, workers=2)


def test_a_process_that_ends_by_itself_is_one_message() -> None:
    for status, told in ((3, "with exit status 3, as it said above"), (0, "silently")):
        leaving = _in_worker(lambda index, status=status: index == 12 and os._exit(status))
        with pytest.raises(WorkersError, match=f"A process that decodes images has ended {told}"):
            _blocks(leaving, workers=2)


def test_what_a_process_says_of_an_image_is_said_as_it_is() -> None:
    def refuse(index: int) -> None:
        if index == 12:
            raise StaleFileError(Path("a/b"), "is of other images")

    with pytest.raises(StaleFileError) as caught:
        _blocks(_in_worker(refuse), workers=2)
    assert str(caught.value) == "a/b is of other images."
    assert caught.value.path == Path("a/b")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
@pytest.mark.parametrize("call", ["os.fork", "socket.socketpair"])
def test_processes_that_cannot_be_started_are_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str, number: int
) -> None:
    def refused(*arguments: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(call, refused)
    with pytest.raises(WorkersError, match=f"cannot be started: {os.strerror(number)}"):
        _blocks(workers=2)
    assert capsys.readouterr() == ("", "")
    assert multiprocessing.active_children() == []


def test_a_second_process_that_cannot_be_started_ends_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, forked = os.fork, []

    def once() -> int:
        if forked:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        forked.append(fork())
        return forked[0]

    monkeypatch.setattr(os, "fork", once)
    with pytest.raises(WorkersError, match="cannot be started: Resource temporarily unavailable"):
        _blocks(workers=2)
    assert multiprocessing.active_children() == []


def test_whoever_stops_early_leaves_no_process_behind() -> None:
    squares = Squares(_image_set(23), SIDE, ROUNDS, 5)
    blocks = decoded_blocks(squares, BLOCKS, 2, pinned=False)
    next(blocks)
    assert len(multiprocessing.active_children()) == 2
    del blocks
    assert multiprocessing.active_children() == []
