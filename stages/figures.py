"""Stage `figures`: draw one figure from the cells."""

from typing import Any

from lgm_core.cells import Cells
from lgm_core.errors import InputError
from lgm_core.figures import FIGURES, PANEL_FIGURES, PLOT_FIGURES, figure_caption, plotted_data
from lgm_core.panels import save_panels
from lgm_core.plots import save_plot
from lgm_core.store import write_text
from stages.boundary import named, read_layout, read_machine, read_params, run_stage


def main(name: str) -> None:
    """Draw figure `name`: a PNG, and an SVG where it is a plot."""
    params = read_params()
    if name not in FIGURES:
        raise InputError(f"{name!r} is no figure; there are: {', '.join(FIGURES)}.")
    layout = read_layout(params)
    cells = Cells(layout)

    def splits(dataset: str) -> Any:
        from lgm_core.datasets import load_splits

        return load_splits(named(params.datasets, dataset, "datasets"), read_machine().data_root)

    if name in PANEL_FIGURES:
        panels = PANEL_FIGURES[name](cells, params, splits)
        save_panels(panels, figure_caption(name, params), layout.figure(name, ".png"))
        return
    figure = PLOT_FIGURES[name](cells, params)
    save_plot(figure, layout.figure(name, ".png"), layout.figure(name, ".svg"))
    data = plotted_data(name, cells, params)
    if data is not None:
        write_text(layout.figure(name, ".csv"), data)


if __name__ == "__main__":
    run_stage(main, ("name",))
