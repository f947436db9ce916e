"""Fingerprints of code: what a program imports, directly or not, without comments, docstrings and formatting.

A fingerprint is a hash of syntax trees, so that a better docstring changes no fingerprint, and of exactly the
modules that a script imports and the data files that they name, so that another module does not either.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any


def _is_text(node: ast.AST | None) -> bool:
    """Whether a statement is nothing but a text: a docstring, which does nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _plain(node: Any) -> Any:
    """A syntax tree as nested tuples, without what is absent or empty, in which versions of Python differ."""
    if isinstance(node, list):
        return tuple(_plain(part) for part in node if not _is_text(part))
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return (type(node).__name__, *((name, _plain(value)) for name, value in fields))


def _content(path: Path) -> bytes:
    """What counts of a file: Python's syntax, anything else's bytes."""
    if path.suffix != ".py":
        return path.read_bytes()
    return repr(_plain(_tree(path))).encode()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def code_fingerprint(files: Iterable[Path], root: Path, content: Callable[[Path], bytes] = _content) -> str:
    """SHA-256 over files by their names below `root`: Python by its syntax, anything else by its bytes.

    Args:
        files: in any order.
        root: folder that their names start from.
        content: what counts of a file.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
        digest.update(content(path))
    return digest.hexdigest()


class _Imports(ast.NodeVisitor):
    """Dotted names that a module imports anywhere, except for the type checker alone."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        only_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for part in [*([] if only_types else [node.test, *node.body]), *node.orelse]:
            self.visit(part)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            raise ValueError(f"line {node.lineno}: imports are absolute here")
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}


def imported_names(tree: ast.AST) -> set[str]:
    """Dotted names that a syntax tree imports, in functions too, but not for the type checker alone."""
    found = _Imports()
    found.visit(tree)
    return found.names


class Code:
    """The code of some packages, as it stands when a file of it is first asked for: each is read once.

    Args:
        root: folder that holds the packages; names of modules start there.
        packages: their names.
    """

    def __init__(self, root: Path, packages: tuple[str, ...]) -> None:
        self.root = root
        self.packages = packages
        self.own_files = cache(self._own_files)
        self.content = cache(_content)
        self.data: dict[str, list[Path]] = {}
        for path in (path for package in packages for path in (root / package).rglob("*")):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                self.data.setdefault(path.name, []).append(path)

    def _own_files(self, path: Path) -> set[Path]:
        """The modules here that a module imports, and the data files that it names in a text."""
        tree = _tree(path)
        # Where the packages are installed, those of others lie beside them.
        own = (name for name in imported_names(tree) if name.partition(".")[0] in self.packages)
        modules = (self.root / name.replace(".", "/") for name in own)
        return {*self._existing(modules), *self._named(tree)}

    def _existing(self, modules: Iterable[Path]) -> Iterator[Path]:
        for module in modules:
            for file in (module.with_suffix(".py"), module / "__init__.py"):
                if file.is_file():
                    yield file
                    # The top package's own file maps names to modules, and is left out.
                    inner = [folder for folder in file.parents if self.root in folder.parent.parents]
                    yield from (folder / "__init__.py" for folder in inner)

    def _named(self, tree: ast.AST) -> Iterator[Path]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self.data.get(node.value, ())

    def closure(self, path: Path) -> set[Path]:
        """A module, everything here that it imports, directly or not, and their data files."""
        known = {path}
        waiting = [path]
        while waiting:
            file = waiting.pop()
            added = (self.own_files(file) if file.suffix == ".py" else set()) - known
            known |= added
            waiting += added
        return known

    def fingerprint(self, path: Path) -> str:
        """:func:`code_fingerprint` of a module's closure."""
        return code_fingerprint(self.closure(path), self.root, self.content)
