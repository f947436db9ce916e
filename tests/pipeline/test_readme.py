"""What the README shows works as shown."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.datasets import ImageFolder
from toy_project import write_dataset

import lgm_core as lgm

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker: str) -> str:
    """The code between two comments of the README."""
    found = re.search(rf"<!-- {marker} -->\n```\w+\n(.*?)```\n<!-- /{marker} -->", README, re.DOTALL)
    assert found, f"the README has no {marker}"
    return found[1]


def photos(count: int) -> TensorDataset:
    """Noisy images of three colours, 40 pixels wide, in a torch data set."""
    generator = torch.Generator().manual_seed(count)
    labels = torch.arange(3).repeat(count)
    images = torch.eye(3)[labels][:, :, None, None].expand(-1, -1, 40, 40)
    return TensorDataset(images * 0.6 + 0.2 * torch.rand(images.shape, generator=generator), labels)


def test_the_library_in_fifteen_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("library")
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 15
    # The same lines, for less than the paper's hours.
    little = {
        'device="cuda"': 'device="cpu"',
        "steps=1000": "steps=20, aug_rounds=2, growth_interval=2, learning_rate=0.05, resolution=36, "
        "input_size=32",
        "input_size=224": "input_size=32",
        "ProbeSettings.paper()": "ProbeSettings.paper(epochs=30, seeds=2, view_rounds=5)",
    }
    for shown, used in little.items():
        assert shown in code
        code = code.replace(shown, used)
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    exec(
        compile(code, "README.md", "exec"),
        {
            "module": module,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.3, 0.3, 0.3),
            "train_data": photos(6),
            "test_data": photos(4),
        },
    )
    shown = re.fullmatch(r"([\d.]+) % from 3 images", capsys.readouterr().out.strip())
    assert shown
    assert float(shown[1]) > 60
    assert ImageFolder("distilled/images").classes == ["0", "1", "2"]


def test_a_released_set_on_a_model_of_ones_own_takes_four_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test images are the set's own, in the other order: a probe that matches names finds them."""
    code = block("stranger")
    assert len(code.strip().splitlines()) == 4
    monkeypatch.chdir(ROOT)
    found = lgm.load_distilled("releases/imagenette/all")
    test_data = TensorDataset(found.images.flip(0), torch.arange(len(found.classes)))
    test_data.classes = found.classes[::-1]  # pyright: ignore[reportAttributeAccessIssue]
    module = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())
    short = "ProbeSettings.paper(epochs=300, seeds=2, view_rounds=20, learning_rate=0.1)"
    code = code.replace("ProbeSettings.paper()", short)
    given = {"lgm": lgm, "module": module, "mean": (0.5,) * 3, "std": (0.3,) * 3, "test_data": test_data}
    exec(compile(code, "README.md", "exec"), given)
    assert min(ast.literal_eval(capsys.readouterr().out)) >= 90


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ones_own_folder_and_backbone_take_two_commands(tmp_path: Path) -> None:
    """As the README has them, but for smaller images and less of it; nothing is edited between the two."""
    suite, table = block("own").strip().splitlines()
    arguments = dict(word.split("=", 1) for word in shlex.split(suite)[2:])
    assert suite.startswith("make suite ")
    assert set(arguments) == {"NAME", "DATA", "BACKBONES"}
    for part in ("lgm_core", "stages", "suites"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / part, tmp_path)
    template = tmp_path / "stages" / "own_suite.yaml"
    text = template.read_text(encoding="utf-8")
    for usual, little in {
        "steps: 300": "steps: 6",
        "epochs: 1000": "epochs: 5",
        "aug_rounds: 4": "aug_rounds: 1",
    }.items():
        assert usual in text
        text = text.replace(usual, little, 1)
    template.write_text(text, encoding="utf-8")
    write_dataset(tmp_path / "data" / "pets")
    timm.models.save_for_hf(timm.create_model("test_vit", num_classes=4), tmp_path / "weights/own")
    own = arguments["BACKBONES"].replace("timm:convnext_tiny.fb_in22k", "timm:local-dir:weights/own")
    assert own != arguments["BACKBONES"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LGM_DEVICE": "cpu", "LGM_WORKERS": "0"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("dvc", "init", "--no-scm")
    run(sys.executable, "-m", "stages.suite", arguments["NAME"], arguments["DATA"], own, "32")
    shown = run(*shlex.split(table))
    assert "| own |" in shown
    assert "| efficientnet_lite0 |" in shown
    assert (tmp_path / "metrics/pets/table2.json").is_file()
    assert "table3 is left out" in run("dvc", "repro", "tables/table3")
