"""DVC itself is killed, runs copies and queues: what was computed is kept, what was interrupted goes on."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pipeline.whole_runs import leave_out, show_only
from processes import run_to_end
from ruamel.yaml import YAML
from toy_project import DATASET, LAYOUT, start_project

from lgm_core.foundation.store import read_tensors

ROOT = Path(__file__).resolve().parents[2]
STEPS = 60
STAGE = f"distill@{DATASET}-conv"
CHECKPOINTS = Path(".lgm") / "checkpoints" / "toy" / f"{DATASET}-conv"
IMAGES = LAYOUT.cell(DATASET, "conv").distilled / "images.safetensors"
CODE = (
    "lgm_core",
    "stages",
    "dvc.yaml",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots",
    ".dvcignore",
    ".gitignore",
)

pytestmark = pytest.mark.slow


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ, "LGM_DATA": str(folder / "data"), "LGM_WORKERS": "0", "LGM_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    for name in ("DVC_ROOT", "PYTHONPATH"):
        environment.pop(name, None)
    return subprocess.Popen(
        words, cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_lock_file_cut_in_half_by_a_kill_is_removed_and_a_whole_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages:\n  one:\n    cmd: echo done > out\n    outs: [out]\n")
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    unlock = [sys.executable, "-m", "stages.unlock"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def unlocked() -> str:
        return subprocess.run(
            unlock, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    lock = tmp_path / ".dvc" / "tmp" / "rwlock"
    assert unlocked() == ""
    lock.write_text('{"write": {}, "read": {}}')
    assert unlocked() == ""
    assert lock.exists()
    lock.write_text('{"write": {"out": {"pid": 1, "cm')
    broken = command(tmp_path, "dvc", "repro")
    assert "corrupted" in broken.communicate(timeout=240)[0]
    assert broken.returncode != 0
    assert "cut in half" in unlocked()
    assert not lock.exists()
    dvc(tmp_path, "repro")
    assert (tmp_path / "out").read_text() == "done\n"


def output(process: subprocess.Popen[str]) -> str:
    shown, _ = process.communicate(timeout=240)
    assert process.returncode == 0, shown
    return shown


def dvc(folder: Path, *words: str) -> str:
    return output(command(folder, "dvc", *words))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A git repository with the code and a toy suite of one backbone, committed."""
    folder = tmp_path_factory.mktemp("repository")
    for name in CODE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = start_project(folder)
    del settings["backbones"]["vit"]
    settings |= {
        "steps": STEPS,
        "growth_interval": 12,
        "checkpoint": {"steps": 3, "minutes": 60.0},
    }
    settings["ensembles"] = {}
    show_only(settings, DATASET, DATASET, "conv")
    leave_out(settings, "table3", "figure5", "table9", "table10")
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    for words in (
        ("git", "init", "--quiet"),
        ("git", "config", "user.email", "nobody@localhost"),
        ("git", "config", "user.name", "nobody"),
        ("git", "add", "-A"),
        ("git", "commit", "--quiet", "-m", "toy"),
    ):
        output(command(folder, *words))
    yield folder


def saved_steps(folder: Path, *, over: bool = False) -> list[int]:
    """Steps of the checkpoints of runs that are not over, or of those that are."""
    found = (folder / CHECKPOINTS).glob("*/step-*.safetensors")
    return sorted(int(path.stem[5:]) for path in found if (path.parent / "result.json").exists() == over)


def kill_when(process: subprocess.Popen[str], folder: Path, step: int) -> str:
    """SIGKILL to DVC and the stage once the checkpoint of a step is there; what they wrote."""
    wait_for(process, lambda: max(saved_steps(folder), default=0) >= step)
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def images_of(folder: Path) -> Any:
    return read_tensors(folder / IMAGES)[0]["images"]


def locked(text: str, stage: str) -> list[str]:
    """What dvc.lock says of a stage's outs."""
    return [out["md5"] for out in YAML(typ="safe").load(text)["stages"][stage]["outs"]]


