"""A file belongs to one cell and was made from certain others; whatever says otherwise is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lgm_core.distilled import DistilledSet, sets_behind
from lgm_core.foundation.belonging import (
    INPUTS,
    address,
    check_made_from,
    check_of,
    content_of,
    named,
    read_of,
)
from lgm_core.foundation.errors import DamagedFileError, MissingFileError, StaleFileError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import read_json, stored_checksum, write_json, write_tensors

LAYOUT = Layout(Path("project"), "mine", ensembles=frozenset({"all"}))
CELL = LAYOUT.cell("pets", "vit", "rounds/one")


def test_a_file_of_the_cell_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", named(CELL) | {"value": 1})
    assert read_of(tmp_path / "a.json", CELL)["value"] == 1


@pytest.mark.parametrize("key", ["dataset", "source", "variant"])
def test_every_name_has_to_be_there_and_right(key: str) -> None:
    said = named(CELL)
    with pytest.raises(StaleFileError, match=f"is of {key} 'x', and is read as that of"):
        check_of(Path("a"), said | {key: "x"}, CELL)
    del said[key]
    with pytest.raises(StaleFileError, match=f"does not say of which {key} it is"):
        check_of(Path("a"), said, CELL)


def test_what_says_no_replicate_is_of_the_first() -> None:
    again = replace(CELL, replicate=2)
    check_of(Path("a"), named(again) | {"replicate": 2}, again)
    with pytest.raises(StaleFileError, match="replicate"):
        check_of(Path("a"), named(again), again)
    with pytest.raises(StaleFileError, match="is of replicate 2"):
        check_of(Path("a"), named(CELL) | {"replicate": 2}, CELL)


def test_addresses_are_the_same_wherever_the_project_lies() -> None:
    assert address(CELL, CELL.distilled) == "pets/rounds/distilled/vit/one"
    assert address(CELL, CELL.features) == "pets/features/vit"
    together = LAYOUT.cell("pets", "all")
    assert (
        address(together, replace(together, replicate=1).distilled) == "pets/ensembles/distilled/all/again/1"
    )


@pytest.mark.parametrize("made", [{}, {INPUTS: None}, {INPUTS: {}}, {INPUTS: {"a": "old", "b": "y"}}])
def test_what_was_made_from_something_else_or_does_not_say_is_refused(made: dict[str, Any]) -> None:
    with pytest.raises(StaleFileError, match="was not made from a as it is now"):
        check_made_from(Path("x"), made, {"a": "new", "b": "y"})


def test_what_was_made_from_more_than_is_asked_for_is_right() -> None:
    check_made_from(Path("x"), {INPUTS: {"a": "1", "b": "2"}}, {"a": "1"})


def test_a_content_is_told_by_values_and_facts_and_not_by_the_folder(tmp_path: Path) -> None:
    def made(folder: str, value: float, fact: str = "same") -> str:
        write_tensors(tmp_path / folder / "t.safetensors", {"t": torch.tensor([value])}, {"fact": fact})
        return content_of([tmp_path / folder / "t.safetensors"])

    assert made("a", 1.0) == made("b", 1.0)
    assert len({made("a", 1.0), made("a", 2.0), made("a", 1.0, "other")}) == 3


def test_a_distilled_set_says_what_its_content_is(tmp_path: Path) -> None:
    """What was made from it says the same."""
    cell, contents = Layout(tmp_path, "mine").cell("pets", "vit"), []
    for shade in (0.2, 0.2, 0.3):
        DistilledSet(torch.full((2, 3, 4, 4), shade), torch.arange(2), ("cat", "dog")).save(cell.distilled)
        contents.append(read_json(cell.distilled / "settings.json")["content"])
        assert sets_behind(cell) == {"pets/distilled/vit": contents[-1]}
    assert contents[0] == contents[1] != contents[2]


def test_a_checksum_that_is_not_there_is_damage(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "t.safetensors"
    with pytest.raises(MissingFileError):
        stored_checksum(path)
    for metadata in (None, {"lgm": "{}"}, {"other": "x"}):
        save_file({"t": torch.zeros(1)}, path, metadata=metadata)
        with pytest.raises(DamagedFileError):
            stored_checksum(path)
    path.write_bytes(b"nothing")
    with pytest.raises(DamagedFileError):
        stored_checksum(path)
