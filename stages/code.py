"""Stage `code`: a fingerprint of every verb's code: a stage is stale exactly when its own code changed.

A fingerprint covers the verb's script, all it imports, directly or not, and the data files these name;
comments, docstrings and formatting do not count.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("code", __doc__, params=False)

from pathlib import Path

from lgm_core.foundation.code import Code
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import write_json

VERBS = (
    "inputs", "features", "baselines", "distill", "distill_ipc", "probe", "judge", "align", "tables",
    "figures", "report",
)  # fmt: skip


def project_code(root: Path) -> Code:
    """The code of the project in a folder."""
    return Code(root, ("lgm_core", "stages"))


def main() -> None:
    """Write the fingerprints of all verbs."""
    code = project_code(Path())
    layout = Layout(Path(), "")
    for verb in VERBS:
        write_json(layout.code(verb), {"sha256": code.fingerprint(Path("stages") / f"{verb}.py")})
