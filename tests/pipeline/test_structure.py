"""The house is in order: who may import whom, how long things are, and who talks to the outside world."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from code_reading import (
    CODE,
    FRONT_DOOR,
    LIBRARY,
    ROOT,
    every_import,
    imported_at_once,
    says_only_what_it_is,
    short,
    tree_of,
)

from lgm_core.foundation.code import imported_names

TRIED = [path for top in ("benchmarks", "tests") for path in sorted((ROOT / top).rglob("*.py"))]
EVERYTHING = [*CODE, *TRIED]

# A package may import itself and these; what is not listed may import anything.
MAY_IMPORT = {
    "foundation": set(),
    "settings": {"foundation"},
    "images": {"foundation"},
    "data": {"images", "foundation"},
    "models": {"foundation"},
    "features": {"images", "models", "settings", "foundation"},
    "distilled": {"images", "foundation"},
    "method": {"features", "models", "distilled", "settings", "foundation", "images"},
    "evaluation": {"features", "models", "images", "distilled", "settings", "foundation"},
    "reporting": {"distilled", "settings", "foundation"},
    "preflight": {"data", "models", "settings", "foundation"},
}
ABOVE_ALL = {"__init__", "cli"}


def package_of(path: Path) -> str:
    """The package or top-level module of the library that a file belongs to."""
    return path.relative_to(ROOT / "lgm_core").with_suffix("").parts[0]


# Imports


def test_every_package_has_a_line_in_the_table() -> None:
    assert {package_of(path) for path in LIBRARY} == {*MAY_IMPORT, *ABOVE_ALL}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_what_it_may(package: str) -> None:
    """Of the library itself, `import lgm_core` says the version and imports nothing."""
    allowed = {package, *MAY_IMPORT[package]}
    wrong = [
        (short(path), name)
        for path in LIBRARY
        if package_of(path) == package
        for name in every_import(tree_of(path))
        if name.startswith("lgm_core.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


def test_nobody_imports_the_front_door_and_its_names() -> None:
    found = [short(path) for path in CODE for name in _from_the_root(tree_of(path)) if name]
    assert found == []


def _from_the_root(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "lgm_core":
            yield from (alias.name for alias in node.names)


def test_the_library_does_not_import_stages() -> None:
    assert [short(path) for path in LIBRARY if "stages" in _external(path)] == []


def module_graph() -> dict[str, set[str]]:
    """Module → modules that it imports, in functions too."""
    files = {short(path).removesuffix(".py").replace("/", "."): path for path in CODE}
    names = {name.removesuffix(".__init__"): path for name, path in files.items()}
    return {name: (imported_names(tree_of(path)) & names.keys()) - {name} for name, path in names.items()}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = module_graph()
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph) == len(CODE)


def test_the_libraries_of_models_and_data_sets_are_known_where_they_are_used_alone() -> None:
    assert {short(path) for path in CODE if _external(path) & {"timm", "open_clip"}} == {
        "lgm_core/models/libraries.py",  # builds models
        "lgm_core/models/hub.py",  # asks where their weights lie
        "lgm_core/data/libraries.py",  # opens timm's data sets
    }


def _external(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported_names(tree_of(path))}


SLOW = {"dvc", "open_clip", "timm", "matplotlib", "sklearn", "scipy", "pandas"}


def test_slow_libraries_are_imported_where_they_are_used() -> None:
    found = {short(path): imported_at_once(tree_of(path)) for path in CODE}
    slow = {path: names for path, names in found.items() if {n.partition(".")[0] for n in names} & SLOW}
    assert slow == {}


def test_imports_for_the_type_checker_do_not_count_and_those_in_functions_do() -> None:
    source = "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c import d\n"
    assert imported_names(ast.parse(source)) == {"b", "c", "c.d"}
    assert imported_at_once(ast.parse(source)) == {"b"}
    assert every_import(ast.parse(source)) == {"a", "b", "c"}


def test_packages_hold_nothing_but_what_they_are() -> None:
    """No import is hidden in a package: whoever imports a module imports that module."""
    packages = [path for path in CODE if path.name == "__init__.py" and path != FRONT_DOOR]
    assert len(packages) > 10
    assert [short(path) for path in packages if not says_only_what_it_is(path)] == []


# Sizes


def test_the_library_has_few_doors() -> None:
    entries = {path.name for path in (ROOT / "lgm_core").iterdir()} - {"__pycache__"}
    assert len(entries) <= 14, sorted(entries)


def test_no_file_is_too_long_to_be_read() -> None:
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in EVERYTHING}
    assert {path: length for path, length in lengths.items() if length > 350} == {}


def code_lines(function: ast.AST, lines: list[str]) -> int:
    """Lines of a function that are neither empty, nor a comment, nor a docstring."""
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    skipped: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            assert node.end_lineno is not None
            skipped |= set(range(node.lineno, node.end_lineno + 1))
    assert function.end_lineno is not None
    return sum(
        number not in skipped and bool(line := lines[number - 1].strip()) and not line.startswith("#")
        for number in range(function.lineno, function.end_lineno + 1)
    )


def test_no_function_is_too_long_to_be_read() -> None:
    long = [
        (short(path), node.name, count)
        for path in EVERYTHING
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (count := code_lines(node, path.read_text(encoding="utf-8").splitlines())) > 40
    ]
    assert long == []


def test_lines_of_code_are_counted_without_words_about_them() -> None:
    source = 'def f():\n    """Two\n    lines."""\n\n    # A word.\n    a = 1  # counts\n    return a\n'
    assert code_lines(ast.parse(source).body[0], source.splitlines()) == 3


def test_a_stage_is_short() -> None:
    """Those that DVC runs, and the commands beside them; not the modules that they share, nor `suite`."""
    texts = {short(path): path.read_text(encoding="utf-8") for path in CODE if path.parent.name == "stages"}
    run = {path: text for path, text in texts.items() if '\nif __name__ == "__main__":\n' in text}
    assert len(run) > 12
    lengths = {path: len(text.splitlines()) for path, text in run.items() if path != "stages/suite.py"}
    assert {path: length for path, length in lengths.items() if length > 60} == {}


# The outside world

_OUTSIDE = {
    "os": {"environ", "environb", "getenv", "putenv", "unsetenv", "_exit"},
    "sys": {"argv", "exit", "stdout", "stderr", "stdin"},
}
_SPOKEN = {"print", "input", "exit", "quit", "breakpoint"}
SILENT = [path for path in LIBRARY if path != ROOT / "lgm_core" / "cli.py"]


def outside(tree: ast.Module) -> Iterator[str]:
    """Uses of the environment, the command line, the terminal and the process's end."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in _OUTSIDE.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names} & _OUTSIDE.get(str(node.module), set())
            yield from (f"{node.module}.{name}" for name in names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SPOKEN:
            yield node.func.id


def test_the_library_reads_no_environment_and_never_prints_or_exits() -> None:
    found = {short(path): list(outside(tree_of(path))) for path in SILENT}
    assert {path: uses for path, uses in found.items() if uses} == {}


def test_the_search_for_the_outside_world_finds_it() -> None:
    source = "import os\nfrom sys import argv\nprint(os.environ['A'], os.getpid())\n"
    assert sorted(outside(ast.parse(source))) == ["os.environ", "print", "sys.argv"]
    assert {"print", "sys.exit"} <= set(outside(tree_of(ROOT / "stages" / "guard.py")))


CALLERS_WORDS = ("params.yaml", "dvc.yaml", "LGM_", "dvc repro")


def said(tree: ast.Module) -> Iterator[str]:
    """Texts of a module that are no docstrings."""
    about = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in about:
            yield node.value


def test_the_library_does_not_know_who_calls_it() -> None:
    found = [
        (short(path), text)
        for path in SILENT
        for text in said(tree_of(path))
        if any(word in text for word in CALLERS_WORDS)
    ]
    assert found == []


def test_a_docstring_is_not_said() -> None:
    source = '"""About."""\ndef f():\n    """More."""\n    raise ValueError(f"said {1}")\n'
    assert list(said(ast.parse(source))) == ["said "]
