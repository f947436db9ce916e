"""Write the tables of docs/parameters.md from what the settings say of themselves."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("parameters_page", __doc__, params=False)

import re
from pathlib import Path

from lgm_core.foundation.store import write_text
from lgm_core.settings.descriptions import describe
from lgm_core.settings.evaluation import AlignmentSettings, ProbeSettings
from lgm_core.settings.method import AugmentSettings, CheckpointSettings, MethodSettings
from lgm_core.settings.params import Groups, VariantSettings
from stages import machine

PAGE = Path("docs/parameters.md")
_MARKED = re.compile(r"(<!-- generated:(\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_VARIABLE = re.compile(r"^(LGM_\w+) +(.+?)(?: {2,}default: (.+))?$", re.MULTILINE)
# Section of the page, settings, and what stands before their names.
_PARTS = (
    ("method", MethodSettings, ""), ("compared", Groups, ""), ("compared", VariantSettings, "variants."),
    ("augment", AugmentSettings, "augment."), ("checkpoint", CheckpointSettings, "checkpoint."),
    ("evaluation", ProbeSettings, "probe."), ("evaluation", AlignmentSettings, "alignment."),
)  # fmt: skip
# Groups that are of another section, or have rows for each of their own settings.
_MOVED = {"real_rounds": "method", "dataset_overrides": "method"}
_MOVED |= dict.fromkeys(("variants", "probe", "alignment", "checkpoint"), "")


def sections() -> dict[str, str]:
    """Name → table of every section of the page."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for section, spec, prefix in _PARTS:
        for name, said in describe(spec).items():
            row = (f"`{prefix}{name}`", said.paper, said.about)
            rows.setdefault(_MOVED.get(prefix + name, section), []).append(row)
    found = _VARIABLE.findall(machine.__doc__ or "")
    variables = [(f"`{name}`", default, told) for name, told, default in found]
    settings = {section: table(("key", "paper"), part) for section, part in rows.items() if section}
    return settings | {"machine": table(("variable", "default"), variables)}


def table(names: tuple[str, str], rows: list[tuple[str, str, str]]) -> str:
    """Rows in Markdown, without the second column where it is empty."""
    kept = slice(None, None, 1 if any(second for _, second, _ in rows) else 2)
    lines = [(*names, "meaning")[kept], ("---", "---", "---")[kept], *(row[kept] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written(page: str) -> str:
    """The page with the tables of today's settings between its marks."""
    made = sections()
    return _MARKED.sub(lambda found: f"{found[1]}\n{made[found[2]]}\n{found[3]}", page)


def main() -> None:
    """Write the page."""
    write_text(PAGE, written(PAGE.read_text(encoding="utf-8")))