def test_an_interrupted_repro_goes_on_and_experiments_keep_what_is_cached(repository: Path) -> None:
    # Killed in the middle of distillation.
    shown = kill_when(command(repository, "dvc", "repro", STAGE), repository, 6)
    assert f"Running stage 'features@{DATASET}-conv'" in shown
    kept = saved_steps(repository)[-1]
    shown = dvc(repository, "repro", STAGE)
    assert f"Stage 'features@{DATASET}-conv' didn't change, skipping" in shown
    assert f"step-{kept:09d}" in shown
    assert "are up to date" in dvc(repository, "repro", STAGE)
    images = images_of(repository)
    assert saved_steps(repository, over=True) == [STEPS]
    shutil.rmtree(repository / CHECKPOINTS)
    run_to_end(repository, "distill", DATASET, "conv", LGM_RANKS="1")
    assert images_of(repository).equal(images)
    output(command(repository, "git", "add", "-A"))
    output(command(repository, "git", "commit", "--quiet", "-m", "run"))
    before = {path: path.read_bytes() for path in (repository / "params.yaml", repository / "dvc.lock")}
    # An experiment in a temporary copy, killed and run again: the checkpoint lies in the project itself.
    temporary = ("exp", "run", "--temp", "-n", "copy", "-S", "learning_rate=0.02", STAGE)
    kill_when(command(repository, "dvc", *temporary), repository, 3)
    assert "going on from" in dvc(repository, *temporary)
    # Two queued experiments.
    for rate in ("0.03", "0.04"):
        dvc(
            repository, "exp", "run", "--queue", "-n", f"rate{rate[-1]}", "-S", f"learning_rate={rate}", STAGE
        )
    dvc(repository, "exp", "run", "--run-all")
    assert {path: path.read_bytes() for path in before} == before
    assert images_of(repository).equal(images)
    locks = [(repository / "dvc.lock").read_text(encoding="utf-8")]
    for name in ("copy", "rate3", "rate4"):
        found = output(
            command(repository, "git", "for-each-ref", "--format=%(refname)", "refs/exps/**/" + name)
        )
        assert found, f"experiment {name} is missing"
        locks.append(output(command(repository, "git", "show", f"{found.strip()}:dvc.lock")))
    features = [locked(text, f"features@{DATASET}-conv") for text in locks]
    assert all(one == features[0] for one in features)
    distilled = [locked(text, STAGE)[0] for text in locks]
    assert len(set(distilled)) == 4
    assert_only_what_is_probed_is_forgotten(repository)


def assert_only_what_is_probed_is_forgotten(folder: Path) -> None:
    """The project's own result, and three experiments', which are not probed."""
    assert saved_steps(folder) == []
    assert saved_steps(folder, over=True) == [STEPS] * 4
    dvc(folder, "repro", f"probe@{DATASET}-conv")
    assert saved_steps(folder, over=True) == [STEPS] * 3


def test_a_distillation_that_outlives_dvc_is_not_done_again(repository: Path) -> None:
    """SIGKILL to DVC alone: the stage ends by itself, and the next run deletes what it made."""
    write_rate(repository, 0.06)
    process = command(repository, "dvc", "repro", STAGE)
    wait_for(process, lambda: max(saved_steps(repository), default=0) >= 3)
    process.kill()
    process.communicate()  # ends with the stage, which writes to the same pipe
    assert_made_in_no_step(repository)


def test_a_distillation_that_ends_while_dvc_is_locked_is_not_done_again(repository: Path) -> None:
    """Another command has DVC's lock when the stage ends: DVC gives up, and later deletes what it made."""
    write_rate(repository, 0.07)
    process = command(repository, "dvc", "repro", STAGE)
    wait_for(process, lambda: max(saved_steps(repository), default=0) >= 3)
    with (repository / ".dvc" / "tmp" / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = process.communicate(timeout=240)[0]
    assert process.returncode != 0 and "lock" in said, said
    assert_made_in_no_step(repository)


def write_rate(folder: Path, rate: float) -> None:
    """Another learning rate in the project's params.yaml."""
    settings = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8")) | {"learning_rate": rate}
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def wait_for(process: subprocess.Popen[str], seen: Callable[[], bool]) -> None:
    """Until something is seen, while a process is at work."""
    while process.poll() is None and not seen():
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[0]


def assert_made_in_no_step(folder: Path) -> None:
    """The stage's next run goes on from its last step, and DVC then has the result."""
    shown = dvc(folder, "repro", STAGE)
    assert f"Running stage '{STAGE}'" in shown
    assert f"step-{STEPS:09d}" in shown
    assert "are up to date" in dvc(folder, "repro", STAGE)


def elsewhere(project: Path, scratch: Path) -> subprocess.Popen[str]:
    """The distillation as a job of a cluster has it made: in a clone below a scratch folder."""
    make = "import sys; from pathlib import Path; from stages.elsewhere import Elsewhere; "
    make += "Elsewhere(sys.argv[1], *map(Path, sys.argv[2:]))()"
    return command(project, sys.executable, "-c", make, STAGE, str(project), str(scratch))


def test_a_job_that_is_killed_and_goes_on_in_another_clone_makes_the_same_bytes(
    repository: Path, tmp_path: Path
) -> None:
    write_rate(repository, 0.08)
    dvc(repository, "repro", f"features@{DATASET}-conv")
    kill_when(elsewhere(repository, tmp_path / "first"), repository, 6)
    clone = tmp_path / "first" / STAGE
    assert clone.exists() and not (clone / CHECKPOINTS).exists()
    kept = saved_steps(repository)[-1]
    assert kept < STEPS
    shutil.rmtree(clone)
    shown = output(elsewhere(repository, tmp_path / "second"))
    assert "going on from" in shown and f"step-{kept:09d}" in shown
    assert "Running stage" not in dvc(repository, "repro", STAGE)  # the project takes it from the cache
    resumed = (repository / IMAGES).read_bytes()
    shutil.rmtree(repository / CHECKPOINTS)
    run_to_end(repository, "distill", DATASET, "conv", LGM_RANKS="1")
    assert (repository / IMAGES).read_bytes() == resumed
