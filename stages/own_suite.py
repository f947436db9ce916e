"""A suite of one's own: a complete params file for one or two data sets and any backbones."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable
from pathlib import Path

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.layout import RESERVED_DATASETS
from lgm_core.settings.params import NOTHING

# What YAML, tables or folders take for something else than a name.
_TAKEN = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "full", "average", NOTHING}
_TEMPLATE = Path(__file__).with_name("own_suite.yaml")
_MOST_DATASETS = 2
_LONGEST = 48
"""Of a name that is made from a source; numbers are added to those that are the same."""
_STEPS = (300, 8)
"""Of the template's method: steps, and those until it grows."""


def own_suite(name: str, data: list[str], backbones: list[str], input_size: int) -> str:
    """The text of the params file.

    Args:
        name: of the suite.
        data: sources of one or two data sets, such as `folder:pets`.
        backbones: sources of the backbones, such as `timm:convnext_tiny.fb_in22k`.
        input_size: side in pixels of what the backbones see.

    Raises:
        InputError: if there is no data set or backbone, or more data sets than two.
    """
    if not 1 <= len(data) <= _MOST_DATASETS or not backbones:
        raise InputError(
            f"{len(data)} data sets and {len(backbones)} backbones were given; a new suite needs one or two "
            "data sets and at least one backbone: make suite NAME=pets DATA=folder:pets BACKBONES='timm:… …'"
        )
    datasets = short_names(data)
    models = short_names(backbones)
    left, *rest = datasets
    return string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=name,
        datasets=_rows(datasets),
        backbones=_rows(models),
        left=left,
        right=rest[0] if rest else NOTHING,
        # There are pairs of models where there are two.
        compared=left if len(models) > 1 else NOTHING,
        ensembles=f"\n  all:{_listed(models, '  ')}" if len(models) > 1 else " {}",
        varied=_listed(models, "    ") if len(models) > 1 else " []",
        longer=_as_long(len(models)),
        source=next(iter(models)),
        resolution=round(input_size * 8 / 7),
        input_size=input_size,
    )


def short_names(sources: list[str]) -> dict[str, str]:
    """A plain name for every source: its last word, without what names cannot hold."""
    found: dict[str, str] = {}
    for source in dict.fromkeys(sources):
        last = re.split(r"[:/]", source.rstrip("/"))[-1].partition(".")[0]
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", last).strip("_")[:_LONGEST] or "unnamed"
        if plain[0].isdigit() or plain.lower() in {*_TAKEN, *RESERVED_DATASETS}:
            plain = f"_{plain}"
        number = sum(name == plain or name.startswith(f"{plain}_") for name in found)
        found[f"{plain}_{number + 1}" if plain in found else plain] = source
    return found


def _listed(models: Iterable[str], indent: str) -> str:
    """The models as lines of a YAML list."""
    return "".join(f"\n{indent}- {name}" for name in models)


def _as_long(models: int) -> str:
    """The steps with which one model alone costs what all together do, where there are several."""
    if models == 1:
        return " {}"
    steps, growth_interval = _STEPS[0] * models, _STEPS[1] * models
    return f"\n    as_long_as_all:\n      steps: {steps}\n      growth_interval: {growth_interval}"


def _rows(sources: dict[str, str]) -> str:
    """Lines of a YAML mapping; a JSON text is a YAML text, where a word holds more than plain characters."""
    plain = re.compile(r"[A-Za-z][A-Za-z0-9_./:-]*")
    return "\n".join(
        f"  {name}: {source if plain.fullmatch(source) else json.dumps(source)}"
        for name, source in sources.items()
    )
