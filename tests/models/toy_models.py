"""Small models with random weights, and weight files of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lgm_core.foundation.sources import BackboneSource
from lgm_core.models.catalogue import BackboneRow, backbone_row


def images(count: int = 2, side: int = 64) -> Tensor:
    """Random images, the same ones every time."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


def normalized(pixels: Tensor, mean: Any, std: Any) -> Tensor:
    """The images as a plain model wants them."""
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def randomized(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with every tensor random, so that no two could be mixed up unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            spread = 1.0 if "norm" in name or "ln_" in name or "gamma" in name else 0.0
            value.copy_(torch.randn(value.shape, generator=generator) * 0.02 + spread)
    return model.eval()


def random_norms(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random statistics and affine parameters in every batch norm; frozen, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.5, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
                nn.init.normal_(module.bias, 0, 0.5, generator=generator)
    return model.eval().requires_grad_(False)


def timm_model(tag: str = "test_resnet", classes: int = 0, **settings: Any) -> nn.Module:
    """A model of timm with random weights and batch-norm statistics, the same ones every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = timm.create_model(tag, pretrained=False, num_classes=classes, **settings).eval()
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
    return model


def write(content: Any, path: Path) -> Path:
    """The content as a file of its kind."""
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def row_of(source: str, checkpoint: Path | str | None = None) -> BackboneRow:
    """The row of a backbone by its name, with a weight file beside it."""
    return backbone_row(BackboneSource(source, None if checkpoint is None else str(checkpoint)))


def small_vit(folder: Path, changes: Mapping[str, Tensor | None] | None = None) -> BackboneRow:
    """A row of a small transformer with a weight file, `changes` laid over it; None leaves a tensor out."""
    stored = {**timm_model("test_vit").state_dict(), **(changes or {})}
    kept = {key: value for key, value in stored.items() if value is not None}
    return row_of("timm:test_vit", write(kept, folder / "small.pth"))
