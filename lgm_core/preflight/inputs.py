"""What a run starts from, and whether it is there: data sets and weights, looked for without loading them.

Before features of a data set are made, everything is looked for that the tables showing it start from: a
table that needs two data sets fails at once when one is missing, not after hours spent on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lgm_core.data.catalogue import DATASETS
from lgm_core.data.sources import find_dataset, load_splits
from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.foundation.network import hub_answers
from lgm_core.foundation.sources import BackboneSource, DatasetSource
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.hub import find_weights, hub_files, unreachable
from lgm_core.settings.params import Params

PRESENT = "present"
DOWNLOAD = "download"
MISSING = "MISSING"
_OPENED_LATE = ("torch", "hfds")
"""Families of sources that their own libraries read, and may have to download."""
_OF_ALIGNMENT = ("pairs", "matrices")
"""Kinds of tables of one's own that show alignment."""


@dataclass(frozen=True)
class Finding:
    """A data set or a backbone's weights.

    Attributes:
        kind: `data set` or `backbone`.
        name: in the settings.
        status: `present`; `download`, if the stage that needs it will fetch it; or `MISSING`.
        told: what was found, or where it was looked for and how to get it.
        images: training and test images of a data set, found or else expected; 0 where neither is known.
        classes: its number of classes, likewise.
    """

    kind: str
    name: str
    status: str
    told: str
    images: tuple[int, int] = (0, 0)
    classes: int = 0

    @property
    def title(self) -> str:
        """Kind, name and status, padded to stand in a column."""
        return f"{self.kind:9} {self.name:14} {self.status:9}"


def peers(params: Params, dataset: str) -> list[str]:
    """A data set, and those that some table shows beside it."""
    tables = (shown.datasets for shown in (*params.tables.values(), *params.own_tables.values()))
    together = [names for names in tables if dataset in names]
    return list(dict.fromkeys([dataset, *(name for names in together for name in names)]))


def require_inputs(params: Params, dataset: str, data_root: Path, *, alone: bool = False) -> None:
    """Look for a data set, for those that tables show beside it, and for the weights of its backbones.

    Args:
        params: what is named where.
        dataset: the one that is about to be read.
        data_root: folder that relative paths start from.
        alone: look for this data set only.

    Raises:
        InputError: one message about all that is missing.
    """
    needed = [dataset] if alone else peers(params, dataset)
    problems = []
    for name in needed:
        try:
            find_dataset(params.datasets[name], data_root)
        except InputError as error:
            problems.append(str(error))
    extra = params.figure_backbones if dataset in params.figures["figure8"].datasets else {}
    weights = survey_backbones({**params.backbones, **extra})
    problems += [finding.told for finding in weights if finding.status == MISSING]
    if problems:
        raise InputError(
            f"{len(problems)} of {len(needed) + len(weights)} inputs of suite {params.suite} are "
            f"missing that {', '.join(needed)} and their tables start from; nothing was started.\n\n"
            + "\n\n".join(problems)
        )


def check_counts(params: Params, dataset: str, data_root: Path) -> None:
    """Whether a data set has as many classes and images as the settings ask for; other libraries' sets are
    not opened.

    Args:
        params: what is asked for.
        dataset: one that is there.
        data_root: folder that relative paths start from.

    Raises:
        InputError: if it has a single class, or too few images.
    """
    source = params.datasets[dataset]
    if source.kind.partition("/")[0] in _OPENED_LATE:
        return
    train, test = load_splits(source, data_root)
    if len(train.classes) < 2:
        only = next(iter(train.classes))
        raise InputError(f"Data set {dataset} has the single class {only!r}: there is nothing to tell apart.")
    fewest = int(train.labels.bincount(minlength=len(train.classes)).min())
    if params.method.ipc > fewest:
        allowed = f"at most {fewest}, the number of training images of the smallest class of {dataset}"
        raise SettingError("ipc", params.method.ipc, allowed)
    real = params.dataset_overrides.get(dataset, {}).get("real_batch", params.method.real_batch)
    if isinstance(real, int) and real > len(train):
        raise SettingError("real_batch", real, f"at most {len(train)}, the training images of {dataset}")
    samples = min(params.alignment.samples, len(test))
    shown = (*params.tables["table6"].datasets, *params.tables["table7"].datasets)
    own = [table for table in params.own_tables.values() if table.kind in _OF_ALIGNMENT]
    aligned = {*shown, *(name for table in own for name in table.datasets)}
    if dataset in aligned and params.alignment.neighbors >= samples:
        allowed = f"1 to {samples - 1}, for {samples} test images of {dataset} are compared"
        raise SettingError("alignment.neighbors", params.alignment.neighbors, allowed)


def survey_dataset(name: str, source: DatasetSource, data_root: Path) -> Finding:
    """List a data set's files and count them."""
    try:
        train, test = load_splits(source, data_root)
    except InputError as error:
        row = DATASETS.get(source.kind)
        if row is None:
            return Finding("data set", name, MISSING, str(error))
        expected = {split: row.images[split] or row.per_class[split][1] * row.classes for split in row.images}
        return Finding(
            "data set", name, MISSING, str(error), (expected["train"], expected["test"]), row.classes
        )
    counts = (len(train), len(test))
    told = f"{counts[0]:,} training and {counts[1]:,} test images in {len(train.classes):,} classes"
    if train.group_names:
        told += f", {len(train.group_names)} groups"
    return Finding("data set", name, PRESENT, told, counts, len(train.classes))


def survey_backbones(backbones: dict[str, BackboneSource]) -> list[Finding]:
    """Look for the weights of backbones; the hub is asked only where some are not on this machine."""
    return [_survey_backbone(name, source) for name, source in backbones.items()]


def _survey_backbone(name: str, source: BackboneSource) -> Finding:
    try:
        row = backbone_row(source)
        path = find_weights(row)
    except InputError as error:
        return Finding("backbone", name, MISSING, f"Backbone {name}: {error}")
    if path is not None:
        return Finding("backbone", name, PRESENT, f"{path} (licence: {row.license})")
    if hub_answers():
        repository, _ = hub_files(row)
        told = f"will be downloaded from {repository} on the Hugging Face hub (licence: {row.license})"
        return Finding("backbone", name, DOWNLOAD, told)
    return Finding("backbone", name, MISSING, f"Backbone {name}: {unreachable(row)}")
