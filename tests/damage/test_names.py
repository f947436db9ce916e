"""Names of params.yaml: none reaches a shell or becomes a path before it is checked, and none is too long."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dvc_graph import SUITES, address, load
from processes import ROOT
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout
from lgm_core.settings import checks
from lgm_core.settings.params import VariantSettings, parse_params
from stages.params import checkpoint_folder

pytestmark = pytest.mark.slow

COMMAND = "touch RUN"
NAMES = [
    f"x;{COMMAND};",
    f"$({COMMAND})",
    f"`{COMMAND}`",
    f"x\n{COMMAND}\n",
    f"';{COMMAND};'",
    f"x|{COMMAND}",
]
CODE = ("lgm_core", "stages", "dvc.yaml", ".dvc/config", "Makefile", "suites")
EMBEDDED = next(path for path in SUITES if path.stem == "embedded")


def _renamed(settings: dict[str, Any], place: str, name: str) -> None:
    """Give something of the settings another name, wherever it is used."""
    if place == "suite":
        settings["suite"] = name
    elif place.startswith("variants."):
        settings["variants"][place.partition(".")[2]][name] = {"aug_rounds": 2}
    elif place == "table3":
        settings["tables"]["table3"]["dataset"] = name
    elif place == "own_tables":
        settings["own_tables"][name] = {"kind": "table2", "left": "shapes", "right": "digits"}
    else:
        settings[place][name] = next(iter(settings[place].values()))


PLACES = [
    "suite", "datasets", "backbones", "figure_backbones", "ensembles", "own_tables", "table3",
    *(f"variants.{group}" for group in VariantSettings.__dataclass_fields__),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_with_a_command_in_it_is_refused(place: str, name: str) -> None:
    settings = load(EMBEDDED)
    settings["figure_backbones"] = {"x": "timm:resnet18"}
    settings["own_tables"] = {}
    _renamed(settings, place, name)
    with pytest.raises(InputError):
        parse_params(settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The pipeline with a params file whose every name is a command."""
    for name in CODE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    settings = load(EMBEDDED)
    settings["own_tables"] = {}
    for number, place in enumerate(PLACES):
        if place not in {"suite", "table3", "figure_backbones"}:
            _renamed(settings, place, NAMES[number % len(NAMES)])
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(settings, file)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "-m dvc repro", "-m dvc repro --keep-going", "-m dvc repro --force report", "-m dvc repro inputs",
        "-m stages.side_by_side --jobs 2", "-m stages.submit --cluster local", "-m stages.check",
    ],
)  # fmt: skip
def test_a_name_with_a_command_in_it_runs_nothing(project: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command.split()], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "allowed: a name of letters, digits" in done.stdout + done.stderr
    assert list(project.rglob("RUN")) == []


def test_the_longest_names_make_file_names_that_a_file_system_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    longest = "x" * checks._LONGEST_NAME
    assert checks.name(longest, "key") == longest
    variant = f"objectives/{longest}"
    (cell,) = Layout(Path(), longest).replicates(1, longest, longest, variant)
    lock = quote(f"distill_ipc {longest} {longest} {variant}", safe=" ")
    stage = address("distill_objectives", {"item": dict(zip("abc", [longest] * 3, strict=True))})
    temporary = f".tmp.{'h' * 64}.4194304.tmp"
    names = [
        f"{lock}.owner", f"{quote(stage, safe='@')}.log", f"{checkpoint_folder(cell).name}-1000",
        f".{cell.distilled.name}{temporary}", f".{cell.probe.name}{temporary}",
    ]  # fmt: skip
    assert [name for name in names if len(name) > 255] == []
