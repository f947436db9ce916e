"""Where results lie, and which stage of the pipeline makes what lies there.

results/<suite>/<data set>/features/<source>/        feature cache, sample pictures
                           baselines/<source>.json   chosen images, full-data probe, ceilings
                           heads/<source>.safetensors  head of the full-data probe
                           distilled/<source>/       images, pictures, loss history, settings; further
                                                     distillations from other draws in again/1, again/2, …
                           neighbors/<source>/       the real images nearest to the distilled ones
                           probe/<source>.json       accuracies of what that source distilled
                           seen/<source>.json        classes that full-data probes see in distilled images
                           judged/<source>.json      the same by every measure, beside all real selections
                           alignment.json            mutual k-NN between all backbones
                           runs/<verb>/<source>.json time and memory of the run that made a cell
                           inputs.json               that what this data set's features need was found
                           overrides.json            settings of the method that differ for this data set
                           ensembles/                distilled, neighbors, probe, seen and runs of ensembles
                           <group>/                  distilled, neighbors, probe, seen and runs of variants,
                                                     in a folder of its source: probe/<source>/<variant>.json
results/<suite>/none/                                empty results, for what tables and figures leave out
results/<suite>/tables/<table>.{csv,md,tex}
results/<suite>/figures/<figure>.{png,svg,csv}
results/code/<verb>.json                             fingerprints of the code, of all suites
metrics/<suite>/<table>.json
report/                                              a static page of the active suite
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

BASE = ""
"""The method as the settings have it; a variant is `<group>/<name>`."""

NOTHING = "none"
"""What a table or figure shows in a place that it leaves empty; its results are empty files."""
ENSEMBLES = "ensembles"
"""Folder of what ensembles distilled, so that the tables of single backbones do not depend on it."""
AGAIN = "again"
"""Folder of the further distillations, below that of the first."""
RESERVED_DATASETS = ("tables", "figures")
"""Folders beside those of the data sets."""
RESERVED_SUITES = ("code",)

# What lies in a data set's folder, and the verb that makes it.
_VERBS = {
    "features": "features",
    "baselines": "baselines",
    "heads": "baselines",
    "distilled": "distill",
    "neighbors": "probe",
    "probe": "probe",
    "seen": "probe",
    "judged": "judge",
    "alignment.json": "align",
    "inputs.json": "inputs",
    "overrides.json": "inputs",
}
_OF_ALL_SOURCES = ("align", "inputs")
_OF_ANY_SOURCE = ("judge",)
"""Verbs whose results lie in one folder, whether a backbone or an ensemble distilled."""


@dataclass(frozen=True)
class Cell:
    """The place of the results of a data set, of what a source makes of it, or of a variant of that.

    Attributes:
        folder: of the data set.
        source: what distils: a backbone or an ensemble; empty for what is the data set's own.
        variant: of the method, `<group>/<name>`; empty for the method itself.
        replicate: number of the distillation; all but the images of number 0 lie with number 0's.
        together: whether the source is an ensemble.
    """

    folder: Path
    source: str = ""
    variant: str = BASE
    replicate: int = 0
    together: bool = False

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.folder.name

    def _path(self, kind: str, suffix: str = "") -> Path:
        group, _, name = self.variant.partition("/")
        folder = self.folder / (ENSEMBLES if self.together else "") / group / kind
        return folder / self.source / f"{name}{suffix}" if name else folder / f"{self.source}{suffix}"

    @property
    def features(self) -> Path:
        """Folder of the feature cache."""
        return self.folder / "features" / self.source

    @property
    def baselines(self) -> Path:
        """JSON of the chosen real images and the full-data accuracies."""
        return self.folder / "baselines" / f"{self.source}.json"

    @property
    def head(self) -> Path:
        """Head of the probe on all real images."""
        return self.folder / "heads" / f"{self.source}.safetensors"

    @property
    def distilled(self) -> Path:
        """Folder of the distilled set."""
        folder = self._path("distilled")
        return folder / AGAIN / str(self.replicate) if self.replicate else folder

    @property
    def neighbors(self) -> Path:
        """Folder of the real images nearest to the distilled set."""
        return self._path("neighbors")

    @property
    def probe(self) -> Path:
        """JSON of the accuracies of what the source distilled."""
        return self._path("probe", ".json")

    @property
    def seen(self) -> Path:
        """JSON of the classes that full-data probes see in the distilled images."""
        return self._path("seen", ".json")

    @property
    def judged(self) -> Path:
        """JSON of what the source distilled and of all real selections, by every measure."""
        return self.folder / "judged" / f"{self.source}.json"

    @property
    def alignment(self) -> Path:
        """JSON of the alignment between all backbones."""
        return self.folder / "alignment.json"

    @property
    def inputs(self) -> Path:
        """JSON that says that what the data set's features need was found."""
        return self.folder / "inputs.json"

    @property
    def overrides(self) -> Path:
        """JSON of the settings of the method that differ for the data set."""
        return self.folder / "overrides.json"

    def run(self, verb: str) -> Path:
        """JSON of the time and memory of the run that made a cell."""
        named = self if self.source else Cell(self.folder, "all")
        if verb in _OF_ANY_SOURCE:
            named = replace(named, together=False)
        return named._path(f"runs/{verb}", ".json")


