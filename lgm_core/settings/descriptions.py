"""What the settings say of themselves, for pages and help: the text below each of them.

The texts are docstrings, so that a better one changes no fingerprint of the code and makes nothing again.
"""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass

_FORM = re.compile(r"(?P<about>.*?)\.?(?: Paper: (?P<paper>.*)\.)?", re.DOTALL)


@dataclass(frozen=True)
class Description:
    """A setting in words, and its value in the paper; empty where none is stated."""

    about: str
    paper: str


def describe(settings: type) -> dict[str, Description]:
    """The descriptions of a class of settings, by name, in order.

    Raises:
        ValueError: if a setting has none.
    """
    (tree,) = ast.parse(inspect.cleandoc(inspect.getsource(settings))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for entry, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(entry, ast.AnnAssign) or not isinstance(entry.target, ast.Name):
            continue
        text = below.value if isinstance(below, ast.Expr) else None
        if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
            raise ValueError(f"{settings.__name__}.{entry.target.id} has no text below it")
        form = _FORM.fullmatch(" ".join(text.value.split()))
        assert form is not None
        found[entry.target.id] = Description(form["about"], form["paper"] or "")
    return found
