"""Stages are killed, stopped, starved of disk and started twice; a rerun ends as if nothing had happened."""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from processes import CountChanges, DieAt, DieHalfway, FewViews, StageProcess, run_to_end
from toy_project import BACKBONES, DATASET, LAYOUT, enter, run, snapshot, start_project, write_settings

from lgm_core.distilled import load_distilled
from lgm_core.features.cache import load_features
from lgm_core.foundation.store import read_tensors

DISTILL = ("distill", DATASET, "conv")
IMAGES = LAYOUT.distilled(DATASET, "conv") / "images.safetensors"
HISTORY = LAYOUT.distilled(DATASET, "conv") / "history.csv"
CHECKPOINTS = Path(".lgm") / "checkpoints" / "toy" / f"{DATASET}-conv"
SETTINGS = {"steps": 36, "growth_interval": 6, "checkpoint": {"steps": 3, "minutes": 60.0}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The toy project with everything that Table 2 needs, and its settings; not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    cells = [
        (verb, DATASET, name) for verb in ("features", "baselines", "distill", "probe") for name in BACKBONES
    ]
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        settings = start_project(folder)
        for call in [("inputs", DATASET), ("overrides", DATASET), *cells, ("tables", "table2")]:
            run(*call)
    return folder, settings


@pytest.fixture(scope="module")
def long_run(
    finished: tuple[Path, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any]]:
    """The finished project run without disturbance to a longer distillation of another seed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(finished[0], folder, dirs_exist_ok=True)
    settings = copy.deepcopy(finished[1]) | SETTINGS | {"seed": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_settings(settings)
    for call in (("features", DATASET, "conv"), DISTILL, ("probe", DATASET, "conv")):
        run_to_end(folder, *call)
    return folder, settings


@pytest.fixture
def project(
    finished: tuple[Path, dict[str, Any]],
    long_run: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A test's own project with the results of the first seed and the settings of the second."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    enter(tmp_path, monkeypatch)
    write_settings(long_run[1])
    return tmp_path


@pytest.fixture
def ready(project: Path, long_run: tuple[Path, dict[str, Any]]) -> Path:
    """The same with the second seed's features, so that distillation can start."""
    features = LAYOUT.features(DATASET, "conv")
    shutil.rmtree(project / features)
    shutil.copytree(long_run[0] / features, project / features)
    return project


def images_of(folder: Path) -> torch.Tensor:
    return read_tensors(folder / IMAGES, made_by="")[0]["images"]


def same_set(one: Path, other: Path) -> bool:
    """Whether two projects' distilled sets agree to the last bit, with their histories."""
    equal = torch.equal(images_of(one), images_of(other))
    return equal and (one / HISTORY).read_bytes() == (other / HISTORY).read_bytes()


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.stem[5:]) for path in (folder / CHECKPOINTS).glob("*/step-*.safetensors"))


def reached(folder: Path, step: int) -> Callable[[], bool]:
    return lambda: max(saved_steps(folder), default=0) >= step


