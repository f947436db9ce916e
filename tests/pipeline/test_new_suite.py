"""`make suite` writes a suite of one's own: complete, valid, with plain names for any source."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dvc_graph import load

from lgm_core.foundation.errors import InputError
from lgm_core.reporting.figures import check_figures, shown_datasets
from lgm_core.reporting.tables import check_tables
from lgm_core.settings import checks
from lgm_core.settings.params import Params
from stages.advice import explained
from stages.own_suite import short_names
from stages.params import read_params
from stages.suite import main

ROOT = Path(__file__).resolve().parents[2]
ACTIVE = Path("params.yaml")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with one suite, which is active."""
    monkeypatch.chdir(tmp_path)
    Path("suites").mkdir()
    for path in (Path("suites/embedded.yaml"), ACTIVE):
        path.write_bytes((ROOT / "suites/embedded.yaml").read_bytes())


def written(name: str, data: str, backbones: str, size: str = "") -> Params:
    """The settings that a command writes, checked as the pipeline's first stage checks them."""
    main(name, data, backbones, size)
    assert ACTIVE.read_bytes() == Path(f"suites/{name}.yaml").read_bytes()
    params = read_params()
    check_tables(params)
    check_figures(params)
    return params


def test_one_folder_and_one_backbone_are_a_suite(capsys: pytest.CaptureFixture[str]) -> None:
    params = written("pets", "folder:photos/pets", "timm:convnext_tiny.fb_in22k")
    assert "suites/pets.yaml is written" in capsys.readouterr().out
    assert params.suite == "pets"
    assert {name: row.source for name, row in params.datasets.items()} == {"pets": "folder:photos/pets"}
    assert {name: row.source for name, row in params.backbones.items()} == {
        "convnext_tiny": "timm:convnext_tiny.fb_in22k"
    }
    assert params.tables["table2"].datasets == ("pets",)
    assert (params.method.input_size, params.method.resolution) == (224, 256)


def test_one_model_alone_may_take_as_long_as_all_together() -> None:
    settings = written("three", "digits", "efficientnet_lite0 efficientnet_lite1 efficientnet_lite2")
    longer = settings.variants.longer["as_long_as_all"]
    assert longer["steps"] == 3 * settings.method.steps
    assert longer["growth_interval"] == 3 * settings.method.growth_interval
    assert written("one", "digits", "efficientnet_lite0").variants.longer == {}


def test_pairs_of_models_are_compared_where_there_are_two() -> None:
    one = written("one", "digits", "efficientnet_lite0")
    two = written("two", "digits", "efficientnet_lite0 efficientnet_lite1")
    for shown, expected in ((one, ()), (two, ("digits",))):
        assert shown.tables["table6"].datasets == shown.tables["table7"].datasets == expected
        assert shown_datasets("alignment", shown) == expected


def test_two_data_sets_stand_side_by_side() -> None:
    params = written("both", "folder:cats toy:shapes", "clip", "32")
    assert params.tables["table1"].datasets == ("cats", "shapes")
    assert (params.method.input_size, params.method.resolution) == (32, 37)


def test_the_same_command_again_changes_nothing_and_another_one_is_refused() -> None:
    written("pets", "folder:pets", "clip")
    before = ACTIVE.read_bytes()
    written("pets", "folder:pets", "clip")
    assert ACTIVE.read_bytes() == before
    with pytest.raises(InputError, match=r"suites/pets.yaml is there already.*another NAME"):
        main("pets", "folder:pets", "clip dinov2")
    assert ACTIVE.read_bytes() == before


def test_hand_edits_are_not_lost() -> None:
    edited = ACTIVE.read_text(encoding="utf-8").replace("aug_rounds: 4", "aug_rounds: 5")
    ACTIVE.write_text(edited, encoding="utf-8")
    with pytest.raises(InputError, match="edits that switching would lose"):
        main("pets", "folder:pets", "clip")
    assert ACTIVE.read_text(encoding="utf-8") == edited
    assert not Path("suites/pets.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pets", "folder:pets", ""), r"1 data sets and 0 backbones were given.*BACKBONES="),
        (("pets", "", "clip"), r"0 data sets and 1 backbones were given.*DATA="),
        (("pets", "a:b c:d e:f", "clip"), r"3 data sets .* needs one or two"),
        (("my pets", "digits", "clip"), r"suite is 'my pets'; allowed: a name"),
        (("../pets", "digits", "clip"), r"suite is '../pets'; allowed: a name"),
        (("code", "digits", "clip"), r"suite is 'code'; allowed: a name other than code"),
        (("embedded", "digits", "clip"), r"embedded.yaml is there already"),
        (("pets", "digits", "clip", "7"), r"size is '7'; allowed: a whole number of pixels from 8 to 3500"),
        (("pets", "digits", "clip", "3501"), r"size is '3501'"),
        (("pets", "digits", "clip", "big"), r"size is 'big'"),
    ],
)
def test_what_cannot_be_a_suite_is_told_and_nothing_is_written(
    arguments: tuple[str, ...], message: str
) -> None:
    before = ACTIVE.read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        main(*arguments)
    assert explained(caught.value)
    assert ACTIVE.read_bytes() == before
    assert [path.name for path in Path("suites").iterdir()] == ["embedded.yaml"]


@pytest.mark.parametrize("size", ["8", "224", "3500"])
def test_any_size_that_is_allowed_is_valid(size: str) -> None:
    assert written("pets", "digits", "clip", size).method.input_size == int(size)


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["folder:pets"], ["pets"]),
        (["folder:/data/my-pets/"], ["my_pets"]),
        (["toy:shapes", "digits"], ["shapes", "digits"]),
        (["hfds/someone/beans"], ["beans"]),
        (["open_clip:ViT-B-16/openai"], ["openai"]),
        (["folder:a/pets", "folder:b/pets", "folder:c/pets"], ["pets", "pets_2", "pets_3"]),
        (["folder:pets", "folder:pets"], ["pets"]),
        (["folder:2024", "folder:true", "folder:tables"], ["_2024", "_true", "_tables"]),
        (["folder:…"], ["unnamed"]),
    ],
)
def test_a_source_has_a_short_name(sources: list[str], names: list[str]) -> None:
    found = short_names(sources)
    assert list(found) == names
    assert list(found.values()) == list(dict.fromkeys(sources))


@pytest.mark.parametrize(
    "source",
    ["folder:2024", "folder:yes", "folder:null", "folder:none", "folder:a#b", "folder:ü/€", "folder:1e5"],
)
def test_any_folder_can_be_a_data_set(source: str) -> None:
    params = written("pets", source, "clip")
    assert [row.source for row in params.datasets.values()] == [source]


@pytest.mark.parametrize("source", ["timm:full", "timm:average", "timm:none", "timm:local-dir:weights/own"])
def test_any_model_can_be_a_backbone(source: str) -> None:
    params = written("pets", "digits", source)
    assert [row.source for row in params.backbones.values()] == [source]


def test_the_file_reads_the_same_with_every_yaml_reader() -> None:
    written("pets", "folder:yes folder:2024", "timm:on timm:1e5")
    text = ACTIVE.read_text(encoding="utf-8")
    assert repr(yaml.safe_load(text)) == repr(load(ACTIVE))


def test_a_long_source_has_a_short_name_that_is_accepted() -> None:
    found = short_names([f"folder:{'x' * 200}", f"folder:a/{'x' * 200}"])
    assert len(found) == 2
    assert [checks.name(name, "datasets") for name in found] == list(found)
