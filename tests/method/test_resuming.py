"""A run that was interrupted goes on from its newest checkpoint, to the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from method.toy_runs import assert_same

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.provenance import versions
from lgm_core.method import identity
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.identity import differences, run_facts
from lgm_core.method.real import RealBank
from lgm_core.method.resuming import Checkpoints, Keeper
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import CheckpointSettings, MethodSettings

FACTS = {"seed": 1, "method": {"steps": 10}}
EVERY = CheckpointSettings(steps=1, minutes=1000.0)
NEVER = CheckpointSettings(steps=10**6, minutes=10.0**6)


@pytest.fixture
def distiller(
    method: Callable[..., MethodSettings], tiny_backbone: Callable[..., FrozenBackbone]
) -> Callable[..., Distiller]:
    """`distiller(optimizer="sgd")`: a run of 9 steps over two classes with two growths."""

    def build(
        *, seed: int = 3, bank_seed: int = 0, weights: int = 0, micro_batch: int | None = None, **changes: Any
    ) -> Distiller:
        generator = torch.Generator().manual_seed(bank_seed)
        bank = RealBank(torch.randn(1, 6, 5, generator=generator), torch.arange(2).repeat(3), ("a", "b"))
        small = {"steps": 9, "resolution": 8, "input_size": 8, "pyramid_start": 2, "growth_interval": 3}
        backbone, settings = tiny_backbone(5, seed=weights), method(**{**small, **changes})
        return Distiller(Member(backbone, bank), settings, seed=seed, micro_batch=micro_batch)

    return build


class _Killed(Exception):  # noqa: N818
    pass


def _run_until(distiller: Distiller, checkpoints: Checkpoints, step: int) -> None:
    with Keeper(distiller, checkpoints, EVERY) as keep:

        def kill() -> None:
            keep()
            if distiller.state.step == step:
                raise _Killed

        distiller.run(keep=kill)


def files(checkpoints: Checkpoints) -> list[Path]:
    return sorted(checkpoints.folder.glob("step-*"))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("step", range(1, 10))
@pytest.mark.slow
def test_resuming_at_any_step_changes_no_bit(
    tmp_path: Path, distiller: Callable[..., Distiller], step: int, optimizer: str
) -> None:
    whole = distiller(optimizer=optimizer).run()
    checkpoints = Checkpoints(tmp_path, FACTS)
    with pytest.raises(_Killed):
        _run_until(distiller(optimizer=optimizer), checkpoints, step)
    second = distiller(optimizer=optimizer)
    with Keeper(second, checkpoints, NEVER) as keep:
        assert second.state.step == step
        assert_same(second.run(keep=keep), whole)
    third = distiller(optimizer=optimizer)
    with Keeper(third, checkpoints, NEVER):
        assert third.state.step == third.method.steps
        assert_same(third.run(), whole)


def test_a_resumed_run_keeps_the_micro_batch_and_the_time(
    tmp_path: Path, distiller: Callable[..., Distiller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of other sizes would add up to other last bits."""
    monkeypatch.setattr("lgm_core.method.distiller.fitting_views", lambda *_, **__: 3)
    checkpoints = Checkpoints(tmp_path, FACTS)
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("lgm_core.method.resuming.time.monotonic", lambda: next(clock))
    with pytest.raises(_Killed):
        _run_until(distiller(), checkpoints, 4)
    monkeypatch.setattr("lgm_core.method.distiller.fitting_views", lambda *_, **__: 5)
    second = distiller()
    with Keeper(second, checkpoints, NEVER) as keep:
        assert [backoff and backoff.views for backoff in second.backoffs] == [3]
        assert keep.seconds() >= 40


def test_a_micro_batch_that_is_set_stays_set(tmp_path: Path, distiller: Callable[..., Distiller]) -> None:
    checkpoints = Checkpoints(tmp_path, FACTS)
    with pytest.raises(_Killed):
        _run_until(distiller(), checkpoints, 4)
    second = distiller(micro_batch=2)
    with Keeper(second, checkpoints, NEVER):
        assert [backoff and backoff.views for backoff in second.backoffs] == [2]


def _steps_saved(
    tmp_path: Path, run: Distiller, spec: CheckpointSettings, ending: Callable[[], bool] = lambda: False
) -> list[int]:
    steps: list[int] = []
    checkpoints = Checkpoints(tmp_path, FACTS)
    checkpoints.save = lambda step, state: steps.append(step)  # type: ignore[method-assign]
    with Keeper(run, checkpoints, spec, ending) as keep:
        run.run(keep=keep)
    return steps


