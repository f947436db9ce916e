"""What the library is measured against computes the same thing, and what measures it measures."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import decoding, locks
from benchmarks.cases import ONE_BATCH, Case, params
from benchmarks.measure import flops, interleaved, interleaved_processes, table
from benchmarks.straightforward import MEAN, STD, Straightforward, augmented, probe
from lgm_core.method.gradients import head_gradient, matching_loss
from lgm_core.method.pyramid import SyntheticImages
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import MethodSettings

CPU = torch.device("cpu")


def _model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


@pytest.fixture
def small(method: Callable[..., MethodSettings]) -> MethodSettings:
    """One view of every image, eight pixels wide."""
    return method(resolution=8, input_size=8, aug_rounds=1, pyramid_start=8)


def _straightforward(method: MethodSettings, *, frozen: bool = False) -> Straightforward:
    generator = torch.Generator().manual_seed(0)
    real = torch.rand(6, 3, 8, 8, generator=generator), torch.arange(6) % 3
    return Straightforward(_model(), real, method, frozen=frozen)


def test_the_straightforward_loss_and_its_pixel_gradient_are_the_librarys(small: MethodSettings) -> None:
    slow = _straightforward(small)
    head = nn.Linear(slow.width, 3)
    synthetic = torch.rand(3, 3, 8, 8, requires_grad=True)
    expected = slow.loss(synthetic, slow.images, slow.labels, head)
    (gradient,) = torch.autograd.grad(expected, synthetic)
    backbone = FrozenBackbone(slow.model, MEAN, STD)
    heads = (head.weight.detach()[None], head.bias.detach()[None])
    real = head_gradient(backbone(slow.images), slow.labels, heads, include_bias=True)
    found = matching_loss(real, head_gradient(backbone(synthetic), torch.arange(3), heads, include_bias=True))
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(torch.autograd.grad(found, synthetic)[0], gradient, rtol=1e-3, atol=1e-7)


def test_the_straightforward_images_are_the_librarys(small: MethodSettings) -> None:
    slow, images = _straightforward(small), SyntheticImages([0, 1, 2], small, 0)
    images.levels = slow.levels
    torch.testing.assert_close(slow.render(), images.render(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_straightforward_step_changes_the_images_alone(small: MethodSettings, frozen: bool) -> None:
    slow = _straightforward(small, frozen=frozen)
    weights = [weight.clone() for weight in slow.model.parameters()]
    before = slow.render().detach()
    slow.step()
    assert not torch.equal(slow.render(), before)
    assert all(torch.equal(a, b) for a, b in zip(slow.model.parameters(), weights, strict=True))
    assert all(weight.requires_grad is not frozen for weight in slow.model.parameters())


def test_the_straightforward_probe_learns(params: Callable[..., object]) -> None:
    spec = params(probe={"learning_rate": 1.0}).probe  # type: ignore[attr-defined]
    images = torch.eye(3)[:, :, None, None].expand(-1, -1, 8, 8).contiguous()
    head = probe(_model(), images, torch.arange(3), spec, 8, epochs=30)
    assert head.weight.shape == (3, 16)
    assert augmented(images, spec.augment, 8).shape == images.shape


def test_all_candidates_take_turns() -> None:
    calls: list[str] = []
    found = interleaved(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, device=CPU
    )
    assert calls[:10] == ["a", "b"] * 5
    assert set(found) == {"a", "b"}
    assert all(one.seconds >= 0 for one in found.values())


def _counting(start: int) -> Callable[[], object]:
    calls = [start]

    def call() -> None:
        calls[0] += 1
        time.sleep(0.02 * calls[0])

    return call


@pytest.mark.slow
def test_candidates_in_processes_of_their_own_keep_their_own_state() -> None:
    found = interleaved_processes({"a": partial(_counting, 0), "b": partial(_counting, 10)}, rounds=1)
    assert found["a"].seconds >= 0.02 * 3  # two calls to warm up, and one that counts
    assert found["b"].seconds >= 0.02 * 13


def test_flops_are_two_per_multiplication_and_addition() -> None:
    assert flops(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5


def test_tables_are_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_case_has_a_full_pyramid_at_its_size() -> None:
    method = Case("test_vit", 32, 10, 3).method()
    assert (method.resolution, method.input_size, method.pyramid_start, method.aug_rounds) == (32, 32, 32, 3)
    assert params(seed=7).seed == 7


def test_a_case_has_a_step_on_random_weights_and_features() -> None:
    case = Case("test_vit", 32, 3, 2)
    backbone = case.backbone(CPU)
    distiller = case.distiller(backbone, bank_images=12, **ONE_BATCH)
    assert len(distiller.classes) == 3
    assert (distiller.method.head_draws, distiller.method.real_batch) == (1, "views")
    assert distiller.method.view_count(3) == 6
    assert 0 < float(distiller.step()) < 2


@pytest.mark.slow
def test_lock_failures_are_counted_over_runs_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    locks.main(["--runs", "1", "--stages", "3", "--jobs", "2"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("| 1 | 4 | 2 | ")
    said = "a failed: Unable to acquire lock. Most likely …\nb failed: 'x' is busy, it is being blocked by:\n"
    said += "    Unable to acquire lock. Most likely …\n"  # the last lines of a log
    assert locks.lock_failures(said) == 2
    assert locks.lock_failures("a failed: exit status 1\n    blocked\n") == 0


def test_a_run_that_fails_by_something_else_is_no_lock_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = subprocess.CompletedProcess([], 1, stdout="", stderr="a failed: exit status 3")
    monkeypatch.setattr(locks, "_made", lambda folder, names: None)
    monkeypatch.setattr(locks, "_python", lambda folder, *words: broken)
    with pytest.raises(RuntimeError, match="exit status 3"):
        locks.run(tmp_path, 2, 2)


def test_decoding_is_measured_with_every_way_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    decoding.main(["--images", "2", "--side", "32", "--rounds", "1"])
    head, _, *rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split(" | ")[0] for row in rows] == ["| 500 × 375", "| 160 × 160"]
    assert head.count("|") == 9 and "features, 2 workers" in head
    rates = [float(cell.replace(",", "")) for row in rows for cell in row.strip("|").split("|")[1:]]
    assert len(rates) == 14 and min(rates) > 0


def test_decoding_takes_the_pictures_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decoding._made(tmp_path, 20, 10, 2)
    decoding.main(["--data", str(tmp_path), "--side", "8", "--rounds", "1"])
    assert f"| {tmp_path.name} | " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no JPEG"):
        decoding.main(["--data", str(tmp_path / "none")])