@pytest.mark.parametrize("seed", range(2))
def test_a_distillation_killed_again_and_again_ends_with_the_same_bits(
    ready: Path, long_run: tuple[Path, dict[str, Any]], seed: int
) -> None:
    for step in sorted(random.Random(seed).sample(range(1, 24), 3)):
        further = max(step, max(saved_steps(ready), default=0) + 1)
        stage = StageProcess(ready, *DISTILL)
        assert stage.wait_until(reached(ready, further)), stage.output
        assert stage.kill() == -signal.SIGKILL
    kept = saved_steps(ready)[-1]
    assert f"step-{kept:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])
    assert not list((ready / CHECKPOINTS).glob("*/"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_distillation_saves_and_says_so_and_goes_on(
    ready: Path, long_run: tuple[Path, dict[str, Any]], number: signal.Signals
) -> None:
    """No checkpoint is due before the end, so the one there is was made because of the signal."""
    rare = {"checkpoint": {"steps": 10**6, "minutes": 1e6}}
    write_settings(long_run[1] | rare)
    stage = StageProcess(ready, *DISTILL)
    owners = f'"pid": {stage.pid},'
    begun = stage.wait_until(
        lambda: any(owners in path.read_text() for path in (ready / CHECKPOINTS).glob("*.owner"))
    )
    assert begun, stage.output
    stage.send(number)
    assert stage.wait() == 130, stage.output
    assert "run the same command again" in stage.output
    assert "Traceback" not in stage.output
    assert len(saved_steps(ready)) == 1
    assert f"step-{saved_steps(ready)[0]:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])


def test_a_stopped_stage_without_checkpoints_ends_at_once(project: Path) -> None:
    before = snapshot()
    stage = StageProcess(project, "features", DATASET, "conv")
    stage.wait_until(lambda: "images" in stage.output)
    stage.send(signal.SIGTERM)
    assert stage.wait() == 130
    assert "Traceback" not in stage.output
    assert snapshot() == before


# Killed while files are being written


def _features_whole(folder: Path) -> torch.Tensor:
    return load_features(folder / LAYOUT.features(DATASET, "conv"), made_by="").real_views


def _distilled_whole(folder: Path) -> torch.Tensor:
    target = folder / LAYOUT.distilled(DATASET, "conv")
    images, labels = load_distilled(target, ("blue", "green", "red"), made_by="")
    pictures = sorted(target.glob("images/*/*.png"))
    assert len(pictures) == len(labels)
    for path, image in zip(pictures, images, strict=True):
        with Image.open(path) as opened:
            assert opened.tobytes() == (image * 255).round().byte().permute(1, 2, 0).numpy().tobytes()
    assert {path.name for path in target.iterdir()} == {
        "images", "images.safetensors", "grid.png", "history.csv", "settings.json",
    }  # fmt: skip
    return images


def _probe_whole(folder: Path) -> torch.Tensor:
    return torch.tensor(list((folder / LAYOUT.probe(DATASET, "conv")).read_bytes()))


WHOLE: dict[str, Callable[[Path], torch.Tensor]] = {
    "features": _features_whole,
    "distill": _distilled_whole,
    "probe": _probe_whole,
}


@pytest.mark.parametrize("verb", ["features", "distill", "probe"])
def test_killed_at_any_change_of_a_file_the_previous_result_or_the_new_one_stands(
    request: pytest.FixtureRequest, long_run: tuple[Path, dict[str, Any]], verb: str
) -> None:
    folder: Path = request.getfixturevalue("project" if verb == "features" else "ready")
    if verb == "probe":
        shutil.rmtree(folder / LAYOUT.distilled(DATASET, "conv"))
        shutil.copytree(
            long_run[0] / LAYOUT.distilled(DATASET, "conv"), folder / LAYOUT.distilled(DATASET, "conv")
        )
    whole = WHOLE[verb]
    old, new = whole(folder), whole(long_run[0])
    assert not torch.equal(old, new)
    killed = 0
    faults = [DieHalfway(number) for number in (1, 2, 3)]
    faults += [DieAt(number, str(folder / "results")) for number in _changes(folder, verb)]
    for fault in faults:
        stage = StageProcess(folder, verb, DATASET, "conv", fault=fault)
        status = stage.wait()
        found = whole(folder)
        assert torch.equal(found, old if status else new) or torch.equal(found, new)
        if status == 0:
            continue
        assert status == -signal.SIGKILL, stage.output
        killed += 1
    assert killed >= 2
    run_to_end(folder, verb, DATASET, "conv")
    assert torch.equal(whole(folder), new)
    assert not list((folder / "results").rglob(".*.tmp"))


def _changes(folder: Path, verb: str) -> list[int]:
    """Which of a stage's changes of files to die at: some, and the last, which replace the old result."""
    copy_of, report = folder.parent / f"{folder.name}-counted", folder / ".changes"
    shutil.copytree(folder, copy_of)
    stage = StageProcess(
        copy_of, verb, DATASET, "conv", fault=CountChanges(str(copy_of / "results"), str(report))
    )
    assert stage.wait() == 0, stage.output
    count = report.stat().st_size
    return sorted({*range(1, count, max(1, count // 6)), *range(max(1, count - 9), count + 1)})


def test_killed_at_any_change_of_a_checkpoint_an_intact_one_stands(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    for fault in (DieHalfway(4), *(DieAt(number, str(ready / CHECKPOINTS)) for number in (5, 8, 11, 13))):
        stage = StageProcess(ready, *DISTILL, fault=fault)
        assert stage.wait() == -signal.SIGKILL, stage.output
        assert "damaged" not in stage.output
    assert "going on from" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])


def test_a_table_killed_at_any_change_of_a_file_is_the_previous_one_or_the_new_one(project: Path) -> None:
    paths = [LAYOUT.table("table2", ".csv"), LAYOUT.table("table2", ".md"), LAYOUT.metrics("table2")]
    new = [path.read_bytes() for path in paths]
    for path in paths:
        path.write_text("the previous one", encoding="utf-8")
    killed = 0
    half = [DieHalfway(number) for number in range(1, 6)]
    for fault in [*half, *(DieAt(number, str(project)) for number in range(1, 40, 3))]:
        status = StageProcess(project, "tables", "table2", fault=fault).wait()
        for path, expected in zip(paths, new, strict=True):
            assert path.read_bytes() in (b"the previous one", expected)
        killed += status != 0
    assert killed >= 6
    assert [path.read_bytes() for path in paths] == new


@pytest.mark.parametrize("verb", ["features", "probe"])
def test_killed_at_work_a_rerun_gives_the_same_result_without_double_rows(
    request: pytest.FixtureRequest, long_run: tuple[Path, dict[str, Any]], verb: str
) -> None:
    folder: Path = request.getfixturevalue("project" if verb == "features" else "ready")
    if verb == "probe":
        shutil.rmtree(folder / LAYOUT.distilled(DATASET, "conv"))
        shutil.copytree(
            long_run[0] / LAYOUT.distilled(DATASET, "conv"), folder / LAYOUT.distilled(DATASET, "conv")
        )
    before = snapshot()
    for _ in range(2):
        stage = StageProcess(folder, verb, DATASET, "conv")
        assert stage.wait_until(lambda at=stage: re.search(r"\d+/\d+ \[", at.output) is not None)
        assert stage.kill() == -signal.SIGKILL
        assert snapshot() == before
    run_to_end(folder, verb, DATASET, "conv")
    assert torch.equal(WHOLE[verb](folder), WHOLE[verb](long_run[0]))
    if verb == "features":
        assert _features_whole(folder).shape[1] == 18


# Disk full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, int], Path]]:
    """`small_disk(folder, kib)`: put a folder on a disk of its own with that much room left.

    Returns the file that takes the rest.
    """
    mounted: list[Path] = []

    def mount(folder: Path, kib: int) -> Path:
        folder.mkdir(exist_ok=True, parents=True)
        content = tmp_path / f".content-{len(mounted)}"
        shutil.copytree(folder, content)
        try:
            command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small disk cannot be mounted here ({error})")
        mounted.append(folder)
        shutil.copytree(content, folder, dirs_exist_ok=True)
        with pytest.raises(OSError, match="No space"), (folder / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - kib * 1024)
        return folder / "ballast"

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("verb", ["features", "distill", "probe"])
def test_a_full_disk_is_a_message_and_costs_nothing(
    request: pytest.FixtureRequest,
    long_run: tuple[Path, dict[str, Any]],
    small_disk: Callable[[Path, int], Path],
    verb: str,
) -> None:
    folder: Path = request.getfixturevalue("project" if verb == "features" else "ready")
    ballast = small_disk(folder / "results", 0 if verb == "probe" else 16)
    before = snapshot()
    stage = StageProcess(folder, verb, DATASET, "conv")
    assert stage.wait() == 1, stage.output
    assert re.search(r"(?m)^error: .*No space left on device", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before
    ballast.unlink()
    run_to_end(folder, verb, DATASET, "conv")
    if verb != "probe":
        assert torch.equal(WHOLE[verb](folder), WHOLE[verb](long_run[0]))


def test_a_full_disk_under_the_checkpoints_keeps_the_last_good_one(
    ready: Path, long_run: tuple[Path, dict[str, Any]], small_disk: Callable[[Path, int], None]
) -> None:
    """The pyramid grows, and with it the checkpoints, until one does not fit."""
    ballast = small_disk(ready / ".lgm", 80)
    stage = StageProcess(ready, *DISTILL)
    assert stage.wait() == 1, stage.output
    assert re.search(r"(?m)^error: Cannot write .*step-\d+.*No space left on device", stage.output)
    kept = saved_steps(ready)
    assert kept
    ballast.unlink()
    assert f"step-{kept[-1]:09d}" in run_to_end(ready, *DISTILL)
    assert same_set(ready, long_run[0])


def test_a_read_only_data_folder_is_enough(project: Path, long_run: tuple[Path, dict[str, Any]]) -> None:
    data = project / "data"
    mount = subprocess.run(["mount", "--bind", str(data), str(data)], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip(f"a folder cannot be mounted read-only here ({mount.stderr.decode().strip()})")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(data)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (data / "x").write_text("")
        run_to_end(project, "features", DATASET, "conv", LGM_WORKERS="2")
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)
    assert torch.equal(_features_whole(project), _features_whole(long_run[0]))


# Twice at once


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_second_run_of_a_cell_is_refused_and_the_first_is_undisturbed(
    ready: Path,
    long_run: tuple[Path, dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
    elsewhere: bool,
) -> None:
    """In the same folder, and in a copy that shares its checkpoints, as DVC's experiments do."""
    first = StageProcess(ready, *DISTILL)
    assert first.wait_until(reached(ready, 3)), first.output
    first.send(signal.SIGSTOP)
    folder = ready
    if elsewhere:
        folder = tmp_path_factory.mktemp("copy")
        shutil.copytree(ready, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lgm"))
    second = StageProcess(folder, *DISTILL, DVC_ROOT=str(ready))
    assert second.wait() == 1
    assert f"is being run by pid {first.pid} on" in second.output
    first.send(signal.SIGCONT)
    assert first.wait() == 0
    assert same_set(ready, long_run[0])


def test_other_settings_of_a_cell_may_run_at_the_same_time_elsewhere(
    ready: Path, long_run: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ready, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_settings(long_run[1] | {"learning_rate": 0.01})
    stages = [StageProcess(place, *DISTILL, DVC_ROOT=str(ready)) for place in (ready, folder)]
    assert [stage.wait() for stage in stages] == [0, 0]
    assert same_set(ready, long_run[0])
    assert not torch.equal(images_of(folder), images_of(ready))


def test_a_checkpoint_of_other_settings_is_told_and_left_alone(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    write_settings(long_run[1] | {"learning_rate": 0.01})
    stage = StageProcess(ready, *DISTILL)
    assert stage.wait_until(reached(ready, 3)), stage.output
    stage.kill()
    kept = saved_steps(ready)
    write_settings(long_run[1])
    output = run_to_end(ready, *DISTILL)
    assert "method.learning_rate: 0.01 there, 0.05 here" in output
    assert "going on" not in output
    assert saved_steps(ready) == kept
    assert same_set(ready, long_run[0])


def test_exploding_steps_stop_with_what_was_seen(ready: Path, long_run: tuple[Path, dict[str, Any]]) -> None:
    write_settings(long_run[1] | {"learning_rate": 1e6, "learning_rate_schedule": "constant"})
    before = snapshot()
    stage = StageProcess(ready, *DISTILL)
    assert stage.wait() == 1, stage.output
    assert re.search(r"(?m)^error: The images exploded before step 1: .*1e\+06.*learning_rate", stage.output)
    assert "Traceback" not in stage.output
    assert snapshot() == before


# Memory that runs out


def test_where_memory_runs_out_smaller_micro_batches_are_used_and_told(
    ready: Path, long_run: tuple[Path, dict[str, Any]]
) -> None:
    write_settings(long_run[1] | {"steps": 3, "aug_rounds": 5})
    run_to_end(ready, *DISTILL)
    whole = images_of(ready)
    stage = StageProcess(ready, *DISTILL, fault=FewViews(4))
    assert stage.wait() == 0, stage.output
    assert (
        "can't allocate memory: you tried to allocate 9 bytes.); going on with a micro-batch of 4 views"
        in (stage.output)
    )
    assert torch.allclose(images_of(ready), whole, atol=1e-3)


def test_where_not_even_one_view_fits_the_message_says_so(ready: Path) -> None:
    before = snapshot()
    stage = StageProcess(ready, *DISTILL, fault=FewViews(0))
    assert stage.wait() == 1
    assert re.search(r"(?m)^error: Memory (ran|runs) out .*LGM_DEVICE=cpu", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before


def test_memory_that_runs_out_elsewhere_is_a_message_too(project: Path) -> None:
    before = snapshot()
    stage = StageProcess(project, "features", DATASET, "conv", fault=FewViews(1))
    assert stage.wait() == 1
    assert re.search(r"(?m)^error: Memory ran out .*LGM_WORKERS", stage.output), stage.output
    assert "Traceback" not in stage.output
    assert snapshot() == before


# Several ranks


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def ranks_of(stage: StageProcess) -> list[int]:
    """The processes of a run's ranks, in order; not the tracker that multiprocessing keeps beside them."""
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(stage.pid)}
    return sorted(pid for pid, command in commands.items() if b"spawn_main" in command)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="child processes are listed in /proc")
@pytest.mark.parametrize("fault", ["a rank killed", "the run stopped"])
def test_a_run_of_three_ranks_ends_within_a_minute_and_goes_on(
    ready: Path, long_run: tuple[Path, dict[str, Any]], fault: str
) -> None:
    write_settings(
        long_run[1] | {"steps": 600, "growth_interval": 6, "checkpoint": {"steps": 3, "minutes": 60.0}}
    )
    stage = StageProcess(ready, *DISTILL, LGM_RANKS="3")
    assert stage.wait_until(reached(ready, 6)), stage.output
    ranks = ranks_of(stage)
    assert len(ranks) == 3
    begun = time.monotonic()
    if fault == "a rank killed":
        os.kill(ranks[1], signal.SIGKILL)
        assert stage.wait() == 1
        assert "error: Rank 1 of 3 was ended by SIGKILL" in stage.output
    else:
        stage.send(signal.SIGTERM)
        assert stage.wait() == 130
    assert time.monotonic() - begun < 60
    assert "Traceback" not in stage.output
    assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()]
    kept = saved_steps(ready)[-1]
    # One process goes on where three were, up to rounding.
    stage = StageProcess(ready, *DISTILL, LGM_RANKS="1")
    assert stage.wait_until(reached(ready, kept + 3)), stage.output
    stage.kill()
    assert f"step-{kept:09d}" in stage.output
