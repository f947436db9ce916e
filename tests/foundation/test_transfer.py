"""Tensors move between host, device and disk without a change, and a full disk is explained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lgm_core.foundation.transfer import download, upload

CPU = torch.device("cpu")


def test_on_one_device_nothing_is_copied(generator: torch.Generator) -> None:
    tensor = torch.randn(3, 2, generator=generator)
    assert upload(tensor, CPU) is tensor
    assert download(tensor)() is tensor


class _Far(Tensor):
    """A tensor that says it lies on a GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda:1")


def test_a_download_waits_for_its_own_copy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Event:
        def record(self, stream: str) -> None:
            events.append(f"recorded on {stream}")

        def synchronize(self) -> None:
            events.append("waited for")

    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, dtype, pin_memory: empty(*shape, dtype=dtype))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    tensor = torch.arange(6.0).reshape(2, 3)
    arrived = download(tensor.as_subclass(_Far))
    assert events == ["recorded on the stream of cuda:1"]
    assert torch.equal(arrived(), tensor)
    assert events[1:] == ["waited for"]


def test_an_upload_is_pinned_so_that_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self + 1)
    monkeypatch.setattr(Tensor, "to", lambda self, device, **how: asked.append((device, how)) or self)
    cuda = torch.device("cuda")
    assert torch.equal(upload(torch.zeros(2), cuda), torch.ones(2))
    assert asked == [(cuda, {"non_blocking": True})]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_tensor_returns_from_a_gpu_as_it_went(generator: torch.Generator) -> None:
    tensor = torch.randn(300, 200, generator=generator)
    there = upload(tensor, torch.device("cuda"))
    assert there.device.type == "cuda"
    assert torch.equal(download(there)(), tensor)
