"""The page over several exports: what there is, how large it is, what it reaches.

It is made of the exports' own files alone: `<folder>/<data set>/<source>/`.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from lgm_core.distilled import TENSORS, DistilledSet, load_distilled
from lgm_core.foundation.errors import InputError
from lgm_core.reporting.release import GRID, check_export
from lgm_core.reporting.results import Value
from lgm_core.reporting.table_formats import format_value

_PAGE = "releases.md"


@dataclass(frozen=True)
class Release:
    """An export among others.

    Attributes:
        name: its folder, `<data set>/<source>`.
        distilled: the set.
        size: of all its files, in bytes.
    """

    name: str
    distilled: DistilledSet
    size: int

    @property
    def accuracies(self) -> dict[str, dict[str, Any]]:
        """Backbone → what it makes of the set, as :meth:`Measured.facts` has it."""
        return self.distilled.facts["accuracies"]


def find_releases(folder: Path) -> list[Release]:
    """All exports two levels below a folder, by name, their files checked.

    Raises:
        InputError: if there is none, or a file is damaged.
    """
    found = []
    for tensors in sorted(folder.glob(f"*/*/{TENSORS}")):
        check_export(tensors.parent)
        name = tensors.parent.relative_to(folder).as_posix()
        size = sum(path.stat().st_size for path in tensors.parent.rglob("*") if path.is_file())
        found.append(Release(name, load_distilled(tensors.parent), size))
    if not found:
        raise InputError(f"{folder} holds no exports <data set>/<source>/{TENSORS}.")
    return found


def releases_page(releases: list[Release]) -> str:
    """The text of the folder's README: a table, a picture of each set, how to use them."""
    text = resources.files("lgm_core").joinpath("reporting", "templates", _PAGE).read_text(encoding="utf-8")
    targets = list(dict.fromkeys(target for one in releases for target in one.accuracies))
    head = ["data set", "distilled by", "images", "from", "MB", *targets, "share of all images"]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)], *(_cells(one, targets) for one in releases)]
    return string.Template(text).substitute(
        table="\n".join(f"| {' | '.join(row)} |" for row in rows),
        pictures="\n\n".join(_picture(one) for one in releases),
        distillations=max(one.distilled.facts["distillations"] for one in releases),
        total=f"{sum(one.size for one in releases) / 1e6:.1f}",
        first=releases[0].name,
        input_size=releases[0].distilled.facts["settings"]["input_size"],
    )


def _cells(one: Release, targets: list[str]) -> list[str]:
    facts = one.distilled.facts
    dataset, _, source = one.name.partition("/")
    side = one.distilled.images.shape[-1]
    return [
        f"[{dataset}]({one.name}/README.md)",
        f"{source} = {facts['backbone']}" if source not in one.accuracies else source,
        f"{len(one.distilled.images)} × {side} px",
        f"{facts['real_images']:,}",
        f"{one.size / 1e6:.1f}",
        *(_accuracy(one.accuracies.get(target)) for target in targets),
        _share(one),
    ]


def _accuracy(measured: dict[str, Any] | None) -> str:
    return format_value(
        None if measured is None else Value(measured["probe"]["mean"], measured["probe"]["std"])
    )


def _share(one: Release) -> str:
    """The least and the most of what all images give the same backbone, in percent."""
    measured = one.accuracies.values()
    shares = sorted(round(100 * each["probe"]["mean"] / each["all_images"]) for each in measured)
    return f"{shares[0]} %" if shares[0] == shares[-1] else f"{shares[0]} to {shares[-1]} %"


def _picture(one: Release) -> str:
    return f"**{one.name}**\n\n![{', '.join(one.distilled.classes)}]({one.name}/{GRID})"
