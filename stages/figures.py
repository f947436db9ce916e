"""Stage `figures`: draw one figure from the results."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("figures", __doc__, "name")

from lgm_core.data.catalogue import class_titles
from lgm_core.foundation.store import write_text
from lgm_core.reporting.figures import FIGURES, draw_figure, figure_caption, plotted_data
from lgm_core.reporting.panels import save_panels
from lgm_core.reporting.plots import save_plot
from lgm_core.reporting.results import Results
from stages.captions import captions
from stages.params import read_layout, read_params


def main(name: str) -> None:
    """Draw figure `name`: a PNG, an SVG where it is a plot; one that shows no data set says so."""
    params = read_params()
    layout = read_layout(params)
    results = Results(layout, class_titles())
    drawn = draw_figure(name, results, params)
    shown = captions(params)
    paths = [layout.figure(name, suffix) for suffix in FIGURES[name].suffixes if suffix != ".csv"]
    if isinstance(drawn, list):
        save_panels(drawn, figure_caption(name, params, shown), *paths)
    else:
        save_plot(drawn, *paths)
    if FIGURES[name].data is not None:
        write_text(layout.figure(name, ".csv"), plotted_data(name, results, params))
