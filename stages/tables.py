"""Stage `tables`: assemble one table from the cells and write it as CSV, Markdown and metrics."""

from lgm_core.errors import InputError
from lgm_core.store import write_json, write_text
from lgm_core.tables import TABLES, Cells, to_csv, to_markdown, to_metrics
from stages.boundary import read_layout, read_params, run_stage


def main(name: str) -> None:
    """Write table `name` and print it."""
    params = read_params()
    if name not in TABLES:
        raise InputError(f"{name!r} is no table; there are: {', '.join(TABLES)}.")
    layout = read_layout(params)
    table = TABLES[name](Cells(layout), getattr(params.tables, name), list(params.backbones))
    write_text(layout.table(name, ".csv"), to_csv(table))
    write_text(layout.table(name, ".md"), to_markdown(table))
    write_json(layout.metrics(name), to_metrics(table))
    print(to_markdown(table))


if __name__ == "__main__":
    run_stage(main, ("name",))
