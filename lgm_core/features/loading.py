"""Blocks of decoded images, made by this process alone or by others that it forks.

Those write pixels into memory that all share and send no more than a word for every piece, so that what is
under way is bounded in bytes. There is no file of shared memory, no semaphore and no thread: neither the size
of /dev/shm nor the number of open files matters.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch
from jaxtyping import UInt8
from torch import Tensor

from lgm_core.foundation.errors import InputError, WorkersError
from lgm_core.foundation.seeds import named_generator
from lgm_core.foundation.shared import shared_zeros
from lgm_core.images import ImageSet, shrink, square

_BYTES_UNDER_WAY = 256 * 2**20
"""Of pixels that are decoded ahead: a block and a half of 100 images in 9 squares of 256 pixels."""
_PIECES_AHEAD = 2
"""For every process, so that none waits for the next."""
_SECONDS_TO_END = 5


@dataclass(frozen=True)
class Squares:
    """Images as the squares that views are cut from.

    Squares are named by round and image, so that another round shifts none of them.

    Attributes:
        images: what to decode.
        side: of the squares, in pixels.
        rounds: names of the rounds with a random square each.
        seed: root of the draws.
    """

    images: ImageSet
    side: int
    rounds: list[str]
    seed: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of one image's squares: [1 + rounds, 3, side, side]."""
        return 1 + len(self.rounds), 3, self.side, self.side

    def write(self, index: int, place: UInt8[Tensor, "v 3 r r"]) -> None:
        """Decode image number `index`: its centre square, then a random one per round."""
        picture = shrink(self.images.decode(index), self.side)
        place[0] = square(picture, self.side)
        for number, name in enumerate(self.rounds, 1):
            generator = named_generator(self.seed, "square", name, index)
            place[number] = square(picture, self.side, generator)


def decoded_blocks(
    squares: Squares, blocks: dict[int, range], workers: int, *, pinned: bool
) -> Iterator[tuple[int, UInt8[Tensor, "b v 3 r r"]]]:
    """The decoded images of every block, with its number.

    Args:
        squares: what to decode.
        blocks: number of a block → its images.
        workers: processes that decode; 0 for this one alone.
        pinned: in memory that is fast to copy to a GPU.

    Raises:
        InputError: if an image cannot be decoded.
        WorkersError: if the processes cannot be started, or one of them ends before its time.
    """
    # Forked workers take what decodes with them, whatever it is, and share memory without a file.
    forks = workers > 0 and bool(blocks) and "fork" in multiprocessing.get_all_start_methods()
    pieces = _by_processes(squares, blocks, workers) if forks else _alone(squares, blocks)
    for number, images in blocks.items():
        block = torch.empty(len(images), *squares.shape, dtype=torch.uint8, pin_memory=pinned)
        filled = 0
        while filled < len(block):
            pixels = next(pieces)
            block[filled : filled + len(pixels)] = pixels
            filled += len(pixels)
        yield number, block
    for _ in pieces:  # there is none left; the processes end
        raise AssertionError


def _alone(squares: Squares, blocks: dict[int, range]) -> Iterator[UInt8[Tensor, "1 v 3 r r"]]:
    """Image after image, each valid until the next."""
    place = torch.empty(1, *squares.shape, dtype=torch.uint8)
    for images in blocks.values():
        for index in images:
            squares.write(index, place[0])
            yield place


def _by_processes(
    squares: Squares, blocks: dict[int, range], workers: int
) -> Iterator[UInt8[Tensor, "p v 3 r r"]]:
    """Piece after piece, each valid until the next; none is of two blocks."""
    ahead = workers * _PIECES_AHEAD
    slots = ahead + 1
    room = _BYTES_UNDER_WAY // (slots * torch.Size(squares.shape).numel())
    size = min(max(1, room), -(-max(map(len, blocks.values())) // workers))  # all are at work on one block
    pieces = [images[at : at + size] for images in blocks.values() for at in range(0, len(images), size)]
    shared = shared_zeros((slots, size, *squares.shape), torch.uint8)
    with _helpers(squares, shared, workers) as helpers:

        def ask(number: int) -> None:
            """Piece number `number` goes to the next in turn, so that answers come in turn as well."""
            if number < len(pieces):
                helpers[number % workers].ask((number % slots, pieces[number]))

        for number in range(ahead):
            ask(number)
        for number, images in enumerate(pieces):
            helpers[number % workers].answer()
            ask(number + ahead)
            yield shared[number % slots, : len(images)]


_Errand = tuple[int, range]
"""Slot of the shared memory, and numbers of the images that are decoded into it."""


@dataclass(frozen=True)
class _Helper:
    """A process that decodes, and the pipe to it."""

    process: BaseProcess
    pipe: Connection

    def ask(self, errand: _Errand) -> None:
        """Have it decode."""
        try:
            self.pipe.send(errand)
        except OSError as error:
            raise self._ended() from error

    def answer(self) -> None:
        """Wait until the oldest errand is done; what is wrong with an image is raised here."""
        try:
            error = self.pipe.recv()
        except (EOFError, OSError) as broken:
            raise self._ended() from broken
        if error is not None:
            raise error

    def _ended(self) -> WorkersError:
        self.process.join(_SECONDS_TO_END)
        status = self.process.exitcode
        if status is not None and status > 0:
            how = f"with exit status {status}, as it said above"
        else:
            how = f"by {signal.Signals(-status).name}" if status else "silently"
            how += " (memory running out is a common cause)"
        return WorkersError(f"A process that decodes images has ended {how}.")


@contextmanager
def _helpers(squares: Squares, slots: Tensor, count: int) -> Iterator[list[_Helper]]:
    """Processes that decode into the slots of shared memory, for the length of the block.

    Raises:
        WorkersError: if they cannot be started.
    """
    context = multiprocessing.get_context("fork")
    helpers: list[_Helper] = []
    try:
        for _ in range(count):
            try:
                here, there = context.Pipe()
                # A copy of another's end would keep that one waiting when this process is killed.
                ours = [here, *(helper.pipe for helper in helpers)]
                process = context.Process(target=_help, args=(there, ours, squares, slots), daemon=True)
                process.start()
            except OSError as error:
                raise WorkersError(
                    f"Processes that decode images cannot be started: {error.strerror or error}."
                ) from error
            there.close()
            helpers.append(_Helper(process, here))
        yield helpers
    finally:
        for helper in helpers:
            helper.pipe.close()
            helper.process.kill()
        for helper in helpers:
            helper.process.join(_SECONDS_TO_END)


def _help(pipe: Connection, theirs: list[Connection], squares: Squares, slots: Tensor) -> None:
    """A process that decodes what it is asked for, until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    for other in theirs:
        other.close()
    while True:
        try:
            slot, images = pipe.recv()
            pipe.send(_trouble(squares, images, slots[slot]))
        except (EOFError, ConnectionError):
            return


def _trouble(squares: Squares, images: range, slot: UInt8[Tensor, "p v 3 r r"]) -> Exception | None:
    """Decode images; what is wrong with one of them, or None."""
    try:
        for place, index in enumerate(images):
            squares.write(index, slot[place])
    except (InputError, MemoryError) as error:
        return error
    return None
