"""The backbone and the method of a cell, as the params file and the machine have them."""

from typing import TYPE_CHECKING

from lgm_core.backbones import open_backbone
from lgm_core.specs import with_overrides
from lgm_core.store import read_json
from stages.boundary import Machine, named

if TYPE_CHECKING:
    from lgm_core.backbones import FrozenBackbone
    from lgm_core.layout import Layout
    from lgm_core.specs import MethodSpec, Params


def opened(params: "Params", backbone: str, machine: Machine) -> "FrozenBackbone":
    """The named backbone on the machine's device.

    Raises:
        InputError: if the params file does not name it, or it cannot be opened.
    """
    return open_backbone(
        named(params.backbones, backbone, "backbones"),
        input_size=params.method.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
        compiled=machine.compiled,
    )


def method_for(params: "Params", layout: "Layout", dataset: str, variant: str) -> "MethodSpec":
    """The method with what differs for a data set, and then for a variant."""
    overrides = read_json(layout.overrides(dataset), made_by=f"dvc repro overrides@{dataset}")
    return params.variant(variant, with_overrides(params.method, overrides))
