"""Checkpoints of a run: all it takes to go on after it was killed, and nothing of any other run.

<cell>/<fingerprint>/facts.json                what the run is: settings, seed, data, backbone, code, versions
                     step-000000120.safetensors state after 120 steps; the newest two are kept
<cell>/<fingerprint>.lock                      held by the process at work

The fingerprint is a hash of the facts, so a run finds its own checkpoints and never another's. They hold
tensors and plain values only, and a checksum over both: a damaged one is named and the one before it is used.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lgm_core.distilled import versions
from lgm_core.errors import InputError
from lgm_core.locks import alone
from lgm_core.specs import CheckpointSpec
from lgm_core.store import (
    DamagedFileError,
    checksum,
    fingerprint,
    open_tensors,
    read_json,
    write_json,
    write_tensors,
)

if TYPE_CHECKING:
    from lgm_core.distill import Distiller

logger = logging.getLogger(__name__)

_FORMAT = 1
_KEPT = 2
_SHOWN_DIFFERENCES = 6
_FACTS = "facts.json"

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


def code_checksum() -> str:
    """SHA-256 of the sources of this library's modules that are loaded: other code, another run."""
    digest = hashlib.sha256()
    for name in sorted(sys.modules):
        source = getattr(sys.modules[name], "__file__", None)
        if name.startswith("lgm_core.") and source:
            digest.update(f"{name}\n".encode() + Path(source).read_bytes())
    return digest.hexdigest()[:16]


def run_facts(distiller: Distiller, **source: Any) -> dict[str, Any]:
    """What determines the result of a distillation: two runs with equal facts make equal images.

    Args:
        distiller: before its first step.
        source: JSON-like values that say in words what the checksums below stand for.
    """
    bank = {"views": distiller.bank.views, "labels": distiller.bank.labels}
    return {
        **source,
        "seed": distiller.seed,
        "method": asdict(distiller.method),
        "features": checksum(bank, {"classes": str(distiller.bank.classes)}),
        "weights": checksum(distiller.backbone.state_dict(), {}),
        "code": code_checksum(),
        "versions": versions(),
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts by dotted name."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two runs, as `key: value there, value here`."""
    old, new = _flat(there), _flat(here)
    keys = [key for key in {**old, **new} if old.get(key, "absent") != new.get(key, "absent")]
    return [f"{key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} here" for key in keys]


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
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def save(self, step: int, state: State) -> None:
        """Write the state after `step` steps; the one before it is kept, older ones are removed.

        Raises:
            InputError: if the state is not finite, which nothing could go on from, or cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        packed = pack(state, tensors)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise InputError(
                f"The images or the optimiser are not finite after step {step}. Lower learning_rate in "
                f"params.yaml. The last good checkpoint is kept in {self.folder}."
            )
        write_json(self.folder / _FACTS, self.facts)
        metadata = {"run": self.folder.name, "step": step, "state": packed}
        write_tensors(self.folder / f"step-{step:09d}.safetensors", tensors, metadata)
        for path in self._files()[_KEPT:]:
            path.unlink(missing_ok=True)

    def load(self) -> State | None:
        """The newest state that is intact; None if there is none. Says what is used, and what is not."""
        for path in self._files():
            try:
                tensors, metadata = open_tensors(path)
            except DamagedFileError as error:
                logger.warning("checkpoint not used: %s", error)
                continue
            if metadata.get("run") != self.folder.name:
                logger.warning("checkpoint not used: %s belongs to the run %s", path, metadata.get("run"))
                continue
            logger.warning("going on after step %d, from %s", metadata["step"], path)
            return unpack(metadata["state"], tensors)
        if self.folder.exists():
            logger.warning("no checkpoint in %s can be used; starting from the first step", self.folder)
        self._tell_of_others()
        return None

    def restore(self, distiller: Distiller) -> None:
        """Let a fresh distiller go on from the newest intact state, where there is one."""
        saved = self.load()
        if saved is not None:
            distiller.load_state(saved)

    def _tell_of_others(self) -> None:
        for path in sorted(self.cell.glob(f"*/{_FACTS}")):
            if path.parent == self.folder:
                continue
            try:
                unlike = differences(read_json(path, made_by=""), self.facts)
            except InputError:
                unlike = ["its facts cannot be read"]
            more = len(unlike) - _SHOWN_DIFFERENCES
            shown = "; ".join(unlike[:_SHOWN_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")
            logger.warning("the checkpoint in %s is of another run and not used (%s)", path.parent, shown)

    def clear(self) -> None:
        """Remove this run's checkpoints, once its result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


class Keeper:
    """Saves a run's state when it is due, and when the run is asked to end.

    Args:
        checkpoints: where to.
        spec: how often.
        ending: whether the run was asked to end.
    """

    def __init__(
        self, checkpoints: Checkpoints, spec: CheckpointSpec, ending: Callable[[], bool] = lambda: False
    ) -> None:
        self.checkpoints, self.spec, self.ending = checkpoints, spec, ending
        self.last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be written after `step` steps."""
        return step % self.spec.steps == 0 or time.monotonic() - self.last >= 60 * self.spec.minutes

    def __call__(self, step: int, state: Callable[[], State]) -> None:
        """To be called after every step.

        Args:
            step: number of steps done.
            state: makes the state, when it is needed.

        Raises:
            KeyboardInterrupt: after a last checkpoint, if the run was asked to end.
        """
        ending = self.ending()
        if not ending and not self.due(step):
            return
        self.checkpoints.save(step, state())
        self.last = time.monotonic()
        if ending:
            raise KeyboardInterrupt
