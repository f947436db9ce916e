"""Checkpoints of a run: all it takes to go on after it was killed, and nothing of any other run.

<cell>/<fingerprint>/facts.json                what the run is: settings, seed, data, backbone, code, versions
                     step-000000120.safetensors state after 120 steps; the newest two are kept
                     result.json                 of a run that is over: a checksum of its images
<cell>/<fingerprint>.lock                      held by the process at work

The fingerprint is a hash of the facts, so a run finds its own checkpoints and never another's. They hold
tensors and plain values only, and a checksum over both: a damaged one is named and the one before it is used.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lgm_core.foundation.errors import DamagedFileError, InputError
from lgm_core.foundation.finished import is_over, note_result
from lgm_core.foundation.locks import alone
from lgm_core.foundation.microbatch import Backoff
from lgm_core.foundation.store import (
    fingerprint,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)
from lgm_core.method.identity import differences
from lgm_core.settings.method import CheckpointSettings

if TYPE_CHECKING:
    from lgm_core.method.distiller import Distiller

logger = logging.getLogger(__name__)

_FORMAT = 2
_KEPT = 2
_SHOWN_DIFFERENCES = 6
_FACTS = "facts.json"
_PREFIX = "step-"
_IMAGE_DIMENSIONS = 4
_MINUTE = 60.0

State = dict[str, Any]


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON, with its tensors moved into `tensors` and named in their place.

    Args:
        value: tensors, numbers, texts, None, and dicts, lists and tuples of them.
        tensors: filled.

    Raises:
        TypeError: for anything else, which could not be stored without code.
    """
    if isinstance(value, Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = value.detach()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"mapping": [[pack(key, tensors), pack(value[key], tensors)] for key in value]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [pack(part, tensors) for part in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`pack`."""
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "mapping":
        return {unpack(key, tensors): unpack(part, tensors) for key, part in content}
    parts = [unpack(part, tensors) for part in content]
    return tuple(parts) if kind == "tuple" else parts


class Checkpoints:
    """The checkpoints of one run.

    Args:
        cell: folder of all runs of this cell, whatever their settings.
        facts: JSON-like values that determine the run's result.
    """

    def __init__(self, cell: Path, facts: Mapping[str, Any]) -> None:
        # Through JSON's types, so that the facts compare equal with what a file holds.
        self.facts: dict[str, Any] = {"format": _FORMAT, **_plain(facts)}
        self.cell = cell
        self.folder = cell / fingerprint(self.facts)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only process with this run.

        Raises:
            InputError: naming the process that is at it already.
        """
        with alone(self.folder.with_suffix(".lock"), f"The cell {self.cell.name} with these settings"):
            yield

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob(f"{_PREFIX}*.safetensors"), reverse=True)

    def save(self, step: int, state: State) -> None:
        """Write the state after `step` steps; the one before it is kept, older ones are removed.

        Raises:
            InputError: if the state is not finite, which nothing could go on from, or cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        packed = pack(state, tensors)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise InputError(
                f"The images or the optimiser are not finite after step {step}. Lower learning_rate. The "
                f"last good checkpoint is kept in {self.folder}."
            )
        write_json(self.folder / _FACTS, self.facts)
        metadata = {"run": self.folder.name, "step": step, "state": packed}
        write_tensors(self._path(step), tensors, metadata)
        for path in self._files()[_KEPT:]:
            path.unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"{_PREFIX}{step:09d}.safetensors"

    def read(self, step: int) -> State:
        """The state after `step` steps.

        Raises:
            DamagedFileError: if it is damaged or of another run.
        """
        tensors, metadata = read_tensors(self._path(step))
        if metadata.get("run") != self.folder.name:
            raise DamagedFileError(self._path(step), f"belongs to the run {metadata.get('run')}")
        return unpack(metadata["state"], tensors)

    def load(self) -> State | None:
        """The newest state that is intact; None if there is none. Says what is used, and what is not."""
        for path in self._files():
            try:
                state = self.read(int(path.stem.removeprefix(_PREFIX)))
            except DamagedFileError as error:
                logger.warning("checkpoint not used: %s", error)
                continue
            logger.warning("going on from %s", path)
            return state
        if self.folder.exists():
            logger.warning("no checkpoint in %s can be used; starting from the first step", self.folder)
        self._tell_of_others()
        return None

    def _tell_of_others(self) -> None:
        for path in sorted(self.cell.glob(f"*/{_FACTS}")):
            if path.parent == self.folder or is_over(path.parent):
                continue
            try:
                unlike = differences(read_json(path), self.facts)
            except InputError:
                unlike = ["its facts cannot be read"]
            more = len(unlike) - _SHOWN_DIFFERENCES
            shown = "; ".join(unlike[:_SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
            logger.warning("the checkpoint in %s is of another run and not used (%s)", path.parent, shown)

    def finish(self, images: Tensor) -> None:
        """Keep the last checkpoint alone, until :func:`~lgm_core.foundation.finished.forget` removes it.

        Args:
            images: the result.
        """
        for path in self._files()[1:]:
            path.unlink(missing_ok=True)
        note_result(self.folder, images)

    def clear(self) -> None:
        """Remove this run's checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def map_rows(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A distiller's state with `change` applied to what has one row per image, the [n, 3, s, s] tensors."""
    if isinstance(state, Tensor):
        return change(state) if state.ndim == _IMAGE_DIMENSIONS else state
    if isinstance(state, Mapping):
        return {key: map_rows(state[key], change) for key in state}
    return [map_rows(part, change) for part in state] if isinstance(state, list) else state


class Keeper:
    """Lets a distillation go on from its newest checkpoint, and saves it when that is due or it has to end.

    Checkpoints hold all images, whoever owns them: rank 0 writes, and any number of ranks can go on. As a
    context it is the only process with this run, and saves the state when the block succeeds, so that nothing
    is lost until the result is written.

    Args:
        distiller: before its first step.
        checkpoints: where to.
        spec: how often.
        ending: whether this process was asked to end.
    """

    def __init__(
        self,
        distiller: Distiller,
        checkpoints: Checkpoints,
        spec: CheckpointSettings,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self.distiller = distiller
        self.checkpoints = checkpoints
        self.spec = spec
        self.ending = ending
        self.step = 0
        self.time = time.monotonic()
        self.started = self.time
        self.earlier = 0.0
        self._lock = ExitStack()

    def seconds(self) -> float:
        """How long the run took so far, with what earlier processes did up to their checkpoint."""
        return self.earlier + time.monotonic() - self.started

    def __enter__(self) -> Keeper:
        if self.distiller.ranks.first:
            self._lock.enter_context(self.checkpoints.alone())
        self._restore()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._lock:
            if kind is None and self.step != self.distiller.state.step:
                self.save()

    def _restore(self) -> None:
        """Rank 0 chooses the checkpoint, so that all go on from the same step."""
        distiller = self.distiller
        ranks = distiller.ranks
        own = distiller.ranks.share(distiller.count)
        saved = self.checkpoints.load() if ranks.first else None
        step = ranks.collect(None if saved is None else saved["step"])[0]
        if step is None:
            return
        saved = self.checkpoints.read(step) if saved is None else saved
        distiller.load_state(
            {**map_rows(saved, lambda rows: rows[own.start : own.stop]), "indices": list(own)}
        )
        sizes = saved["micro_batches"]
        if len(sizes) == ranks.world:
            # Parts of other sizes would add up to other last bits.
            pairs = zip(distiller.backoffs, sizes[ranks.rank], strict=True)
            distiller.backoffs = [known or (Backoff(size) if size else None) for known, size in pairs]
        self.step = step
        self.earlier = saved["seconds"]

    def save(self) -> None:
        """Save the state now; all ranks take part."""
        distiller = self.distiller
        ranks = distiller.ranks
        state = map_rows(
            distiller.state.state_dict(), lambda rows: ranks.gather(rows, ranks.counts(distiller.count))
        )
        sizes = ranks.collect([backoff.views if backoff else None for backoff in distiller.backoffs])
        if ranks.first:
            more = {"micro_batches": sizes, "seconds": self.seconds()}
            self.checkpoints.save(distiller.state.step, {**state, **more})
        self.step = distiller.state.step
        self.time = time.monotonic()

    def __call__(self) -> None:
        """To be called between two steps.

        Raises:
            KeyboardInterrupt: after a last checkpoint, if a rank was asked to end.
        """
        late = time.monotonic() - self.time >= _MINUTE * self.spec.minutes
        wishes = self.distiller.ranks.collect((late, self.ending()))
        ending = any(wish[1] for wish in wishes)
        due = self.distiller.state.step - self.step >= self.spec.steps
        if due or ending or any(wish[0] for wish in wishes):
            self.save()
        if ending:
            raise KeyboardInterrupt
