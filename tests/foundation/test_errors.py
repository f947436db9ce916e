"""A message says what was given and what is allowed, in one sentence and in bounds; it carries its facts."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lgm_core.foundation.errors import (
    DamagedFileError,
    FileError,
    InputError,
    KeyFaultError,
    MissingFileError,
    SettingError,
    StaleFileError,
)

LIBRARY = Path(__file__).resolve().parents[2] / "lgm_core"
PATH = Path("results/small/cats/probe/vit.json")


def test_a_setting_is_named_with_its_value_and_what_is_allowed() -> None:
    error = SettingError("augment.noise_std", -1, "a number from 0")
    assert str(error) == "augment.noise_std is -1; allowed: a number from 0."
    assert (error.key, error.given, error.allowed) == ("augment.noise_std", -1, "a number from 0")


@pytest.mark.parametrize(
    ("given", "shown"),
    [("5", "'5'"), (None, "None"), (True, "True"), ([0.5, 0.1], "[0.5, 0.1]"), ({"a": 1}, "{'a': 1}")],
)
def test_a_value_is_shown_as_it_was_given(given: object, shown: str) -> None:
    assert str(SettingError("key", given, "x")) == f"key is {shown}; allowed: x."


def _nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value] * 8
    return value


@pytest.mark.parametrize("given", ["x" * 10**6, 10**900, _nested(12), dict.fromkeys(range(1000), "y" * 1000)])
def test_a_message_stays_short_whatever_was_given(given: object) -> None:
    assert len(str(SettingError("key", given, "x"))) < 2000


@pytest.mark.parametrize(("keys", "named"), [(["probe.epoch"], "probe.epoch"), (["a", "b.c"], "a, b.c")])
@pytest.mark.parametrize("fault", ["unknown", "missing"])
def test_keys_too_many_or_too_few_are_all_named(fault: str, keys: list[str], named: str) -> None:
    error = KeyFaultError(fault, keys, "allowed: x")
    assert str(error) == f"{fault} key {named}; allowed: x."
    assert (error.fault, error.keys) == (fault, keys)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MissingFileError(PATH), "is missing"),
        (DamagedFileError(PATH, "is damaged (half)"), "is damaged (half)"),
        (StaleFileError(PATH, "is of other images"), "is of other images"),
    ],
    ids=["missing", "damaged", "stale"],
)
def test_a_file_is_named_with_what_is_wrong(error: FileError, reason: str) -> None:
    assert str(error) == f"{PATH} {reason}."
    assert (error.path, error.reason) == (PATH, reason)


@pytest.mark.parametrize(
    "error",
    [
        SettingError("key", 1, "x"),
        KeyFaultError("missing", ["key"], "x"),
        MissingFileError(PATH),
        DamagedFileError(PATH, "x"),
        StaleFileError(PATH, "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_boundary_can_catch_all_that_users_are_meant_to_read_at_once(error: Exception) -> None:
    assert isinstance(error, InputError)
    assert not isinstance(error, ValueError | OSError)


@pytest.mark.parametrize(
    "error",
    [
        InputError("One."),
        SettingError("key", 1, "x"),
        KeyFaultError("missing", ["key"], "x"),
        StaleFileError(PATH, "is of other images"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_between_processes_errors_keep_their_words_and_facts(error: Exception) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))


def _messages(path: Path) -> Iterator[str]:
    """Texts in what a module raises or logs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and re.search(r"(Error|logger\.\w+)$", ast.unparse(node.func)):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_the_library_tells_of_no_file_of_settings_no_variable_and_no_command() -> None:
    """What to type is the boundary's to say: the same errors reach programs that have none of these."""
    texts = [text for path in sorted(LIBRARY.rglob("*.py")) for text in _messages(path)]
    assert len(texts) > 100
    words = ("params.yaml", "LGM_", "dvc ", "make suite", "suites/")
    assert [text for text in texts if any(word in text for word in words)] == []
