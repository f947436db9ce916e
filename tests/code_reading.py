"""The project's own code as syntax trees: which files there are, and what they import."""

from __future__ import annotations

import ast
from pathlib import Path

from lgm_core.foundation.code import imported_names

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = sorted((ROOT / "lgm_core").rglob("*.py"))
CODE = [*LIBRARY, *sorted((ROOT / "stages").rglob("*.py"))]
FRONT_DOOR = ROOT / "lgm_core" / "__init__.py"
"""Maps names to modules, and imports none of them."""


def short(path: Path) -> str:
    """A file's path below the project's folder."""
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_at_once(tree: ast.Module) -> set[str]:
    """Dotted names that a module imports when it is imported itself or run; empties the tree's functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            node.body = []  # type: ignore[assignment]
    return imported_names(tree)


def every_import(tree: ast.AST) -> set[str]:
    """Dotted names of modules that are imported anywhere, for the type checker alone too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


def says_only_what_it_is(path: Path) -> bool:
    """Whether a module is a docstring and nothing else."""
    tree = tree_of(path)
    return len(tree.body) == 1 and bool(ast.get_docstring(tree))
