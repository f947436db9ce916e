"""The params file is read as DVC reads it, checked, and says where results lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dvc_graph import SUITES, load
from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import Layout
from stages.advice import explained
from stages.params import check_cell, checkpoint_folder, read_layout, read_params

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "suites" / "embedded.yaml"
FILES = [ROOT / "params.yaml", *SUITES]


def test_params_are_read_as_yaml_1_2(tmp_path: Path) -> None:
    text = EMBEDDED.read_text(encoding="utf-8")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("learning_rate: 0.05", "learning_rate: 5e-2"), encoding="utf-8")
    assert read_params(path) == read_params(EMBEDDED)
    path.write_text(text.replace("include_bias: true", "include_bias: yes"), encoding="utf-8")
    with pytest.raises(InputError, match="include_bias is 'yes'"):
        read_params(path)


def test_params_of_the_current_folder_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"params.yaml is missing.*make suite"):
        read_params()
    (tmp_path / "params.yaml").write_bytes(EMBEDDED.read_bytes())
    assert read_params().suite == "embedded"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"suite: [a", "not valid YAML"),
        (b"suite: a\nsuite: b\n", "not valid YAML"),
        (b"suite: \xff\xfe\n", "not valid YAML"),
        (b"", "a mapping of settings"),
        (b"- a\n", "a mapping of settings"),
        (b"suite: a\n", "missing key"),
        (b"!!python/object/apply:os.getcwd []\n", "params.yaml"),
    ],
    ids=["open", "twice", "bytes", "empty", "list", "incomplete", "code"],
)
def test_a_broken_file_is_an_input_error(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_params(path)
    message = explained(caught.value)
    assert words in message
    assert "params.yaml" in message


def test_layout_lies_below_the_current_folder() -> None:
    params = read_params(EMBEDDED)
    assert read_layout(params) == Layout(Path(), "embedded", ensembles=frozenset(params.ensembles))


def test_a_layout_knows_whose_stages_have_names_of_their_own() -> None:
    params = read_params(ROOT / "suites" / "paper.yaml")
    assert params.figure_backbones
    assert read_layout(params).shown_alone == frozenset(params.figure_backbones)


def test_a_cell_of_the_command_line_is_one_of_the_files_or_the_known_ones_are_listed() -> None:
    params = read_params(EMBEDDED)
    check_cell(params, "digits")
    check_cell(params, "digits", "lite1")
    with pytest.raises(InputError, match=r"'digit' is not among datasets in params.yaml.*shapes, digits"):
        check_cell(params, "digit", "lite1")
    with pytest.raises(InputError, match=r"'lite9' is not among backbones.*lite0, lite1"):
        check_cell(params, "digits", "lite9")


def test_checkpoints_lie_in_the_project_itself_where_dvc_runs_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(Path(), "toy")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert checkpoint_folder(layout.cell("cats", "vit")) == Path(".lgm/checkpoints/toy/cats-vit")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folders = {
        checkpoint_folder(layout.cell("cats", "vit", variant)) for variant in ("", "ablation/x", "rounds/x")
    }
    below = tmp_path / ".lgm" / "checkpoints" / "toy"
    assert folders == {below / "cats-vit", below / "cats-vit-ablation-x", below / "cats-vit-rounds-x"}


# The files that come with the project


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.stem)
def test_every_suite_is_read_and_named_by_its_file(suite: Path) -> None:
    assert read_params(suite).suite == suite.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_params_are_in_dvcs_canonical_form(path: Path, tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    rewritten = tmp_path / "params.yaml"
    rewritten.write_bytes(path.read_bytes())
    apply_overrides(rewritten, [])
    assert rewritten.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_params_read_the_same_with_every_yaml_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert repr(yaml.safe_load(text)) == repr(YAML(typ="safe", pure=True).load(text)) == repr(load(path))


def test_the_active_suite_is_the_embedded_one() -> None:
    active = ROOT / "params.yaml"
    assert active.read_text(encoding="utf-8") == EMBEDDED.read_text(encoding="utf-8")
