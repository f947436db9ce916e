"""Switch the active suite: copy suites/<name>.yaml over params.yaml, unless that would lose hand edits."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("suite", __doc__, "name", params=False)

import difflib
from pathlib import Path

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.store import write_text
from stages.params import PARAMS_FILE

SUITES = Path("suites")


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
    return min(differences, key=len)


def main(name: str) -> None:
    """Make suite `name` the active one."""
    suites = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SUITES.glob("*.yaml"))}
    if name not in suites:
        raise InputError(f"There is no suite {name!r}; there are: {', '.join(suites)}.")
    if PARAMS_FILE.exists():
        difference = edits(PARAMS_FILE.read_text(encoding="utf-8"), suites)
        if difference:
            raise InputError(
                f"{PARAMS_FILE} has edits that switching would lose:\n\n{difference}\n"
                f"Save them as a suite of your own (cp {PARAMS_FILE} suites/mine.yaml), or drop them "
                f"(rm {PARAMS_FILE}), then switch again."
            )
    write_text(PARAMS_FILE, suites[name])
    print(f"The active suite is {name}. Results of the other suites stay where they are.")
