"""Switching suites replaces params.yaml whole, and never at the cost of a hand edit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lgm_core.foundation.errors import InputError
from stages.suite import edits, main

ROOT = Path(__file__).resolve().parents[2]
ACTIVE = Path("params.yaml")


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's suites and one more, `tiny`; the embedded one is active."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "suites", "suites")
    embedded = text("embedded")
    Path("suites/tiny.yaml").write_text(
        embedded.replace("suite: embedded", "suite: tiny").replace("steps: 300", "steps: 3"), encoding="utf-8"
    )
    shutil.copy("suites/embedded.yaml", ACTIVE)


def text(name: str) -> str:
    return Path(f"suites/{name}.yaml").read_text(encoding="utf-8")


def active() -> str:
    return ACTIVE.read_text(encoding="utf-8")


def test_switching_there_and_back_copies_the_suite_byte_by_byte(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("tiny", "embedded", "embedded", "tiny"):
        main(name)
        assert ACTIVE.read_bytes() == Path(f"suites/{name}.yaml").read_bytes()
        assert f"active suite is {name}" in capsys.readouterr().out


def test_switching_without_an_active_suite_just_copies() -> None:
    ACTIVE.unlink()
    main("tiny")
    assert active() == text("tiny")


@pytest.mark.parametrize("target", ["tiny", "embedded"])
def test_a_hand_edit_is_kept_and_shown(target: str) -> None:
    edited = text("embedded").replace("aug_rounds: 4", "aug_rounds: 5")
    ACTIVE.write_text(edited, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        main(target)
    assert active() == edited
    message = str(caught.value)
    assert "--- suites/embedded.yaml\n+++ params.yaml\n" in message
    assert "\n-aug_rounds: 4\n+aug_rounds: 5\n" in message
    assert "cp params.yaml suites/mine.yaml" in message
    assert "rm params.yaml" in message


def test_the_difference_is_to_the_nearest_suite() -> None:
    edited = text("tiny").replace("aug_rounds: 4", "aug_rounds: 5")
    difference = edits(edited, {"embedded": text("embedded"), "tiny": text("tiny")})
    assert difference.startswith("--- suites/tiny.yaml\n")
    assert [line for line in difference.splitlines()[2:] if line[0] in "+-"] == [
        "-aug_rounds: 4",
        "+aug_rounds: 5",
    ]


def test_even_a_comment_or_white_space_counts_as_an_edit() -> None:
    for edited in (text("embedded") + "# mine\n", text("embedded").rstrip("\n")):
        ACTIVE.write_text(edited, encoding="utf-8")
        with pytest.raises(InputError, match="edits that switching would lose"):
            main("tiny")
        assert active() == edited


def test_what_the_message_advises_works() -> None:
    edited = text("embedded").replace("seed: 0", "seed: 7", 1)
    ACTIVE.write_text(edited, encoding="utf-8")
    shutil.copy(ACTIVE, "suites/mine.yaml")
    main("tiny")
    assert active() == text("tiny")
    main("mine")
    assert active() == edited


def test_an_unknown_suite_lists_the_known_ones_and_changes_nothing() -> None:
    before = active()
    with pytest.raises(InputError, match=r"'papr'.*embedded.*tiny"):
        main("papr")
    assert active() == before


def test_without_a_name_the_message_says_what_to_type() -> None:
    with pytest.raises(InputError, match="make suite NAME=pets DATA=folder:<path> BACKBONES="):
        main("")


def test_no_suite_lies_outside_its_folder() -> None:
    Path("secret.yaml").write_text("suite: secret\n", encoding="utf-8")
    with pytest.raises(InputError, match="no suite"):
        main("../secret")


def test_settings_without_any_suite_beside_them_are_not_overwritten() -> None:
    shutil.rmtree("suites")
    before = active()
    with pytest.raises(InputError, match=r"params\.yaml has edits that switching would lose"):
        main("pets", "folder:~nosuchuser/x", "efficientnet_lite0")
    assert active() == before
