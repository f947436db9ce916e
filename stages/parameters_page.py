"""The tables of docs/parameters.md, written from what the settings say of themselves.

`python -m stages.parameters_page` writes each table between `<!-- generated:<section> -->` and
`<!-- /generated -->`, and leaves the text around them as it is.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("parameters_page", __doc__, params=False)

import re
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

from lgm_core.foundation.store import write_text
from lgm_core.settings.evaluation import AlignmentSettings, ProbeSettings
from lgm_core.settings.method import AugmentSettings, CheckpointSettings, MethodSettings
from lgm_core.settings.params import Groups, VariantSettings
from stages import machine

PAGE = Path("docs/parameters.md")
_MARKED = re.compile(r"(<!-- generated:(\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_VARIABLE = re.compile(r"^(LGM_\w+) +(.+?)(?: {2,}default: (.+))?$", re.MULTILINE)
Rows = list[tuple[str, str, str]]

_SECTIONS = {"variants", "probe", "alignment", "checkpoint"}
"""Groups that have rows of their own."""
_OF_THE_METHOD = {"real_rounds", "dataset_overrides"}
"""Groups that stand beside the method's settings in params.yaml."""


def setting_rows(spec: type, prefix: str = "", *, leave_out: Collection[str] = ()) -> Rows:
    """Key, the paper's value and meaning of every setting of a dataclass."""
    known = [(entry.name, entry.metadata) for entry in fields(spec) if entry.name not in leave_out]
    return [(f"`{prefix}{name}`", told["paper"], told["about"]) for name, told in known]


def sections() -> dict[str, str]:
    """Name → table of every section of the page."""
    shared = {entry.name for entry in fields(Groups)} - _OF_THE_METHOD
    variants, beside = setting_rows(VariantSettings, "variants."), setting_rows(Groups, leave_out=shared)
    compared = setting_rows(Groups, leave_out=_SECTIONS | _OF_THE_METHOD) + variants
    evaluation = setting_rows(ProbeSettings, "probe.") + setting_rows(AlignmentSettings, "alignment.")
    variables = [(f"`{name}`", default, told) for name, told, default in _VARIABLE.findall(machine.__doc__)]
    return {
        "compared": table("key", "paper", compared),
        "method": table("key", "paper", setting_rows(MethodSettings) + beside),
        "augment": table("key", "paper", setting_rows(AugmentSettings, "augment.")),
        "checkpoint": table("key", "paper", setting_rows(CheckpointSettings, "checkpoint.")),
        "evaluation": table("key", "paper", evaluation),
        "machine": table("variable", "default", variables),
    }


def table(first: str, second: str, rows: Rows) -> str:
    """Rows as Markdown; the second column is left out where it is empty."""
    lines = [(first, second, "meaning"), ("---", "---", "---"), *rows]
    kept = [0, 1, 2] if any(row[1] for row in rows) else [0, 2]
    cells = ([line[place].replace("|", r"\|") for place in kept] for line in lines)
    return "".join(f"| {' | '.join(cell)} |\n" for cell in cells)


def with_tables(page: str) -> str:
    """The page with the tables of today's settings between its marks."""
    made = sections()
    return _MARKED.sub(lambda found: f"{found[1]}{made[found[2]]}{found[3]}", page)


def main() -> None:
    """Write the page."""
    write_text(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
