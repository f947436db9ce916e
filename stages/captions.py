"""What the data sets of the active suite are, for tables, figures and the report."""

from __future__ import annotations

from lgm_core.data.catalogue import about
from lgm_core.settings.params import Params


def captions(params: Params) -> dict[str, str]:
    """A line about every data set by its name; empty for one of one's own."""
    return {dataset: about(source.source) for dataset, source in params.datasets.items()}
