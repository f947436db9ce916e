"""Stage `tables`: assemble one table from the results and write it as CSV, Markdown, LaTeX and metrics."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("tables", __doc__, "name")

from lgm_core.foundation.store import write_json, write_text
from lgm_core.reporting.results import Results
from lgm_core.reporting.table_formats import to_csv, to_latex, to_markdown, to_metrics
from lgm_core.reporting.tables import assemble
from stages.captions import captions
from stages.params import read_layout, read_params


def main(name: str) -> None:
    """Write table `name` and print it; one that shows no data set says so."""
    params = read_params()
    layout = read_layout(params)
    table = assemble(name, Results(layout), params, captions(params))
    write_text(layout.table(name, ".csv"), to_csv(table))
    write_text(layout.table(name, ".md"), to_markdown(table))
    write_text(layout.table(name, ".tex"), to_latex(table))
    write_json(layout.metrics(name), to_metrics(table))
    print(to_markdown(table))
