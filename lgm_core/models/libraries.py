"""Open a backbone: the one module that builds models of timm and open_clip."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.importing import uncollected
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.catalogue import IMAGENET_MEAN, IMAGENET_STD, BackboneRow, Statistics, backbone_row
from lgm_core.models.frozen import FrozenBackbone, freeze
from lgm_core.models.hub import asking, unavailable, weights_path
from lgm_core.models.positions import fit_to_file, set_input_size
from lgm_core.models.weights import load_checkpoint, read_state_dict


def load_backbone(
    row: BackboneRow,
    *,
    input_size: int,
    normalization: str = "pretrained",
    device: torch.device | str = "cpu",
    precision: str = "float32",
    compiled: bool = False,
    pretrained: bool = True,
) -> FrozenBackbone:
    """Build the model, load its weights and prepare it for speed.

    Args:
        row: which one.
        input_size: side in pixels of the images it will see.
        normalization: `pretrained`, the row's own statistics, or `imagenet`.
        device: where it runs.
        precision: of the arithmetic inside, one of :data:`PRECISIONS`; features are float32 in any case.
        compiled: distil through torch.compile, which takes a minute or more at the first batch of every size.
        pretrained: False: random weights, to measure speed and width without any.

    Raises:
        InputError: if the model is unknown or its weights cannot be had.
    """
    with asking(row, pretrained=pretrained):
        model, mean, std = _BUILDERS[row.library](row, input_size, pretrained)
    if normalization == "imagenet":
        mean = IMAGENET_MEAN
        std = IMAGENET_STD
    return freeze(
        model,
        (mean, std),
        input_size=input_size,
        device=device,
        precision=precision,
        compiled=compiled,
    )


def open_backbone(
    source: str | BackboneSource,
    *,
    input_size: int,
    normalization: str = "pretrained",
    device: torch.device | str = "cpu",
    precision: str = "float32",
    compiled: bool = False,
) -> FrozenBackbone:
    """:func:`load_backbone` for a backbone by its name, with its weights."""
    named = BackboneSource(source) if isinstance(source, str) else source
    return load_backbone(
        backbone_row(named),
        input_size=input_size,
        normalization=normalization,
        device=device,
        precision=precision,
        compiled=compiled,
    )


def _build_timm(
    row: BackboneRow, input_size: int, pretrained: bool
) -> tuple[nn.Module, Statistics, Statistics]:
    with uncollected():
        import timm
        from timm.data.config import resolve_model_data_config

    elsewhere = row.tag.startswith(("hf-hub:", "local-dir:"))
    if not elsewhere and not timm.is_model(row.tag.partition(".")[0]):
        raise InputError(f"timm has no model {row.tag!r}; `timm.list_models('*name*')` finds tags.")
    path = weights_path(row) if pretrained else None
    try:
        model: Any = timm.create_model(row.tag, pretrained=pretrained and path is None, num_classes=0)
    except Exception as error:
        raise unavailable(row, row.tag, error) from error
    if path is not None:
        heads = model.pretrained_cfg.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        stored = row.keys.convert(read_state_dict(path), model.state_dict(), heads=heads)
        fit_to_file(model, stored)
        load_checkpoint(model, stored, row.keys, path=path, tag=row.tag)
    set_input_size(model, input_size, row)
    config = resolve_model_data_config(model)
    return model, row.mean or tuple(config["mean"]), row.std or tuple(config["std"])


@contextmanager
def _unheard() -> Iterator[None]:
    """No warnings are logged meanwhile."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _build_open_clip(
    row: BackboneRow, input_size: int, pretrained: bool
) -> tuple[nn.Module, Statistics, Statistics]:
    with uncollected():
        import open_clip

    elsewhere = row.tag.startswith(("hf-hub:", "local-dir:"))
    name, _, weights = (row.tag, "", "") if elsewhere else row.tag.partition("/")
    if not elsewhere and name not in open_clip.list_models():
        raise InputError(f"open_clip has no model {name!r}; `open_clip.list_models()` lists them.")
    path = weights_path(row) if pretrained else None
    download = pretrained and path is None
    if download and not elsewhere and not weights:
        raise InputError(
            f"open_clip:{name} names no weights; write open_clip:{name}/<pretrained>. "
            f"open_clip.list_pretrained_tags_by_model({name!r}) lists them."
        )
    known = {} if elsewhere else open_clip.get_pretrained_cfg(name, weights) or {}
    try:
        with nullcontext() if download else _unheard():  # it warns that the weights are random, for now
            model: Any = open_clip.create_model(
                name,
                pretrained=weights if download and weights else None,
                load_weights=download,
                force_image_size=input_size,
                # Weights trained with the quick activation get it, whichever of the two names was given.
                force_quick_gelu=bool(known.get("quick_gelu")),
                # Without this, weights that cannot be loaded are a warning and the model is random.
                require_pretrained=download,
            )
    except Exception as error:
        raise unavailable(row, row.tag, error) from error
    visual = model.visual
    if path is not None:
        stored = row.keys.convert(read_state_dict(path), visual.state_dict())
        prefixed = {f"visual.{key}": value for key, value in stored.items()}
        open_clip.model.resize_pos_embed(prefixed, model)
        stored = {key: prefixed[f"visual.{key}"] for key in stored}
        load_checkpoint(visual, stored, row.keys, path=path, tag=row.tag)
    return visual, row.mean or tuple(visual.image_mean), row.std or tuple(visual.image_std)


_BUILDERS = {"timm": _build_timm, "open_clip": _build_open_clip}
