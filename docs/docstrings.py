"""Docstrings as Markdown, for the API pages: listings keep their columns, <names> and roles are words.

A line about several arguments at once, `mean, std: …`, becomes a line for each; links lead to
the pages of docs/.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":[a-z]+:(`[^`]+`)")
_CODE = re.compile(r"(`[^`]*`)")
_SEVERAL = re.compile(r"^( +)(\w+(?:, \w+)+): (.+(?:\n\1 +.+)*)", re.MULTILINE)
_PAGE = re.compile(r"\]\((\w+\.md)\)")
_COLUMNS = re.compile(r"^\S.*\S {2,}\S", re.MULTILINE)


def as_markdown(docstring: str) -> str:
    """A docstring with its columns in blocks of code, and without what Markdown would take for HTML."""
    parts = _SEVERAL.sub(_each, docstring).split("\n\n")
    return "\n\n".join(f"```text\n{part}\n```" if _COLUMNS.search(part) else _plain(part) for part in parts)


def _each(found: re.Match[str]) -> str:
    return "\n".join(f"{found[1]}{name}: {found[3]}" for name in found[2].split(", "))


def _plain(part: str) -> str:
    words = _CODE.split(_PAGE.sub(r"](../\1)", _ROLE.sub(r"\1", part)))
    return "".join(word if word.startswith("`") else word.replace("<", "&lt;") for word in words)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before its sections are looked for."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for everything that has been read."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
