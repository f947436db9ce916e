"""Stage `report`: one static page with all tables, figures and images of the active suite."""

from lgm_core.cells import Cells
from lgm_core.report import write_report
from stages.boundary import read_layout, read_params, run_stage


def main() -> None:
    """Write the report folder."""
    params = read_params()
    layout = read_layout(params)
    write_report(Cells(layout), params, layout.report)
    print(f"Open {layout.report / 'index.html'}, or serve it: python -m http.server 8000 -d {layout.report}")


if __name__ == "__main__":
    run_stage(main, ())
