"""Stage `settings`: is params.yaml right as a whole, names and all, before paths are built from it?

Its files never change while the settings are right, so that nothing is made again because of it. What is left
out of tables and figures has empty results, for DVC looks for the files of everything it lists.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("settings", __doc__)

from dataclasses import replace

from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import write_json
from lgm_core.reporting.figures import check_figures
from lgm_core.reporting.tables import check_tables
from lgm_core.settings.params import NOTHING, Params
from stages.params import read_layout, read_params


def main() -> None:
    """Check the settings."""
    params = read_params()
    check_tables(params)
    check_figures(params)
    layout = read_layout(params)
    write_nothing(layout, params)


def write_nothing(layout: Layout, params: Params) -> None:
    """The empty results of the data set `none`."""
    for source in (NOTHING, *params.backbones, *params.figure_backbones):
        cell = layout.cell(NOTHING, source)
        for path in (cell.baselines, cell.judged, cell.run("baselines")):
            write_json(path, {})
        for folder in (cell.features, cell.neighbors):
            write_json(folder / "nothing.json", {})
        variants = [replace(cell, variant=f"{group}/{NOTHING}") for group in params.variants.groups]
        for distilled in (cell, replace(cell, together=True), *variants):
            for path in (distilled.probe, distilled.run("distill"), distilled.distilled / "nothing.json"):
                write_json(path, {})
    write_json(layout.cell(NOTHING).alignment, {})
