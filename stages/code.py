"""Stage `code`: for every verb the settings it reads, and a fingerprint of its code.

A fingerprint covers the verb's script, all it imports, directly or not, and the data files these name;
comments, docstrings and formatting do not count. Settings of one cell, such as its backbone, are left to DVC.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("code", __doc__, params=False)

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from lgm_core.foundation.code import Code
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import write_json
from stages.params import read_settings
from stages.verbs import SETTINGS


def project_code(root: Path) -> Code:
    """The code of the project in a folder."""
    return Code(root, ("lgm_core", "stages"))


def looked_up(settings: Mapping[str, Any], name: str) -> Any:
    """The setting of a dotted name."""
    return reduce(lambda group, part: group[part], name.split("."), settings)


def main() -> None:
    """Write what every verb depends on."""
    code, settings = project_code(Path()), read_settings()
    layout = Layout(Path(), "")
    for verb, names in SETTINGS.items():
        fingerprint = code.fingerprint(Path("stages") / f"{verb}.py")
        read = {name: looked_up(settings, name) for name in names}
        write_json(layout.code(verb), {"sha256": fingerprint, "settings": read})
