"""Linear Gradient Matching: distil data sets for frozen, pretrained vision models.

The names below are the library's front door; each is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from lgm_core.data.sources import load_splits as load_splits
    from lgm_core.distilled import DistilledSet as DistilledSet
    from lgm_core.distilled import load_distilled as load_distilled
    from lgm_core.evaluation.small_sets import evaluate_sets as evaluate_sets
    from lgm_core.evaluation.small_sets import probe as probe
    from lgm_core.features.extraction import extract_features as extract_features
    from lgm_core.foundation.errors import InputError as InputError
    from lgm_core.images import ImageSet as ImageSet
    from lgm_core.method.distiller import Distiller as Distiller
    from lgm_core.method.distiller import Member as Member
    from lgm_core.method.recipe import distill as distill
    from lgm_core.models.frozen import FrozenBackbone as FrozenBackbone
    from lgm_core.models.frozen import freeze as freeze
    from lgm_core.models.libraries import open_backbone as open_backbone
    from lgm_core.settings.evaluation import ProbeSettings as ProbeSettings
    from lgm_core.settings.method import MethodSettings as MethodSettings

_HOMES = {
    "DistilledSet": "distilled",
    "Distiller": "method.distiller",
    "FrozenBackbone": "models.frozen",
    "ImageSet": "images",
    "InputError": "foundation.errors",
    "Member": "method.distiller",
    "MethodSettings": "settings.method",
    "ProbeSettings": "settings.evaluation",
    "distill": "method.recipe",
    "evaluate_sets": "evaluation.small_sets",
    "extract_features": "features.extraction",
    "freeze": "models.frozen",
    "load_distilled": "distilled",
    "load_splits": "data.sources",
    "open_backbone": "models.libraries",
    "probe": "evaluation.small_sets",
}
__all__ = ["__version__", *_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
