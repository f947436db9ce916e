"""Switch the active suite, or write one of one's own.

`make suite NAME=paper` copies suites/paper.yaml over params.yaml, unless that would lose hand edits.
`make suite NAME=pets DATA=folder:pets BACKBONES='timm:… efficientnet_lite0'` writes suites/pets.yaml: one or
two data sets, any number of backbones, and SIZE, the side in pixels of what these see (224 unless given).
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("suite", __doc__, "name [data] [backbones] [size]", params=False)

import difflib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.store import write_text
from lgm_core.reporting.figures import check_figures
from lgm_core.reporting.tables import check_tables
from lgm_core.settings import checks
from lgm_core.settings.params import parse_params
from stages.own_suite import own_suite
from stages.params import PARAMS_FILE

SUITES = Path("suites")
_SIZE = "224"


def edits(active: str, suites: dict[str, str]) -> str:
    """What makes the active file differ from the suite it is closest to; empty if it is one of them."""
    if active in suites.values():
        return ""
    differences = [
        "".join(
            difflib.unified_diff(
                text.splitlines(keepends=True),
                active.splitlines(keepends=True),
                f"suites/{name}.yaml",
                str(PARAMS_FILE),
            )
        )
        for name, text in suites.items()
    ]
    return min(differences, key=len, default=active)


def main(name: str, data: str = "", backbones: str = "", size: str = "") -> None:
    """Make suite `name` the active one; with data sets and backbones, write it first."""
    suites = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SUITES.glob("*.yaml"))}
    new = bool(data or backbones)
    if not new and name not in suites:
        raise InputError(
            f"There is no suite {name!r}; there are: {', '.join(suites)}. A new one needs data and models: "
            f"make suite NAME={name or 'pets'} DATA=folder:<path> BACKBONES='<source> <source>'"
        )
    _keep_edits(suites)
    if new:
        suites[name] = _written(name, data.split(), backbones.split(), size or _SIZE, suites)
    write_text(PARAMS_FILE, suites[name])
    print(f"The active suite is {name}. Results of the other suites stay where they are.")


def _keep_edits(suites: dict[str, str]) -> None:
    """Refuse to lose hand edits of the active file."""
    if not PARAMS_FILE.exists():
        return
    difference = edits(PARAMS_FILE.read_text(encoding="utf-8"), suites)
    if difference:
        raise InputError(
            f"{PARAMS_FILE} has edits that switching would lose:\n\n{difference}\n"
            f"Save them as a suite of your own (cp {PARAMS_FILE} suites/mine.yaml), or drop them "
            f"(rm {PARAMS_FILE}), then switch again."
        )


def _written(name: str, data: list[str], backbones: list[str], size: str, suites: dict[str, str]) -> str:
    """Write a new suite and return its text."""
    checks.name(name, "suite")
    if not size.isdecimal() or not 8 <= int(size) <= 3500:
        raise SettingError("size", size, "a whole number of pixels from 8 to 3500")
    text = own_suite(name, data, backbones, int(size))
    if suites.get(name, text) != text:
        raise InputError(f"{SUITES / name}.yaml is there already, with other content; choose another NAME.")
    content: Any = YAML(typ="safe").load(text)
    params = parse_params(content)
    check_tables(params)
    check_figures(params)
    write_text(SUITES / f"{name}.yaml", text)
    print(f"{SUITES / name}.yaml is written; `make check` looks for its data and weights.")
    return text
