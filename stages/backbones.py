"""Open the backbone of a cell, as the params file and the machine have it."""

from __future__ import annotations

from lgm_core.models.cpu.allocator import keep_freed_memory
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.libraries import open_backbone
from lgm_core.settings.params import Params
from stages.machine import Machine


def opened(params: Params, backbone: str, machine: Machine) -> FrozenBackbone:
    """The named backbone on the machine's device.

    Raises:
        InputError: if the params file does not name it, or it cannot be opened.
    """
    if machine.device.type == "cpu":
        keep_freed_memory()
    return open_backbone(
        params.backbone(backbone),
        input_size=params.method.input_size,
        normalization=params.normalization,
        device=machine.device,
        precision=machine.precision,
        compiled=machine.compiled,
    )
