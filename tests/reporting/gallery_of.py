"""What the gallery of a report shows, read as the page's scripts read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def constants(report: Path) -> dict[str, Any]:
    """CELLS, CLASSES and MEANS of the gallery's script."""
    text = (report / "gallery.js").read_text(encoding="utf-8")
    return {name: json.loads(value) for name, value in re.findall(r"const ([A-Z]+) = ([{\[].*);\n", text)}


def gallery(report: Path) -> list[dict[str, Any]]:
    """Every image as the page's script puts it together."""
    known, entries = constants(report), []
    for number, cell in enumerate(known["CELLS"]):
        text = (report / cell["file"]).read_text(encoding="utf-8")
        found = json.loads(re.fullmatch(rf"addEntries\({number}, (.*)\);\n", text)[1])  # type: ignore[index]
        assert len(found) == cell["count"]
        names = known["CLASSES"][cell["dataset"]]
        entries += [
            cell | {"class": names[place // cell["per_class"]]} | one for place, one in enumerate(found)
        ]
    return entries
