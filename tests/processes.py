"""Stages in processes of their own, quick to start and there to be killed.

A server imports what is slow once and forks for every stage; the child is a real process that runs
`python -m stages.<verb>` in a project's folder, with its own signals, lock and exit status.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 240.0
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["torch", "timm", "sklearn.datasets", "PIL.Image", "safetensors.torch"])


_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def _changed_path(event: str, arguments: tuple[Any, ...]) -> str:
    """Which file an audit event is about to change; empty for events that change none."""
    path = arguments[0] if arguments else None
    writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
    if not (writing or event in _CHANGES) or not isinstance(path, str | bytes | os.PathLike):
        return ""
    name, base = os.fsdecode(path), Path.cwd()
    if event in {"os.remove", "os.rmdir"} and arguments[1] >= 0:
        base = Path(f"/proc/self/fd/{arguments[1]}").readlink()  # the name is one in that open folder
    return os.path.normpath(base / name)


def _watch(folder: str, then: Callable[[], None]) -> None:
    """Call `then` just before every change of a file below `folder`, in this process, for good."""
    below = str(Path(folder).resolve())

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if _changed_path(event, arguments).startswith(below):
            then()

    sys.addaudithook(watch)


@dataclass(frozen=True)
class CountChanges:
    """Let the process write a byte to `report` before every change of a file below `folder`."""

    folder: str
    report: str

    def __call__(self) -> None:
        """Install it in this process, for good."""
        report = os.open(self.report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        _watch(self.folder, lambda: os.write(report, b"x") and None)


@dataclass(frozen=True)
class ReportCode:
    """Let the process write to `report`, at its end, which files of the code it loaded or opened."""

    report: str

    def __call__(self) -> None:
        """Install it in this process, for good."""
        tops = tuple(f"{ROOT / name}{os.sep}" for name in ("lgm_core", "stages"))
        opened: set[str] = set()

        def listen(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and isinstance(arguments[0], str | os.PathLike):
                opened.add(os.path.abspath(arguments[0]))  # noqa: PTH100, Path.absolute keeps dots

        def tell() -> None:
            loaded = {str(getattr(module, "__file__", "")) for module in list(sys.modules.values())}
            data = {path for path in opened if not path.endswith((".py", ".pyc"))}
            own = sorted(path for path in loaded | data if path.startswith(tops))
            Path(self.report).write_text("\n".join(own), encoding="utf-8")

        sys.addaudithook(listen)
        multiprocessing.util.Finalize(None, tell, exitpriority=0)


@dataclass(frozen=True)
class DieAt:
    """Let the process kill itself just before its change number `number` of files below `folder`."""

    number: int
    folder: str

    def __call__(self) -> None:
        """Install it in this process, for good."""
        left = self.number

        def die() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        _watch(self.folder, die)


@dataclass(frozen=True)
class DieHalfway:
    """Let the process kill itself when half of text, tensor or picture file number `number` is written."""

    number: int

    def __call__(self) -> None:
        """Install it in this process, for good."""
        import PIL.Image
        import safetensors.torch

        left = self.number

        def halving(write: Callable[..., Any], place: int) -> Callable[..., Any]:
            def written(*arguments: Any, **settings: Any) -> Any:
                nonlocal left
                done = write(*arguments, **settings)
                left -= 1
                if left == 0:
                    path = Path(arguments[place])
                    os.truncate(path, path.stat().st_size // 2)
                    os.kill(os.getpid(), signal.SIGKILL)
                return done

            return written

        Path.write_text = halving(Path.write_text, 0)  # type: ignore[method-assign]
        safetensors.torch.save_file = halving(safetensors.torch.save_file, 1)
        PIL.Image.Image.save = halving(PIL.Image.Image.save, 1)  # type: ignore[method-assign]


@dataclass(frozen=True)
class FewViews:
    """Let memory run out, as the allocator says it, where a backbone sees more views than these."""

    views: int

    def __call__(self) -> None:
        """Install it in this process, for good."""
        from lgm_core.models.frozen import FrozenBackbone

        forward, most = FrozenBackbone.forward, self.views

        def limited(backbone: FrozenBackbone, images: Any, **options: Any) -> Any:
            if len(images) > most:
                raise RuntimeError(
                    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
                )
            return forward(backbone, images, **options)

        FrozenBackbone.forward = limited  # type: ignore[method-assign]


def _become(
    folder: str,
    log: str,
    call: tuple[str, ...],
    environment: dict[str, str],
    fault: Callable[[], None] | None,
) -> None:
    """In the child: run a stage as its command line would."""
    verb, *arguments = call
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    sys.path.insert(0, str(ROOT))
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.argv = [verb, *arguments]
    import torch

    torch.set_num_threads(1)
    if fault is not None:
        fault()
    runpy.run_module(f"stages.{verb}", run_name="__main__", alter_sys=True)


class StageProcess:
    """A stage at work.

    Args:
        folder: the project.
        call: the stage and its arguments.
        fault: called in the process before the stage, to let something go wrong.
        environment: variables to set for it.
    """

    def __init__(
        self, folder: Path, *call: str, fault: Callable[[], None] | None = None, **environment: str
    ) -> None:
        self.log = folder / f".{call[0]}-{time.monotonic_ns()}.log"
        settings = {
            "LGM_DATA": str(folder / "data"), "LGM_WORKERS": "0", "LGM_DEVICE": "cpu", **environment,
        }  # fmt: skip
        self._process = _SERVER.Process(
            target=_become, args=(str(folder), str(self.log), call, settings, fault)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr so far."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        self._process.join(PATIENCE_SECONDS)
        assert self._process.exitcode is not None, f"the stage hangs:\n{self.output}"
        return self._process.exitcode

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition while the stage runs; whether it came true before the stage ended."""
        while self._process.is_alive():
            if condition():
                return True
            time.sleep(0.001)
        return condition()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL to the stage and its children; the exit status."""
        os.killpg(self.pid, signal.SIGKILL)
        return self.wait()


def run_to_end(folder: Path, *call: str, **environment: str) -> str:
    """Run a stage that must succeed; its output."""
    stage = StageProcess(folder, *call, **environment)
    status = stage.wait()
    assert status == 0, f"exit status {status}:\n{stage.output}"
    return stage.output
