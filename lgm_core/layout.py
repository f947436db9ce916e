"""Where results lie: data set first, so that a table depends on the folders of its own data sets.

results/<suite>/<data set>/features/<backbone>/      feature cache
                           baselines/<backbone>.json chosen images, full-data probe, ceilings
                           distilled/<backbone>/     images, pictures, loss history, settings
                           neighbors/<backbone>/     the real images nearest to the distilled ones
                           probe/<backbone>.json     accuracies of what that backbone distilled
                           alignment.json            mutual k-NN between all backbones
                           runs/<verb>/<backbone>.json time and memory of the run that made a cell
                           inputs.json               that what this data set's features need was found
                           overrides.json            settings of the method that differ for this data set
                           <group>/                  distilled, neighbors, probe and runs of variants, each in
                                                     a folder of its backbone: probe/<backbone>/<variant>.json
results/<suite>/tables/<table>.{csv,md,tex}
results/<suite>/figures/<figure>.{png,svg}
metrics/<suite>/<table>.json
report/                                              a static page of the active suite
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BASE = ""
"""The method as the params file has it; a variant is `<group>/<name>`."""

_UNSAFE = str.maketrans({"/": "_", "\\": "_", "\0": "_"})


def class_folders(classes: Sequence[str]) -> list[str]:
    """A folder name for every class: the class's own where that is a safe and new one."""
    folders: list[str] = []
    for label, name in enumerate(classes):
        plain = name.translate(_UNSAFE)
        folders.append(f"{plain}_{label}" if plain in {"", ".", "..", *folders} else plain)
    return folders


def picture_names(classes: Sequence[str], labels: Sequence[int]) -> list[str]:
    """`images/<class>/<k>.png` for the k-th image of every class, in the order of `labels`."""
    folders = class_folders(classes)
    seen: dict[int, int] = {}
    names = []
    for label in labels:
        number = seen[label] = seen.get(label, -1) + 1
        names.append(f"images/{folders[label]}/{number}.png")
    return names


def making(verb: str, dataset: str, backbone: str = "", variant: str = BASE) -> str:
    """The command that makes a missing cell; messages name it."""
    group, _, name = variant.partition("/")
    stage = f"{verb}_{group}" if variant else verb
    return f"dvc repro {stage}@{'-'.join(filter(None, (dataset, backbone, name)))}"


def remaking(verb: str, dataset: str, backbone: str = "", variant: str = BASE) -> str:
    """The command that makes a damaged cell again."""
    return making(verb, dataset, backbone, variant).replace("dvc repro", "dvc repro -f", 1)


@dataclass(frozen=True)
class Layout:
    """Paths of one suite's results.

    Attributes:
        root: the project's folder.
        suite: name of the active suite.
    """

    root: Path
    suite: str

    @property
    def results(self) -> Path:
        """Everything this suite made, but for the metrics."""
        return self.root / "results" / self.suite

    def _cell(self, kind: str, dataset: str, backbone: str, variant: str, suffix: str = "") -> Path:
        group, _, name = variant.partition("/")
        folder = self.results / dataset / group / kind
        return folder / backbone / f"{name}{suffix}" if name else folder / f"{backbone}{suffix}"

    @property
    def report(self) -> Path:
        """Folder of the report, of whichever suite is active."""
        return self.root / "report"

    def features(self, dataset: str, backbone: str) -> Path:
        """Folder of a feature cache."""
        return self.results / dataset / "features" / backbone

    def baselines(self, dataset: str, backbone: str) -> Path:
        """JSON of the chosen real images and the full-data accuracies."""
        return self.results / dataset / "baselines" / f"{backbone}.json"

    def distilled(self, dataset: str, backbone: str, variant: str = BASE) -> Path:
        """Folder of a distilled set."""
        return self._cell("distilled", dataset, backbone, variant)

    def neighbors(self, dataset: str, backbone: str, variant: str = BASE) -> Path:
        """Folder of the real images nearest to a distilled set."""
        return self._cell("neighbors", dataset, backbone, variant)

    def probe(self, dataset: str, backbone: str, variant: str = BASE) -> Path:
        """JSON of the accuracies of what a backbone distilled."""
        return self._cell("probe", dataset, backbone, variant, ".json")

    def alignment(self, dataset: str) -> Path:
        """JSON of the alignment between all backbones."""
        return self.results / dataset / "alignment.json"

    def run(self, verb: str, dataset: str, backbone: str = "", variant: str = BASE) -> Path:
        """JSON of the time and memory of the run that made a cell."""
        return self._cell(f"runs/{verb}", dataset, backbone or "all", variant, ".json")

    def inputs(self, dataset: str) -> Path:
        """JSON that says that what a data set's features need was found."""
        return self.results / dataset / "inputs.json"

    def overrides(self, dataset: str) -> Path:
        """JSON of the settings of the method that differ for a data set."""
        return self.results / dataset / "overrides.json"

    def table(self, name: str, suffix: str) -> Path:
        """A table as a file with the given suffix, `.csv`, `.md` or `.tex`."""
        return self.results / "tables" / f"{name}{suffix}"

    def figure(self, name: str, suffix: str) -> Path:
        """A figure as a file with the given suffix, `.png` or `.svg`."""
        return self.results / "figures" / f"{name}{suffix}"

    def metrics(self, name: str) -> Path:
        """A table's numbers as DVC metrics."""
        return self.root / "metrics" / self.suite / f"{name}.json"
