"""Stage `tables`: assemble one table from the cells and write it as CSV, Markdown, LaTeX and metrics."""

from lgm_core.cells import Cells
from lgm_core.errors import InputError
from lgm_core.rendering import to_csv, to_latex, to_markdown, to_metrics
from lgm_core.store import write_json, write_text
from lgm_core.tables import TABLES, assemble
from stages.boundary import read_layout, read_params, run_stage


def main(name: str) -> None:
    """Write table `name` and print it."""
    params = read_params()
    if name not in TABLES:
        raise InputError(f"{name!r} is no table; there are: {', '.join(TABLES)}.")
    layout = read_layout(params)
    table = assemble(name, Cells(layout), params)
    write_text(layout.table(name, ".csv"), to_csv(table))
    write_text(layout.table(name, ".md"), to_markdown(table))
    write_text(layout.table(name, ".tex"), to_latex(table))
    write_json(layout.metrics(name), to_metrics(table))
    print(to_markdown(table))


if __name__ == "__main__":
    run_stage(main, ("name",))
