"""What is measured, on either device: settings, models with random weights, candidates."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
import torch
from ruamel.yaml import YAML
from torch import nn

from benchmarks.straightforward import MEAN, STD, Straightforward
from lgm_core.method.distiller import Distiller, Member
from lgm_core.method.real import RealBank
from lgm_core.models.frozen import FrozenBackbone, freeze
from lgm_core.settings.method import AS_MANY_AS_VIEWS, MethodSettings
from lgm_core.settings.params import Params, parse_params

_SUITE = Path(__file__).parent.parent / "suites" / "embedded.yaml"


def params(**changes: Any) -> Params:
    """The embedded suite with some top-level keys replaced."""
    return parse_params(YAML(typ="safe").load(_SUITE.read_text(encoding="utf-8")) | changes)


@dataclass(frozen=True)
class Case:
    """A backbone and a size of problem.

    Attributes:
        tag: timm's name of the model; weights are random, which changes no speed.
        pixels: side of what the backbone sees.
        classes: C, one image each.
        rounds: K.
    """

    tag: str
    pixels: int
    classes: int
    rounds: int

    def __str__(self) -> str:
        return f"{self.tag}, {self.pixels} px, {self.classes} classes, K = {self.rounds}"

    def method(self, **changes: Any) -> MethodSettings:
        """Matching of gradients at this size, with a full pyramid from the first step on."""
        size = self.pixels
        method = replace(
            params().method, objective="gradient", aug_rounds=self.rounds, resolution=size, input_size=size,
            pyramid_start=size, steps=10**6,
        )  # fmt: skip
        return replace(method, **changes)

    def model(self) -> nn.Module:
        """The plain model, on the CPU."""
        sized = {"img_size": self.pixels} if self.tag.startswith(("vit", "eva02")) else {}
        return timm.create_model(self.tag, pretrained=False, num_classes=0, **sized).eval()

    def straightforward(self, device: torch.device, *, frozen: bool) -> Straightforward:
        """The step as it is written down."""
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(4 * self.classes, 3, self.pixels, self.pixels, generator=generator)
        labels = torch.arange(len(images)) % self.classes
        real = images.to(device), labels.to(device)
        return Straightforward(self.model().to(device), real, self.method(), frozen=frozen)

    def backbone(self, device: torch.device, *, compiled: bool = False) -> FrozenBackbone:
        """The prepared backbone."""
        return freeze(
            copy.deepcopy(self.model()),
            (MEAN, STD),
            input_size=self.pixels,
            device=device,
            precision="auto",
            compiled=compiled,
        )

    def distiller(self, backbone: FrozenBackbone, *, bank_images: int = 4000, **changes: Any) -> Distiller:
        """The library's step with a random bank of features."""
        width = backbone.width(self.pixels)
        generator = torch.Generator().manual_seed(0)
        views = torch.randn(1, max(bank_images, self.classes), width, generator=generator)
        labels = torch.arange(views.shape[1]) % self.classes
        micro_batch = changes.pop("micro_batch", None)
        bank = RealBank(views, labels, tuple(map(str, range(self.classes))))
        return Distiller(Member(backbone, bank), self.method(**changes), seed=0, micro_batch=micro_batch)


ONE_BATCH = {"head_draws": 1, "real_batch": AS_MANY_AS_VIEWS}
"""Settings of the published step: one head, as many real samples as synthetic views."""
MEANS = {"objective": "means", "head_draws": 1}
"""Settings of a step that matches class means: there is no head."""
