"""Several processes give the result of one, and the end of one of them is the end of the run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, distributed

from lgm_core.features.blocks import Kept
from lgm_core.features.extraction import extract_features
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.ranks import ALONE, Ranks, join_ranks, own_ranks, spawn_ranks
from lgm_core.images import ImageSet
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import RealBank
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.method import FeatureSettings, MethodSettings
from lgm_core.settings.params import Params

CLASSES, WIDTH, CPU = tuple("abcdefghij"), 5, torch.device("cpu")


@pytest.mark.parametrize("count", [1, 7, 10, 24])
@pytest.mark.parametrize("world", [1, 2, 3, 10])
def test_shares_are_consecutive_complete_and_equal_but_for_one(count: int, world: int) -> None:
    shares = [Ranks(rank, world).share(count) for rank in range(world)]
    assert [item for share in shares for item in share] == list(range(count))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert Ranks(0, world).share(count, world - 1) == shares[-1]


def test_one_rank_is_the_identity_and_needs_no_process_group(generator: torch.Generator) -> None:
    rows = torch.randn(3, 2, generator=generator)
    assert ALONE.sum(rows) is rows
    assert torch.equal(ALONE.gather(rows, [3]), rows)
    assert ALONE.collect("x") == ["x"]
    assert own_ranks() == ALONE


def _exchange(rank: int, world: int, rendezvous: str, folder: str) -> None:
    torch.set_num_threads(1)
    with join_ranks(rank, world, rendezvous, CPU):
        ranks = own_ranks()
        own = torch.full((2,), float(rank + 1), requires_grad=True)
        total = ranks.sum(own)
        (total**2).sum().backward()
        rows = torch.tensor([[float(row)] for row in ranks.share(5)])
        gathered = ranks.gather(rows, ranks.counts(5))
        found = (ranks, total.tolist(), own.grad.tolist(), gathered.flatten().tolist(), ranks.collect(rank))
        Path(folder, str(rank)).write_text(repr(found))


@pytest.mark.slow
def test_sums_gradients_and_gathers_over_three_ranks(tmp_path: Path) -> None:
    spawn_ranks(_exchange, 3, (str(tmp_path),))
    gathered = {0: [0.0, 1.0, 2.0, 3.0, 4.0], 1: [1.0, 2.0], 2: [3.0, 4.0]}
    for rank in range(3):
        # d(Σ total²)/d(own) = 2 · total on every rank, whose loss is the same one.
        expected = (Ranks(rank, 3), [6.0, 6.0], [12.0, 12.0], gathered[rank], [0, 1, 2])
        assert (tmp_path / str(rank)).read_text() == repr(expected)


@pytest.mark.parametrize("what", ["sum", "send", "receive", "collect"])
def test_a_rank_that_does_not_answer_is_an_error_that_says_so(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object, **named: object) -> None:
        raise RuntimeError("Connection closed by peer\nand a long trace")

    for name in ("all_reduce", "send", "recv", "all_gather_object"):
        monkeypatch.setattr(distributed, name, gone)
    rows, first, second = torch.zeros(1, 2), Ranks(0, 2), Ranks(1, 2)
    asking = {
        "sum": lambda: first.sum(rows),
        "send": lambda: second.gather(rows, [1, 1]),
        "receive": lambda: first.gather(rows, [1, 1]),
        "collect": lambda: first.collect("x"),
    }
    with pytest.raises(InputError, match=r"Another rank has ended .*\(Connection closed by peer\)\. Run"):
        asking[what]()


def test_no_room_for_what_ranks_exchange_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise RuntimeError(
            "NCCL error in: NCCLUtils.cpp:94, unhandled system error, NCCL 2.27.5\nLast error:\nError "
            "while creating shared memory segment /dev/shm/nccl-1aT2 (size 9637888), error: No space left"
        )

    monkeypatch.setattr(distributed, "all_reduce", full)
    with pytest.raises(InputError, match=r"no room in /dev/shm .*\(Error while creating .*--shm-size=1g"):
        Ranks(0, 2).sum(torch.zeros(1))


def _bank(seed: int = 1, ipc: int = 1, *, clusters: bool = False) -> RealBank:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(40) % len(CLASSES)
    slots = labels * ipc + torch.arange(40) // len(CLASSES) % ipc if clusters else None
    return RealBank(torch.randn(2, 40, WIDTH, generator=generator), labels, CLASSES, slots)


def _members(backbones: list[FrozenBackbone], method: MethodSettings) -> list[Member]:
    clusters = method.slots == "clusters"
    banks = [_bank(1 + number, method.ipc, clusters=clusters) for number in range(len(backbones))]
    pairs = zip(backbones, banks, strict=True)
    return [Member(net, bank, f"net {number}", 1.0 + number) for number, (net, bank) in enumerate(pairs)]


RIDGE = {"objective": "ridge", "ridge_penalty": 1.0, "ridge_temperature": 0.0}
RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    "gradient": (1, {"real_batch": 16}),
    "head bank": (1, {"head_bank": 5, "real_batch": "all"}),
    "clusters": (1, {"ipc": 2, "slots": "clusters"}),
    "means": (1, {"objective": "means", "ipc": 2}),
    "ridge": (1, {**RIDGE, "ipc": 2}),
    "ensemble": (3, {}),
    "ensemble of ridge": (2, RIDGE),
}
"""Name → how many backbones distil together, and what differs in the method."""


def _distil_rank(
    rank: int,
    world: int,
    rendezvous: str,
    backbones: list[FrozenBackbone],
    methods: dict[str, MethodSettings],
    folder: str,
) -> None:
    torch.set_num_threads(1)
    with join_ranks(rank, world, rendezvous, CPU):
        for name, method in methods.items():
            members = _members(backbones[: RUNS[name][0]], method)
            result = Distiller(members, method, seed=3, ranks=own_ranks()).run()
            assert result.time_lapse is not None
            kept = (result.images, result.losses, result.time_lapse.frames)
            torch.save(kept, Path(folder) / f"{name} {rank}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_distil_what_one_process_distils_with_every_objective_and_together(
    world: int,
    method: Callable[..., MethodSettings],
    tiny_backbone: Callable[..., FrozenBackbone],
    tmp_path: Path,
) -> None:
    backbones = [tiny_backbone(WIDTH, seed=seed) for seed in range(3)]
    base = {"steps": 12, "growth_interval": 4, "resolution": 16, "input_size": 12, "aug_rounds": 3}
    base |= {"head_draws": 2, "learning_rate": 0.002, "snapshots": 3}
    methods = {name: method(**{**base, **changes}) for name, (_, changes) in RUNS.items()}
    spawn_ranks(_distil_rank, world, (backbones, methods, str(tmp_path)))
    for name, settings in methods.items():
        alone = Distiller(_members(backbones[: RUNS[name][0]], settings), settings, seed=3).run()
        results: list[tuple[Tensor, tuple[float, ...], Tensor]] = [
            torch.load(tmp_path / f"{name} {rank}.pt") for rank in range(world)
        ]
        torch.testing.assert_close(
            results[0][0], alone.images, rtol=0, atol=1e-4, msg=lambda told, name=name: f"{name}: {told}"
        )
        assert alone.time_lapse is not None
        assert (results[0][2].int() - alone.time_lapse.frames.int()).abs().max() <= 1, name
        for rank, (images, losses, frames) in enumerate(results):
            assert losses == results[0][1], name
            assert losses == pytest.approx(alone.losses, abs=1e-5), name
            assert rank == 0 or len(images) < len(alone.images), name
            assert frames.shape[:2] == (3, len(images)), name


def _end(rank: int, world: int, rendezvous: str, how: str, folder: str) -> None:
    torch.set_num_threads(1)
    with join_ranks(rank, world, rendezvous, CPU):
        if rank == 1 and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if rank == 1:
            raise SystemExit(7)
        try:
            own_ranks().sum(torch.zeros(1))
        except InputError as error:
            # In one step: the end of the run may come in between.
            Path(folder, "written").write_text(str(error))
            Path(folder, "written").rename(Path(folder, "noticed"))
        time.sleep(600)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"),
    [("failed", "Rank 1 of 2 failed with exit status 7"), ("killed", "Rank 1 of 2 was ended by SIGKILL")],
)
def test_a_rank_that_ends_ends_the_run_with_a_message(how: str, message: str, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(InputError, match=message):
        spawn_ranks(_end, 2, (how, str(tmp_path)))
    assert time.monotonic() - start < 200
    if (tmp_path / "noticed").exists():  # where it was quicker than the end of the run
        assert "Another rank has ended" in (tmp_path / "noticed").read_text()


def test_more_ranks_than_images_is_an_error_that_says_how_many_are_possible(
    method: Callable[..., MethodSettings], tiny_backbone: Callable[..., FrozenBackbone]
) -> None:
    with pytest.raises(InputError, match="at most 10"):
        Distiller(Member(tiny_backbone(WIDTH), _bank()), method(), seed=0, ranks=Ranks(0, 11))


def _extract_rank(
    rank: int, world: int, rendezvous: str, backbone: FrozenBackbone, spec: FeatureSettings, folder: str
) -> None:
    torch.set_num_threads(1)
    with join_ranks(rank, world, rendezvous, CPU):
        blocks = Kept(Path(folder) / f"blocks{rank}", {})
        cache = extract_features(backbone, _splits(), spec, seed=3, ranks=own_ranks(), blocks=blocks)
        torch.save((cache.train, cache.test, cache.real_views, cache.full_views), f"{folder}/{rank}.pt")


def _splits() -> tuple[ImageSet, ImageSet]:
    """330 and 7 pictures: whole batches are shared, so one rank has no test image."""

    def decode(index: int) -> Image.Image:
        pixels = torch.randint(256, (16 + index % 5, 20, 3), generator=torch.Generator().manual_seed(index))
        return Image.fromarray(pixels.byte().numpy())

    return tuple(  # pyright: ignore[reportReturnType]
        ImageSet(("a", "b"), torch.arange(count) % 2, tuple(map(str, range(count))), decode)
        for count in (330, 7)
    )


@pytest.mark.slow
def test_ranks_extract_what_one_process_extracts(
    params: Callable[..., Params], tiny_backbone: Callable[..., FrozenBackbone], tmp_path: Path
) -> None:
    spec = params(resolution=16, input_size=12, real_rounds=2, probe={"full_view_rounds": 1}).features()
    backbone = tiny_backbone(WIDTH)
    alone = extract_features(backbone, _splits(), spec, seed=3)
    spawn_ranks(_extract_rank, 2, (backbone, spec, str(tmp_path)))
    train, test, real_views, full_views = torch.load(tmp_path / "0.pt")
    assert torch.equal(train, alone.train)
    assert torch.equal(test, alone.test)
    assert torch.equal(real_views, alone.real_views)
    assert torch.equal(full_views, alone.full_views)
    assert {path.name for path in tmp_path.iterdir()} == {"0.pt", "1.pt", "blocks0", "blocks1"}
