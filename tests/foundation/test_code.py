"""A fingerprint changes with what a program does and with nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from lgm_core.foundation.code import Code, code_fingerprint, imported_names

MAIN = '''"""What the program is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pack.helpers import double

if TYPE_CHECKING:
    from pack.types import Number


class Box:
    """A box."""

    size: int = 3
    """Its side."""

    def area(self, factor: int = 1) -> int:
        """Of one face."""
        # Squares have equal sides.
        return double(self.size) * factor


def late() -> str:
    """Imports where it is needed."""
    import pack.deep.late

    return pack.deep.late.read("names.txt")
'''
HELPERS = '''"""Helpers."""


def double(value: int) -> int:
    return 2 * value
'''
FILES = {
    "pack/__init__.py": "",
    "pack/main.py": MAIN,
    "pack/helpers.py": HELPERS,
    "pack/types.py": "Number = int\n",
    "pack/unused.py": "x = 1\n",
    "pack/deep/__init__.py": "from pack.deep import constants\n",
    "pack/deep/constants.py": "folder = 'lists'\n",
    "pack/deep/late.py": "def read(name):\n    return name\n",
    "pack/lists/names.txt": "a\nb\n",
    "pack/lists/other.txt": "c\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a small package."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def fingerprint(root: Path, main: str = "pack/main.py") -> str:
    return Code(root, ("pack",)).fingerprint(root / main)


def closure(root: Path, main: str = "pack/main.py") -> set[str]:
    """Names of the files that a program is made of, but for those of packages that do nothing."""
    files = Code(root, ("pack",)).closure(root / main)
    return {path.relative_to(root).as_posix() for path in files if path.read_text(encoding="utf-8")}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


HARMLESS = {
    "a comment changed": ("# Squares have equal sides.", "# As every side is as long."),
    "a comment gone": ("        # Squares have equal sides.\n", ""),
    "a comment more": ("from typing", "# For the checker.\nfrom typing"),
    "the module's docstring": ("What the program is for.", "Another purpose."),
    "the class's docstring": ('"""A box."""', '"""A better box."""'),
    "the function's docstring": ('"""Of one face."""', '"""Of one face, squared."""'),
    "a docstring gone": ('        """Of one face."""\n', ""),
    "a docstring more": ("    import pack.deep.late\n", '    """More."""\n    import pack.deep.late\n'),
    "an attribute's docstring": ('"""Its side."""', '"""Its side in pixels."""'),
    "an attribute's docstring gone": ('    """Its side."""\n', ""),
    "empty lines": ("\n\nclass Box", "\n\n\n\n\nclass Box"),
    "spaces": ("double(self.size) * factor", "double( self.size )*factor"),
    "brackets": ("double(self.size) * factor", "(\n            double(self.size)\n            * factor)"),
    "quotes": ('"names.txt"', "'names.txt'"),
    "a comma at the end": ("factor: int = 1)", "factor: int = 1,)"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_nothing_keeps_the_fingerprint(root: Path, name: str) -> None:
    before = fingerprint(root)
    edit(root / "pack" / "main.py", *HARMLESS[name])
    assert fingerprint(root) == before


TELLING = {
    "a number": ("size: int = 3", "size: int = 4"),
    "a default": ("factor: int = 1", "factor: int = 2"),
    "a type": ("size: int = 3", "size: float = 3"),
    "an operator": ("* factor", "+ factor"),
    "a name": ("def area(self, factor", "def surface(self, factor"),
    "an argument more": ("factor: int = 1)", "factor: int = 1, *, unit: str = '')"),
    "a statement more": ("        return double", "        self.size += 0\n        return double"),
    "a decorator": ("    def area", "    @property\n    def area"),
    "a base": ("class Box:", "class Box(dict):"),
    "a text that is used": ('"names.txt"', '"other.txt"'),
    "a text that is no docstring": ("size: int = 3", "size: int = 3; label = 'x'"),
    "an import": ("from pack.helpers import double", "from pack.helpers import double as double_"),
    "an import for types": ("from pack.types import Number", "from pack.types import Other"),
    "the order": ("from typing import TYPE_CHECKING\n\nfrom pack.helpers import double",
                  "from pack.helpers import double\n\nfrom typing import TYPE_CHECKING"),
}  # fmt: skip


@pytest.mark.parametrize("name", TELLING)
def test_any_other_edit_changes_the_fingerprint(root: Path, name: str) -> None:
    before = fingerprint(root)
    edit(root / "pack" / "main.py", *TELLING[name])
    assert fingerprint(root) != before


def test_all_edits_have_fingerprints_of_their_own(root: Path) -> None:
    seen = {fingerprint(root)}
    for old, new in TELLING.values():
        (root / "pack" / "main.py").write_text(MAIN.replace(old, new, 1), encoding="utf-8")
        seen.add(fingerprint(root))
    assert len(seen) == len(TELLING) + 1


def test_the_closure_is_what_is_imported_anywhere_but_for_types(root: Path) -> None:
    assert closure(root) == {
        "pack/main.py",
        "pack/helpers.py",
        "pack/deep/__init__.py",  # runs first
        "pack/deep/constants.py",  # which it imports
        "pack/deep/late.py",  # imported in a function
        "pack/lists/names.txt",  # named in a text
    }


def test_a_package_brings_what_its_own_file_imports(root: Path) -> None:
    (root / "pack" / "user.py").write_text("from pack import deep\n", encoding="utf-8")
    assert closure(root, "pack/user.py") == {
        "pack/user.py",
        "pack/deep/__init__.py",
        "pack/deep/constants.py",
    }


@pytest.mark.parametrize("name", ["helpers.py", "deep/late.py", "lists/names.txt"])
def test_an_edit_anywhere_in_the_closure_counts(root: Path, name: str) -> None:
    before = fingerprint(root)
    with (root / "pack" / name).open("a", encoding="utf-8") as file:
        file.write("more = 1\n")
    assert fingerprint(root) != before


@pytest.mark.parametrize("name", ["types.py", "unused.py", "lists/other.txt", "new.py", "lists/new.txt"])
def test_an_edit_or_a_module_outside_the_closure_does_not_count(root: Path, name: str) -> None:
    before = fingerprint(root)
    with (root / "pack" / name).open("a", encoding="utf-8") as file:
        file.write("more = 1\n")
    assert fingerprint(root) == before


def test_imports_beside_those_for_types_count() -> None:
    text = (
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
        "if flag:\n    import c.d\nelif TYPE_CHECKING:\n    from e import f\n"
        "try:\n    from g.h import i as j\nexcept ImportError:\n    k = lambda: __import__('l')\n"
    )
    assert imported_names(ast.parse(text)) == {"b", "c.d", "g.h", "g.h.i"}


def test_imports_are_absolute(root: Path) -> None:
    edit(root / "pack" / "helpers.py", '"""Helpers."""\n', '"""Helpers."""\nfrom . import types\n')
    with pytest.raises(ValueError, match="line 2: imports are absolute here"):
        fingerprint(root)


def test_modules_that_import_each_other_are_a_closure_too(root: Path) -> None:
    edit(root / "pack" / "helpers.py", '"""Helpers."""', "import pack.main")
    assert closure(root) == closure(root, "pack/helpers.py")


def test_the_folder_of_the_project_does_not_count(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("moved") / "deeper"
    shutil.copytree(root, elsewhere)
    assert fingerprint(elsewhere) == fingerprint(root)


def test_the_order_of_the_files_does_not_count_but_their_names_do(root: Path) -> None:
    files = [root / "pack" / "helpers.py", root / "pack" / "types.py"]
    assert code_fingerprint(files, root) == code_fingerprint(files[::-1], root)
    before = code_fingerprint(files, root)
    files[0].rename(root / "pack" / "other.py")
    assert code_fingerprint([root / "pack" / "other.py", files[1]], root) != before


def test_compiled_files_are_no_data(root: Path) -> None:
    (root / "pack" / "names.pyc").write_bytes(b"x")
    edit(root / "pack" / "helpers.py", "2 * value", "2 * value or 'names.pyc'")
    assert "pack/names.pyc" not in closure(root)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = {**a, 'b': 1}", "x = {'b': 1, **a}"),
        ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("def f(a, /): pass", "def f(a): pass"),
        ("def f(): return", "def f(): return None"),
        ("x = None", "x = ..."),
        ("x = 0", "x = False"),
        ("x = 1", "x = 1.0"),
        ("x = 'a'", "x = b'a'"),
        ("x[:1]", "x[1:]"),
        ("f(a, b)", "f(a, b=b)"),
        ("try: f()\nfinally: g()", "try: f()\nexcept: g()"),
        ("'a text'\nf()", "f('a text')"),
    ],
)
def test_programs_that_differ_have_different_fingerprints(one: str, other: str, tmp_path: Path) -> None:
    seen = set()
    for text in (one, other):
        (tmp_path / "program.py").write_text(text, encoding="utf-8")
        seen.add(code_fingerprint([tmp_path / "program.py"], tmp_path))
    assert len(seen) == 2


def test_packages_of_others_beside_it_are_not_followed(root: Path) -> None:
    before = closure(root)
    (root / "other").mkdir()
    (root / "other" / "__init__.py").write_text("from . import part\n", encoding="utf-8")
    with (root / "pack" / "helpers.py").open("a", encoding="utf-8") as file:
        file.write("\nimport other\n")
    assert closure(root) == before