@dataclass(frozen=True)
class Layout:
    """Paths of one suite's results, and the stages that make them.

    Attributes:
        root: the project's folder.
        suite: name of the active suite.
        shown_alone: sources that Figure 8 alone shows; their stages have names of their own.
        own_tables: names of the tables of one's own; theirs too.
        ensembles: names of the sources that are several backbones.
    """

    root: Path
    suite: str
    shown_alone: frozenset[str] = field(default=frozenset())
    own_tables: frozenset[str] = field(default=frozenset())
    ensembles: frozenset[str] = field(default=frozenset())

    @property
    def results(self) -> Path:
        """Everything this suite made, but for the metrics."""
        return self.root / "results" / self.suite

    @property
    def report(self) -> Path:
        """Folder of the report, of whichever suite is active."""
        return self.root / "report"

    def cell(self, dataset: str, source: str = "", variant: str = BASE) -> Cell:
        """The place of a cell."""
        return Cell(self.results / dataset, source, variant, together=source in self.ensembles)

    def replicates(self, count: int, dataset: str, source: str, variant: str = BASE) -> list[Cell]:
        """The cells of `count` distillations from draws of their own."""
        first = self.cell(dataset, source, variant)
        return [replace(first, replicate=number) for number in range(count)]

    def table(self, name: str, suffix: str) -> Path:
        """A table as a file with the given suffix, `.csv`, `.md` or `.tex`."""
        return self.results / "tables" / f"{name}{suffix}"

    def figure(self, name: str, suffix: str) -> Path:
        """A figure as a file with the given suffix, `.png`, `.svg` or `.csv`."""
        return self.results / "figures" / f"{name}{suffix}"

    @property
    def all_metrics(self) -> Path:
        """Folder of the metrics of all suites."""
        return self.root / "metrics"

    def metrics(self, name: str) -> Path:
        """A table's numbers as DVC metrics."""
        return self.root / "metrics" / self.suite / f"{name}.json"

    def code(self, verb: str) -> Path:
        """JSON with the fingerprint of a verb's code."""
        return self.root / "results" / "code" / f"{verb}.json"

    def stage(self, path: Path) -> str | None:
        """Name of the stage that makes what lies at a path; None where no stage does."""
        if not path.is_relative_to(self.root):
            return None
        match path.relative_to(self.root).parts:
            case ("report", *_):
                return "report"
            case ("results", "code", *_):
                return "code"
            case ("results", self.suite, name, *_) if name == NOTHING:
                return "code"
            case ("metrics", self.suite, name) | ("results", self.suite, "tables", name):
                table = Path(name).stem
                return f"tables@{table}" if table in self.own_tables else f"tables/{table}"
            case ("results", self.suite, "figures", name):
                return f"figures/{Path(name).stem}"
            case ("results", self.suite, dataset, *rest):
                return self._cell_stage(dataset, list(rest))
        return None

    def _cell_stage(self, dataset: str, rest: list[str]) -> str | None:
        group = rest.pop(0) if rest and rest[0] not in (*_VERBS, "runs") else ""
        kind = rest.pop(0) if rest else ""
        verb = rest.pop(0) if kind == "runs" and rest else _VERBS.get(kind)
        if verb is None:
            return None
        count = 0 if verb in _OF_ALL_SOURCES else 2 if group not in ("", ENSEMBLES) else 1
        if len(rest) < count:
            return None
        names = [Path(part).stem for part in rest[:count]]
        if names and names[0] in self.shown_alone:
            group = "figure8"
        stage = f"{verb}_{group}" if group else verb
        return f"{stage}@{'-'.join([dataset, *names])}"
