"""Open the backbone of a cell, as the params file and the machine have it."""

from typing import TYPE_CHECKING

from lgm_core.backbones import open_backbone
from lgm_core.memory import keep_freed_memory
from stages.boundary import Machine

if TYPE_CHECKING:
    from lgm_core.backbones import FrozenBackbone
    from lgm_core.specs import Params


def opened(params: "Params", backbone: str, machine: Machine) -> "FrozenBackbone":
    """The named backbone on the machine's device.

    Raises:
        InputError: if the params file does not name it, or it cannot be opened.
    """
    if machine.device == "cpu":
        keep_freed_memory()
    return open_backbone(
        params.backbone(backbone),
        input_size=params.method.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
        compiled=machine.compiled,
    )
