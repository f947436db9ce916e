"""Before hours are spent: `stages.check` reports everything, `stages.inputs` says what to type."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline.whole_runs import leave_out, show_only
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import read_json
from lgm_core.preflight import inputs
from stages import inputs as stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The paper's suite as the current folder, without data, without weights, without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LGM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LGM_DEVICE", "cpu")
    monkeypatch.delenv("LGM_INPUTS", raising=False)
    monkeypatch.setattr(inputs, "hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
    shutil.copy(ROOT / "suites/paper.yaml", tmp_path / "params.yaml")
    return tmp_path


def test_what_is_missing_comes_with_what_to_type(paper: Path) -> None:
    with pytest.raises(InputError, match="6 of 6 inputs of suite paper are missing") as caught:
        stage.main("imagenet100")
    for told in ("LGM_INPUTS=own goes on with imagenet100 alone", "LGM_DATA", "make check", str(paper)):
        assert told in str(caught.value)
    assert not (paper / "results").exists()


def test_a_data_set_alone_is_not_told_to_go_on_alone(paper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as caught:
        stage.main("fruits")
    assert "LGM_INPUTS" not in str(caught.value)
    monkeypatch.setenv("LGM_INPUTS", "own")
    with pytest.raises(InputError) as caught:
        stage.main("imagenet100")
    assert "ImageNet-1k" not in str(caught.value)
    assert "LGM_INPUTS" not in str(caught.value)


def test_what_is_found_is_noted_with_the_data_sets_own_overrides(
    paper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for look in ("require_inputs", "check_counts"):
        monkeypatch.setattr(stage, look, lambda *arguments, **settings: None)
    for dataset in ("imagenet1k", "cub"):
        stage.main(dataset)
        assert read_json(paper / f"results/paper/{dataset}/inputs.json") == {"found": dataset}
    assert read_json(paper / "results/paper/imagenet1k/overrides.json") == {"aug_rounds": 3}
    assert read_json(paper / "results/paper/cub/overrides.json") == {}


@pytest.mark.slow
def test_the_check_reports_and_fails_where_something_is_missing(tmp_path: Path) -> None:
    settings = YAML(typ="safe").load((ROOT / "suites/embedded.yaml").read_text(encoding="utf-8"))
    settings["datasets"] = {"shapes": "toy:shapes", "digits": "cub"}
    settings["backbones"] = {"lite0": "efficientnet_lite0"}
    show_only(settings, "shapes", "digits", "lite0")
    leave_out(settings, "table9")
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as out:
        YAML().dump(settings, out)
    environment = {
        "PYTHONPATH": str(ROOT),
        "LGM_DEVICE": "cpu",
        "PATH": "/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "stages.check"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "2,000 training and 1,000 test images in 10 classes" in done.stdout
    assert "MISSING   Data set cub" in done.stdout
    assert "images/s with gradient" in done.stdout
    assert "1 of 3 are missing: digits." in done.stdout
