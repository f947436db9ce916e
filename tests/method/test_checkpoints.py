"""The newest intact checkpoint of a run is found, and never one of another run or one with code in it."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lgm_core.foundation import store
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.finished import forget
from lgm_core.foundation.store import write_tensors
from lgm_core.method import identity
from lgm_core.method.identity import differences, distilling_code
from lgm_core.method.resuming import Checkpoints, pack, unpack

FACTS = {"seed": 1, "method": {"steps": 10, "crop_scale": (0.5, 1.0)}}
STATE = {"step": 3, "levels": [torch.arange(6.0).reshape(2, 3)], "rate": 0.1, "done": None}

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
KEYS = st.integers() | st.text()
NESTED = st.recursive(
    PLAIN,
    lambda parts: st.lists(parts) | st.dictionaries(KEYS, parts) | st.lists(parts).map(tuple),
    max_leaves=20,
)


@given(NESTED)
def test_plain_values_survive_packing_with_their_types(value: Any) -> None:
    tensors: dict[str, torch.Tensor] = {}
    found = unpack(pack(value, tensors), tensors)
    assert repr(found) == repr(value)
    assert not tensors


def test_tensors_are_moved_out_and_put_back() -> None:
    tensors: dict[str, torch.Tensor] = {}
    value = {0: {"exp_avg": torch.ones(2), "step": torch.tensor(3.0)}, "betas": (0.9, 0.999)}
    found = unpack(pack(value, tensors), tensors)
    assert len(tensors) == 2
    assert torch.equal(found[0]["exp_avg"], torch.ones(2))
    assert found["betas"] == (0.9, 0.999)


def test_what_would_need_code_to_load_is_not_stored() -> None:
    with pytest.raises(TypeError, match="Path"):
        pack({"file": Path()}, {})


def equal(found: Any, expected: Any) -> bool:
    return repr(found) == repr(expected)


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder / "cell", FACTS)
    for step in steps:
        checkpoints.save(step, {**STATE, "step": step})
    return checkpoints


def files(checkpoints: Checkpoints) -> list[Path]:
    return sorted(checkpoints.folder.glob("step-*"))


def test_the_newest_two_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 2, 9, 10, 200)
    assert [path.name for path in files(checkpoints)] == [
        "step-000000010.safetensors",
        "step-000000200.safetensors",
    ]
    assert equal(saved(tmp_path).load(), {**STATE, "step": 200})


def test_nothing_is_loaded_before_anything_was_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert saved(tmp_path).load() is None
    assert caplog.text == ""


def test_success_removes_the_checkpoints_of_this_run_alone(tmp_path: Path) -> None:
    other = Checkpoints(tmp_path / "cell", {**FACTS, "seed": 2})
    other.save(4, STATE)
    checkpoints = saved(tmp_path, 1, 2)
    checkpoints.clear()
    checkpoints.clear()
    assert not checkpoints.folder.exists()
    assert other.load() is not None


def test_of_a_run_that_is_over_the_last_checkpoint_stays_until_its_result_is_safe(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images = torch.rand(2, 3, 4, 4)
    checkpoints = saved(tmp_path, 1, 2)
    checkpoints.finish(images)
    assert [path.name for path in checkpoints.folder.glob("step-*")] == ["step-000000002.safetensors"]
    forget(checkpoints.cell, images + 1)
    assert equal(saved(tmp_path).load(), {**STATE, "step": 2})
    unfinished = Checkpoints(checkpoints.cell, {**FACTS, "seed": 2})
    unfinished.save(4, STATE)
    caplog.clear()
    assert Checkpoints(checkpoints.cell, {**FACTS, "seed": 3}).load() is None
    assert str(unfinished.folder) in caplog.text and str(checkpoints.folder) not in caplog.text
    forget(checkpoints.cell, images)
    forget(checkpoints.cell, images)
    assert not checkpoints.folder.exists()
    assert unfinished.load() is not None


def test_a_note_of_a_result_that_is_damaged_keeps_its_checkpoint(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 1)
    checkpoints.finish(torch.zeros(1))
    (checkpoints.folder / "result.json").write_text("{")
    forget(checkpoints.cell, torch.zeros(1))
    assert checkpoints.load() is not None


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, ("exploded", "w"))


def _pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Bomb()))


def _unsigned(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"000000": torch.zeros(1)}, path)


DAMAGES = [_flip, _halve, _empty, _lengthen, _pickle, _unsigned]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = saved(tmp_path, 5, 6)
    damage(files(checkpoints)[-1])
    assert equal(checkpoints.load(), {**STATE, "step": 5})
    assert "step-000000006.safetensors is damaged" in caplog.text
    assert "going on from" in caplog.text
    assert not Path("exploded").exists()


def test_without_an_intact_checkpoint_the_run_starts_over_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = saved(tmp_path, 5, 6)
    for path in files(checkpoints):
        _flip(path)
    assert checkpoints.load() is None
    assert caplog.text.count("is damaged") == 2
    assert "starting from the first step" in caplog.text


def test_a_leftover_of_a_killed_write_is_not_read_and_is_removed(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, 5)
    path = files(checkpoints)[0]
    host = store._temporary(path).name.rsplit(".", 3)[1]
    half = checkpoints.folder / f".step-000000006.safetensors.tmp.{host}.4194999.tmp"
    half.write_bytes(path.read_bytes()[:-20])
    assert equal(checkpoints.load(), {**STATE, "step": 5})
    checkpoints.save(6, STATE)
    assert not half.exists()


CHANGES = [
    ({"seed": 2}, "seed: 1 there, 2 here"),
    ({"method": {"steps": 20, "crop_scale": (0.5, 1.0)}}, "method.steps: 10 there, 20 here"),
    ({"method": {"steps": 10, "crop_scale": (0.4, 1.0)}}, "method.crop_scale: [0.5, 1.0] there, [0.4, 1.0]"),
    ({"features": "ab"}, "features: absent there, ab here"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_checkpoint_of_other_settings_is_passed_over_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], words: str
) -> None:
    old = saved(tmp_path, 5)
    assert Checkpoints(tmp_path / "cell", {**FACTS, **change}).load() is None
    assert words in caplog.text
    assert str(old.folder) in caplog.text
    assert equal(old.load(), {**STATE, "step": 5})


def test_a_checkpoint_of_another_format_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 5)
    monkeypatch.setattr("lgm_core.method.resuming._FORMAT", 3)
    assert saved(tmp_path).load() is None
    assert "format: 2 there, 3 here" in caplog.text


def test_a_checkpoint_moved_from_another_run_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = saved(tmp_path, 5)
    other = Checkpoints(tmp_path / "cell", {**FACTS, "seed": 2})
    other.save(9, STATE)
    files(other)[0].replace(checkpoints.folder / "step-000000009.safetensors")
    assert equal(checkpoints.load(), {**STATE, "step": 5})
    assert other.folder.name in caplog.text


def test_many_differences_are_counted_and_unreadable_facts_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = saved(tmp_path, 5)
    (old.folder / "facts.json").write_text("{")
    assert Checkpoints(tmp_path / "cell", {"seed": 3}).load() is None
    assert "cannot be read" in caplog.text
    caplog.clear()
    (old.folder / "facts.json").write_text('{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}')
    assert Checkpoints(tmp_path / "cell", {"seed": 3}).load() is None
    assert "and 3 more" in caplog.text


def test_differences_name_every_key_once() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}) == ["a.c: 2 there, absent here"]
    assert differences({"a": 1}, {"a": 1}) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_state_that_is_not_finite_is_not_saved_and_the_last_good_one_is_kept(
    tmp_path: Path, bad: float
) -> None:
    checkpoints = saved(tmp_path, 5)
    with pytest.raises(InputError, match=r"not finite after step 6.*learning_rate"):
        checkpoints.save(6, {"levels": [torch.tensor([1.0, bad])]})
    assert equal(checkpoints.load(), {**STATE, "step": 5})


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that the distiller of a small library imports, in place of this one."""
    folder = tmp_path / "lgm_core" / "method"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "distiller.py").write_text("from lgm_core.method import part\n", encoding="utf-8")
    (folder / "part.py").write_text("STEPS = 3\n", encoding="utf-8")
    monkeypatch.setattr(identity, "__file__", str(folder / "identity.py"))
    return folder / "part.py"


def test_another_module_beside_it_is_not_part_of_a_run(library: Path) -> None:
    before = distilling_code()
    library.with_name("other.py").write_text("STEPS = 3\n", encoding="utf-8")
    assert distilling_code() == before


def test_code_is_part_of_what_a_run_is(library: Path) -> None:
    before = distilling_code()
    assert distilling_code() == before
    library.write_text(library.read_text(encoding="utf-8").replace("3", "4"), encoding="utf-8")
    assert distilling_code() != before


def test_words_about_code_are_not(library: Path) -> None:
    before = distilling_code()
    library.write_text('"""Told better."""\n\nSTEPS  =  3  # three\n', encoding="utf-8")
    assert distilling_code() == before


def test_a_checkpoint_with_foreign_metadata_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = saved(tmp_path, 5)
    write_tensors(checkpoints.folder / "step-000000008.safetensors", {"a": torch.zeros(1)}, {"x": 1})
    with caplog.at_level(logging.WARNING):
        assert equal(checkpoints.load(), {**STATE, "step": 5})
    assert "belongs to the run None" in caplog.text
