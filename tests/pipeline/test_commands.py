"""Every command that the README and the pages show is one that its program takes, with what it names."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
OTHERS = {
    ".", "cd", "export", "git clone", "pip install", "pre-commit install", "python -m http.server",
}  # fmt: skip
"""Beginnings of commands that are not this project's."""


def shown(page: Path) -> Iterator[str]:
    """Command lines in the shell blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        yield from filter(None, block.replace("\\\n", " ").splitlines())


SHOWN = sorted({(page.name, line) for page in PAGES for line in shown(page)})


def words(line: str) -> list[str]:
    """A command line's words; what stands in <…> is a word."""
    return shlex.split(re.sub(r"<[^<>]*>", "something", line), comments=True)


def test_the_pages_show_commands_of_every_kind() -> None:
    kinds = {tuple(words(line)[:2]) for _, line in SHOWN}
    assert {("dvc", "repro"), ("dvc", "exp"), ("make", "repro"), ("lgm", "distill")} <= kinds
    assert ("python", "-m") in kinds


@pytest.mark.parametrize("line", sorted({line for _, line in SHOWN}))
def test_a_command_is_one_that_its_program_takes(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match words(line):
        case ["make", target, *given]:
            check_make(target, given)
        case ["dvc", *rest]:
            check_dvc(rest)
        case ["lgm", verb, *rest]:
            check_lgm(verb, rest)
        case ["python", "-m", name, *rest] if name.startswith("stages."):
            check_stage(name.removeprefix("stages."), rest, monkeypatch)
        case ["python", "-m", name, *_] if name.startswith("benchmarks."):
            assert (ROOT / f"{name.replace('.', '/')}.py").is_file()
        case given:
            assert [one for one in OTHERS if " ".join(given).startswith(one)], line


def check_make(target: str, given: list[str]) -> None:
    """A target of the Makefile, with variables that it reads."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for one in given:
        name, equals, _ = one.partition("=")
        assert equals, one
        assert f"$({name})" in makefile


def check_dvc(given: list[str]) -> None:
    """What DVC's own parser takes, of stages and settings that there are."""
    from dvc.cli import parse_args

    found = parse_args(given)
    if given[0] == "repro":
        stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
        assert {target.partition("@")[0] for target in found.targets or []} <= set(stages)
    if given[:2] == ["exp", "run"]:
        settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for one in found.set_param:
            key = one.partition("=")[0]
            inside: Any = settings
            for part in key.split("."):
                assert part in inside or key.startswith("dataset_overrides."), one
                inside = inside.get(part, {})


def check_lgm(verb: str, given: list[str]) -> None:
    """What the command's own parser takes, with all that it asks for."""
    from lgm_core.cli import main

    assert isinstance(main, click.Group)
    command = main.commands[verb]
    with click.Context(command) as context:
        values, left, _ = command.make_parser(context).parse_args(list(given))
    assert left == []
    asked = {option.name for option in command.params if option.required}
    assert asked <= set(values)


def check_stage(verb: str, given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stage's own parser takes."""
    from stages.process import _parsed

    text = (ROOT / "stages" / f"{verb}.py").read_text(encoding="utf-8")
    (call,) = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("run_stage", "run_shared_stage")
    ]
    usage = ast.literal_eval(call.args[2]) if len(call.args) > 2 else ""
    elsewhere = ast.literal_eval(call.args[3]) if len(call.args) > 3 else {}
    for flag, other in elsewhere.items():
        if flag in given:
            check_stage(other, given, monkeypatch)
            return
    options = [ast.literal_eval(one.value) for one in call.keywords if one.arg == "options"]
    monkeypatch.setattr("sys.argv", [verb, *given])
    found = _parsed(verb, "", usage, options[0] if options else ())
    assert set(filter(None, found)) == {word for word in given if not word.startswith("--")}
