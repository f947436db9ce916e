"""Values the literature reports, to stand beside measured ones; data in `published.json`, nothing computed.

`original` is the NeurIPS 2025 paper (arXiv 2511.16674), `writeup` the document this project implements; the
file's `sources` entry names both. A cell is found by table, block, row and column:

- `table1`, `table4`, `table5`, `table8`: block is the data set, row the training set (`distilled`,
  `neighbors`, `centroids`, `random`, `full`), column the backbone or `average`.
- `table2`: row is the backbone that distilled, or `full`; column the one that evaluates, or `average`.
- `table3`: row is `same/…` or `cross/…` with `full`, `no_decorrelate`, `no_pyramid`, `no_augment`; or `full`
  alone, the probe on all training images.
- `table7`: block is `nearest` (normalised 1-NN) or `alignment` (mutual k-NN, a fraction of 1); row and column
  are backbones.
- `figure3`: row is the number of augmentation rounds, column the backbone that evaluates what DINO-v2
  distilled.

Data sets are `imagenet100`, `imagenet1k`, `spawrious`, `waterbirds`, `dogs`, `cub`, `flowers102` and
`food101`; backbones are `clip`, `dinov2`, `eva02` and `mocov3`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_SOURCES = ("original", "writeup")
PAPER_BACKBONES = ("clip", "dinov2", "eva02", "mocov3")


@dataclass(frozen=True)
class Reported:
    """One published value, in percent; in Table 7's `alignment` block a fraction of 1.

    Attributes:
        source: `original` or `writeup`.
        mean: the value as printed.
        std: its standard deviation as printed, in the same unit; None where none is given.
    """

    source: str
    mean: float
    std: float | None


@cache
def _tables() -> dict[str, Any]:
    """Table → block → row → column → source → `mean` and `std`."""
    content = json.loads(
        resources.files("lgm_core").joinpath("reporting", "published.json").read_text(encoding="utf-8")
    )
    del content["sources"]
    return content


def reported_values(table: str, block: str, row: str, column: str) -> tuple[Reported, ...]:
    """Published values of one cell, in percent (mutual k-NN: a fraction of 1), the original's first.

    Args:
        table: `table1` … `table8` or `figure3`.
        block: data set, or `nearest` and `alignment` in Table 7.
        row: row of the table, named as the module's docstring says.
        column: backbone, or `average`.

    Returns:
        What the sources print there; empty where neither prints anything.
    """
    cell = _tables().get(table, {}).get(block, {}).get(row, {}).get(column, {})
    return tuple(
        Reported(source, cell[source]["mean"], cell[source]["std"]) for source in _SOURCES if source in cell
    )
