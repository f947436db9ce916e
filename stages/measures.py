"""The measures of Table 11 for a set from outside, where this suite has what they compare it with."""

from __future__ import annotations

from lgm_core.distilled import DistilledSet
from lgm_core.foundation.errors import MissingFileError
from lgm_core.reporting.blocks import RANDOM
from lgm_core.reporting.judges import ranked
from lgm_core.reporting.results import Results
from lgm_core.settings.params import Params
from stages.advice import explained
from stages.params import read_layout


def measures(params: Params, dataset: str, backbone: str, images: DistilledSet, accuracy: float) -> list[str]:
    """A line each for the share of all images, IOR, HLR and LRS, or one that says why there are none.

    Args:
        params: of the active suite.
        dataset: whose test images the set was probed on.
        backbone: that saw it.
        images: the set.
        accuracy: of the probe in percent.
    """
    each, usual = len(images.images) / len(images.classes), params.method.ipc
    if each != usual:
        return [
            f"no measures: the set has {each:g} images per class, random images of this suite are {usual}"
        ]
    results = Results(read_layout(params))
    try:
        random = results.transfer(dataset, backbone, backbone, training_set=RANDOM).mean
        full = results.full(dataset, backbone).mean
        whole = results.best_of_all_images(dataset, backbone).mean
    except MissingFileError as error:
        return [f"no measures: {explained(error)}"]
    found = ranked(accuracy, random, full, whole)
    return [f"{name:17} {value.mean:.{value.digits}f}" for name, value in found.items()]
