"""Snapshots show how the images grow, survive a kill, and change nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from method.toy_runs import assert_same, color_distiller

from lgm_core.distilled import DistilledSet, load_time_lapse
from lgm_core.method.distiller import Distiller
from lgm_core.method.resuming import Checkpoints, Keeper
from lgm_core.method.snapshots import LARGEST_SIDE, reduced, snapshot_steps
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import CheckpointSettings, MethodSettings

Make = Callable[..., MethodSettings]


@pytest.fixture
def run(method: Make, tiny_backbone: Callable[..., FrozenBackbone]) -> Callable[..., Distiller]:
    """`run(snapshots=4)`: nine steps over three colors, with two growths after three steps each."""
    small = {"steps": 9, "resolution": 8, "input_size": 8, "pyramid_start": 2, "growth_interval": 3}
    return lambda **changes: color_distiller(tiny_backbone(5), method(**{**small, **changes}))


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"snapshots": 0}, ()),
        ({"snapshots": 1}, (100,)),
        ({"snapshots": 2}, (0, 100)),
        ({"snapshots": 5}, (0, 5, 10, 55, 100)),  # grown after 10 steps
        ({"snapshots": 5, "growth_interval": 80}, (0, 25, 50, 75, 100)),  # never grown
        ({"snapshots": 5, "parameterization": "pixels"}, (0, 25, 50, 75, 100)),
        ({"snapshots": 100, "steps": 3}, (0, 1, 2, 3)),
    ],
)
def test_half_of_the_snapshots_are_of_the_growing_pyramid(
    method: Make, changes: dict[str, int], steps: tuple[int, ...]
) -> None:
    grown = {"steps": 100, "pyramid_start": 2, "resolution": 8, "input_size": 8, "growth_interval": 5}
    assert snapshot_steps(method(**{**grown, **changes})) == steps


def test_a_pyramid_of_another_size_than_a_power_of_two_is_grown_when_it_has_its_levels(
    method: Make, tiny_backbone: Callable[..., FrozenBackbone]
) -> None:
    settings = method(steps=40, pyramid_start=3, resolution=20, input_size=8, growth_interval=5, snapshots=3)
    distiller = color_distiller(tiny_backbone(5), settings)
    while distiller.state.images.sizes[-1] < 20:
        distiller.step()
    assert snapshot_steps(settings)[1] == distiller.state.step - 1


@pytest.mark.parametrize("changes", [{}, {"parameterization": "pixels"}])
def test_snapshots_change_no_bit(run: Callable[..., Distiller], changes: dict[str, str]) -> None:
    without = run(snapshots=0, **changes).run()
    assert without.time_lapse is None
    assert_same(run(snapshots=7, **changes).run(), without)


def test_a_snapshot_is_what_the_images_were_after_so_many_steps(run: Callable[..., Distiller]) -> None:
    found = run(snapshots=4).run()
    assert found.time_lapse is not None
    assert found.time_lapse.steps == (0, 4, 7, 9)
    other = run(snapshots=0)
    for frame, step in zip(found.time_lapse.frames, found.time_lapse.steps, strict=True):
        while other.state.step < step:
            other.step()
        assert torch.equal(frame, (other.state.images.render() * 255).round().byte())
    assert torch.equal(found.time_lapse.frames[-1], (found.images * 255).round().byte())


def test_large_images_are_reduced() -> None:
    found = reduced(torch.rand(2, 3, 2 * LARGEST_SIDE, 2 * LARGEST_SIDE))
    assert (found.shape, found.dtype) == ((2, 3, LARGEST_SIDE, LARGEST_SIDE), torch.uint8)


class _Killed(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("step", range(1, 10))
def test_snapshots_of_a_killed_run_are_those_of_an_undisturbed_one(
    tmp_path: Path, run: Callable[..., Distiller], step: int
) -> None:
    run(snapshots=6).run().save(tmp_path / "whole")
    checkpoints = Checkpoints(tmp_path / "checkpoints", {"seed": 1})
    first = run(snapshots=6)

    def kill() -> None:
        keep()
        if first.state.step == step:
            raise _Killed

    with (
        pytest.raises(_Killed),
        Keeper(first, checkpoints, CheckpointSettings(steps=1, minutes=1000.0)) as keep,
    ):
        first.run(keep=kill)
    second = run(snapshots=6)
    with Keeper(second, checkpoints, CheckpointSettings(steps=10**6, minutes=1000.0)) as keep:
        assert second.state.step == step
        second.run(keep=keep).save(tmp_path / "killed")
    third = run(snapshots=6)
    with Keeper(third, checkpoints, CheckpointSettings(steps=10**6, minutes=1000.0)):
        third.run().save(tmp_path / "finished")
    for folder in ("killed", "finished"):
        assert _bytes(tmp_path / folder) == _bytes(tmp_path / "whole")


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_set_is_saved_with_its_snapshots(tmp_path: Path, run: Callable[..., Distiller]) -> None:
    found = run(snapshots=4).run()
    found.save(tmp_path / "set")
    back = load_time_lapse(tmp_path / "set")
    assert back is not None
    assert found.time_lapse is not None
    assert back.steps == found.time_lapse.steps
    assert torch.equal(back.frames, found.time_lapse.frames)
    plain = DistilledSet(found.images, found.labels, found.classes)
    plain.save(tmp_path / "set")
    assert load_time_lapse(tmp_path / "set") is None
    assert not (tmp_path / "set" / "time_lapse").exists()