def test_checkpoints_come_every_so_many_steps(tmp_path: Path, distiller: Callable[..., Distiller]) -> None:
    assert _steps_saved(tmp_path, distiller(), CheckpointSettings(steps=4, minutes=1000.0)) == [4, 8, 9]


def test_a_finished_run_is_kept_until_its_checkpoints_are_cleared(
    tmp_path: Path, distiller: Callable[..., Distiller]
) -> None:
    checkpoints = Checkpoints(tmp_path, FACTS)
    run = distiller()
    with Keeper(run, checkpoints, NEVER) as keep:
        run.run(keep=keep)
    assert [path.stem for path in files(checkpoints)] == ["step-000000009"]
    checkpoints.clear()
    assert not files(checkpoints)


def test_checkpoints_come_every_so_many_minutes(
    tmp_path: Path, distiller: Callable[..., Distiller], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("lgm_core.method.resuming.time.monotonic", lambda: clock[0])
    run = distiller()
    step = run.step

    def slow() -> torch.Tensor:
        clock[0] += 45
        return step()

    monkeypatch.setattr(run, "step", slow)
    assert _steps_saved(tmp_path, run, CheckpointSettings(steps=1000, minutes=2.0)) == [3, 6, 9]


def test_a_run_that_is_asked_to_end_saves_first(tmp_path: Path, distiller: Callable[..., Distiller]) -> None:
    run = distiller()
    with pytest.raises(KeyboardInterrupt):
        _steps_saved(tmp_path / "a", run, NEVER, lambda: run.state.step == 5)
    checkpoints = Checkpoints(tmp_path / "b", FACTS)
    run = distiller()
    with (
        pytest.raises(KeyboardInterrupt),
        Keeper(run, checkpoints, NEVER, lambda: run.state.step == 5) as keep,
    ):
        run.run(keep=keep)
    assert [path.stem for path in files(checkpoints)] == ["step-000000005"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 4}, "seed"),
        ({"bank_seed": 1}, "members.0.features"),
        ({"weights": 1}, "members.0.weights"),
        ({"steps": 10}, "method.steps"),
    ],
)
def test_seed_data_weights_and_settings_make_another_run(
    distiller: Callable[..., Distiller], change: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "distilling_code", lambda: "code")  # takes long to read
    one, again, other = (run_facts(distiller(**given)) for given in ({}, {}, change))
    assert one == again
    assert [text.partition(":")[0] for text in differences(one, other)] == [key]


def test_code_versions_and_what_the_caller_says_are_part_of_a_run(
    distiller: Callable[..., Distiller],
) -> None:
    one, other = run_facts(distiller(), dataset="pets"), run_facts(distiller(), dataset="birds")
    assert differences(one, other) == ["dataset: pets there, birds here"]
    assert one["code"] == identity.distilling_code()
    assert one["versions"] == versions()


@pytest.fixture
def one_more_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    yield
    torch.set_num_threads(before)


def test_another_number_of_threads_makes_another_run(
    distiller: Callable[..., Distiller], request: pytest.FixtureRequest
) -> None:
    """Sums over other parts have other last bits, so that what goes on would be equal to neither run."""
    before, threads = run_facts(distiller()), torch.get_num_threads()
    request.getfixturevalue("one_more_thread")
    assert differences(before, run_facts(distiller())) == [f"threads: {threads} there, {threads + 1} here"]


def test_a_run_that_breaks_down_keeps_its_last_good_checkpoint(
    tmp_path: Path, distiller: Callable[..., Distiller]
) -> None:
    checkpoints = Checkpoints(tmp_path, FACTS)
    run = distiller()

    def poison(step: int, loss: float) -> None:
        if step == 4:
            with torch.no_grad():
                run.state.images.levels[0].fill_(float("nan"))

    spec = CheckpointSettings(steps=2, minutes=1000.0)
    with (
        pytest.raises(InputError, match=r"nan at step 5.*learning_rate"),
        Keeper(run, checkpoints, spec) as keep,
    ):
        run.run(poison, keep)
    fresh = distiller()
    with Keeper(fresh, checkpoints, spec):
        assert fresh.state.step == 4
        assert all(bool(level.isfinite().all()) for level in fresh.state.images.levels)
