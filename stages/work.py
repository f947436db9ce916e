"""What a stage works on: a data set and a source, the backbones that distil, and the features of all."""

from __future__ import annotations

from dataclasses import dataclass

from lgm_core.features.cache import FeatureCache, features_behind, features_of
from lgm_core.foundation.layout import BASE, Cell, Layout
from lgm_core.foundation.seeds import derive_seed
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.params import Params
from stages.backbones import opened
from stages.machine import Machine, read_machine
from stages.params import check_cell


@dataclass(frozen=True)
class Opened:
    """A backbone and its features of a data set.

    Attributes:
        name: of the backbone.
        weight: of its loss among those that distil with it.
        backbone: on the device to use.
        cache: its features of the data set.
    """

    name: str
    weight: float
    backbone: FrozenBackbone
    cache: FeatureCache


@dataclass(frozen=True)
class Work:
    """A data set and a source under the active settings, on this machine."""

    params: Params
    layout: Layout
    machine: Machine
    dataset: str
    source: str

    @classmethod
    def on(cls, params: Params, layout: Layout, dataset: str, source: str) -> Work:
        """The same, checked.

        Raises:
            InputError: if the settings do not name the data set or the source.
        """
        check_cell(params, dataset, source)
        return cls(params, layout, read_machine(), dataset, source)

    def cells(self, variant: str = BASE) -> list[Cell]:
        """The cells of all distillations."""
        return self.layout.replicates(self.params.distillations, self.dataset, self.source, variant)

    def features(self, name: str) -> Cell:
        """The cell of a backbone's features."""
        return self.layout.cell(self.dataset, name)

    def opened(self, name: str, weight: float = 1.0) -> Opened:
        """A backbone, and its features of the data set."""
        cache = features_of(self.features(name))
        return Opened(name, weight, opened(self.params, name, self.machine), cache)

    def targets(self) -> list[str]:
        """The backbones that judge: the source's members, and all that are compared."""
        return list(dict.fromkeys((*self.params.members(self.source), *self.params.backbones)))

    def inputs(self, *names: str) -> dict[str, str]:
        """What a result says that was made from features: address → fingerprint, by default of all who judge.

        Asked before they are read: of two that follow each other meanwhile, a result says the first.
        """
        return features_behind(*map(self.features, names or self.targets()))

    def members(self) -> list[Opened]:
        """The backbones that distil, in the order of the settings; one where the source is a backbone."""
        return [self.opened(*member) for member in self.params.members(self.source).items()]

    def clusters_seed(self, name: str) -> int:
        """Of the clusters in a backbone's features, and so of the real images nearest to their centres."""
        return derive_seed(self.params.seed, "clusters", self.dataset, name)
