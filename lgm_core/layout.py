"""Where results lie: data set first, so that a table depends on the folders of its own data sets.

results/<suite>/<data set>/features/<backbone>/      feature cache
                           baselines/<backbone>.json chosen images, full-data probe, ceilings
                           distilled/<backbone>/     images, pictures, loss history, settings
                           probe/<backbone>.json     accuracies of what that backbone distilled
                           alignment.json            mutual k-NN between all backbones
                           inputs.json               that what this data set's features need was found
                           overrides.json            settings of the method that differ for this data set
results/<suite>/tables/<table>.{csv,md}
metrics/<suite>/<table>.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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

    def features(self, dataset: str, backbone: str) -> Path:
        """Folder of a feature cache."""
        return self.results / dataset / "features" / backbone

    def baselines(self, dataset: str, backbone: str) -> Path:
        """JSON of the chosen real images and the full-data accuracies."""
        return self.results / dataset / "baselines" / f"{backbone}.json"

    def distilled(self, dataset: str, backbone: str) -> Path:
        """Folder of a distilled set."""
        return self.results / dataset / "distilled" / backbone

    def probe(self, dataset: str, backbone: str) -> Path:
        """JSON of the accuracies of what a backbone distilled."""
        return self.results / dataset / "probe" / f"{backbone}.json"

    def alignment(self, dataset: str) -> Path:
        """JSON of the alignment between all backbones."""
        return self.results / dataset / "alignment.json"

    def inputs(self, dataset: str) -> Path:
        """JSON that says that what a data set's features need was found."""
        return self.results / dataset / "inputs.json"

    def overrides(self, dataset: str) -> Path:
        """JSON of the settings of the method that differ for a data set."""
        return self.results / dataset / "overrides.json"

    def table(self, name: str, suffix: str) -> Path:
        """A table as a file with the given suffix, `.csv` or `.md`."""
        return self.results / "tables" / f"{name}{suffix}"

    def metrics(self, name: str) -> Path:
        """A table's numbers as DVC metrics."""
        return self.root / "metrics" / self.suite / f"{name}.json"
