"""What the pages name is there: files, folders, modules, tests, make's targets, links."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc_graph import ROOT

FOLDERS = ("lgm_core", "stages", "tests", "benchmarks", "docs")
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]  # fmt: skip
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

FILE = re.compile(r"[\w./-]*\w\.py\b")
FOLDER = re.compile(rf"(?<![\w./])(?:{'|'.join(FOLDERS)})/[\w./-]*")
MODULE = re.compile(r"(?<![\w./])(?:lgm_core|stages|benchmarks)(?:\.\w+)+")
TEST = re.compile(r"([\w/]+\.py)::(test_\w+)")
TARGET = re.compile(r"(?:^|`)make ([a-z-]+)", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def places(name: str) -> list[Path]:
    """Where a file may be: below the project, below the tests, or anywhere where it has no folder."""
    if "/" in name:
        return [path for path in (ROOT / name, ROOT / "tests" / name) if path.is_file()]
    return [path for folder in FOLDERS for path in (ROOT / folder).rglob(name)]


@by_page
def test_every_python_file_that_a_page_names_is_there(page: Path) -> None:
    assert [name for name in FILE.findall(text(page)) if not places(name)] == []


@by_page
def test_every_path_below_a_folder_of_the_project_is_there(page: Path) -> None:
    assert [path for path in FOLDER.findall(text(page)) if not (ROOT / path).exists()] == []


@by_page
def test_every_module_that_a_page_names_is_there_and_has_what_it_names(page: Path) -> None:
    assert [name for name in MODULE.findall(text(page)) if not is_known(name)] == []


def is_known(name: str) -> bool:
    """Whether a dotted name is a module, or a name that stands in one."""
    path, *rest = ROOT / name.partition(".")[0], *name.split(".")[1:]
    while rest and ((path / rest[0]).is_dir() or (path / f"{rest[0]}.py").is_file()):
        path /= rest.pop(0)
    module = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return all(re.search(rf"\b{word}\b", text(module)) for word in rest)


@by_page
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    """A name may end early: `test_a_full_disk_…`."""
    named = TEST.findall(text(page))
    assert [one for one in named if not any(f"def {one[1]}" in text(path) for path in places(one[0]))] == []


@by_page
def test_every_target_of_make_that_a_page_names_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.MULTILINE))
    assert set(TARGET.findall(text(page))) - targets == set()


@by_page
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(text(page)) if "://" not in link]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_the_diagram_of_the_pages_is_that_of_the_report() -> None:
    shown = ROOT / "docs" / "images" / "method.svg"
    assert shown.read_bytes() == (ROOT / "lgm_core/reporting/templates/method.svg").read_bytes()
    assert "(images/method.svg)" in text(ROOT / "docs" / "index.md")


def rows(title: str) -> Iterator[str]:
    """The lines of the table under a heading of CONTRIBUTING.md."""
    section = text(ROOT / "CONTRIBUTING.md").partition(f"## {title}\n")[2].partition("\n## ")[0]
    yield from (line for line in section.splitlines() if line.startswith("| "))


@pytest.mark.parametrize("row", [row for row in rows("Where things are") if "`" in row])
def test_what_is_said_to_be_in_a_file_stands_in_one_of_its_row(row: str) -> None:
    quoted = re.findall(r"`([^`]+)`", row)
    files = [ROOT / path for path in quoted if (ROOT / path).is_file()]
    names = [
        name for name in row.rpartition("|")[0].rpartition("|")[2].split("`")[1::2] if name.isidentifier()
    ]
    assert files or any((ROOT / path).is_dir() for path in quoted)
    assert [name for name in names if not any(re.search(rf"\b{name}\b", text(file)) for file in files)] == []


def test_every_module_of_the_library_has_its_place_in_the_api() -> None:
    shown = re.findall(r"^::: ([\w.]+)$", "\n".join(map(text, PAGES)), re.MULTILINE)
    modules = [path for path in (ROOT / "lgm_core").rglob("*.py") if path.name != "__init__.py"]
    assert sorted(shown) == sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules)


# Which package may import which


def test_contributing_says_who_may_import_whom_as_the_tests_have_it() -> None:
    table = [re.findall(r"`([\w/.]+)`", line) for line in rows("How the project is built")]
    names = {line[0].removesuffix(".py") for line in table if line}
    said = {line[0].removesuffix(".py"): names.intersection(line[1:]) for line in table if line}
    said["evaluation"].remove("method")  # "never `method`"
    held = runpy.run_path(str(ROOT / "tests" / "pipeline" / "test_structure.py"))["MAY_IMPORT"]
    assert said == {**held, "cli": set()}
