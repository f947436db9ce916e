"""Stage `report`: one static page with all tables, figures and images of the active suite."""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("report", __doc__)

from lgm_core.data.catalogue import class_titles
from lgm_core.data.sources import dataset_license
from lgm_core.models.catalogue import backbone_row
from lgm_core.reporting.page import write_report
from lgm_core.reporting.results import Results
from stages.captions import captions
from stages.exporting import write_export
from stages.params import read_layout, read_params


def main() -> None:
    """Write the report folder."""
    params = read_params()
    layout = read_layout(params)
    images = {name: dataset_license(source) for name, source in params.datasets.items()}
    named = (*params.backbones, *params.figure_backbones)
    weights = {name: backbone_row(params.backbone(name)).license for name in named}
    terms = _by_terms("Images of", images) | _by_terms("Weights of", weights)
    write_report(
        Results(layout, class_titles()),
        params,
        captions(params),
        layout.report,
        terms,
        lambda dataset, source, folder: write_export(
            params, dataset, source, folder, "small", shown="release"
        ),
    )
    print(f"Open {layout.report / 'index.html'}, or serve it: python -m http.server 8000 -d {layout.report}")


def _by_terms(what: str, terms: dict[str, str]) -> dict[str, str]:
    """Names that have the same licence in one line, and the licence."""
    return {
        f"{what} {', '.join(name for name, other in terms.items() if other == one)}": one
        for one in dict.fromkeys(terms.values())
    }
