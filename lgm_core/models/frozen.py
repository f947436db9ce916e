"""Frozen backbones: images in [0, 1] in, features out; the weights never change."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lgm_core.foundation.errors import SettingError
from lgm_core.foundation.microbatch import Backoff
from lgm_core.models.catalogue import Statistics
from lgm_core.models.cpu.folding import fold_batch_norm
from lgm_core.models.cpu.lanes import in_lanes
from lgm_core.models.cpu.padding import fix_padding
from lgm_core.models.token import keep_class_token

logger = logging.getLogger(__name__)

EMBEDDED_AT_ONCE = 200
"""Images that go through a backbone at once where no gradient is wanted."""
_COMPILED_SIZES = 64
_NEED_THEIR_INPUT = nn.Hardtanh | nn.SiLU | nn.Hardswish | nn.Mish
"""Activations whose backward pass needs what came in: in place, autograd copies that first."""


class FrozenBackbone(nn.Module):
    """φ: images [n, 3, s, s] in [0, 1] → features [n, F] in float32; the weights never change.

    Args:
        model: maps normalised images to features.
        mean, std: statistics of the normalisation, per channel.
        channels_last: whether the model prefers that memory layout.
        input_size: side in pixels of the images that the model was prepared for; None: any.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Statistics,
        std: Statistics,
        *,
        channels_last: bool = False,
        input_size: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model.to(memory_format=self.memory_format)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.autocast_dtype: torch.dtype | None = None
        self.input_size = input_size
        self.compiled = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean.device

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stay in evaluation mode: a frozen backbone has no other."""
        return super().train(False)

    def forward(self, images: Float[Tensor, "n 3 s s"], *, exact: bool = False) -> Float[Tensor, "n f"]:
        """Features of a batch; differentiable in the images.

        Args:
            images: on the backbone's device.
            exact: compute in float32, whatever the backbone's precision and the caller's autocast.
        """
        if self.compiled:
            return self._features(images, exact)
        convolutional = self.memory_format == torch.channels_last
        return in_lanes(lambda part: self._features(part, exact), images, back=not convolutional)

    def _features(self, images: Float[Tensor, "n 3 s s"], exact: bool) -> Float[Tensor, "n f"]:
        normalized = ((images - self.mean) / self.std).contiguous(memory_format=self.memory_format)
        if exact:
            with torch.autocast(images.device.type, enabled=False):
                return self.model(normalized)
        if self.autocast_dtype is None:
            return self.model(normalized)
        with torch.autocast(images.device.type, dtype=self.autocast_dtype):
            features = self.model(normalized)
        return features.float()

    @torch.no_grad()
    def embed(self, images: Float[Tensor, "n 3 s s"], *, exact: bool = False) -> Float[Tensor, "n f"]:
        """Features of any number of images, without gradients, uncompiled and in bounded memory.

        Args:
            images: at least one, on any device; they are moved to the backbone's batch by batch.
            exact: in float32 whatever the precision, for features that are looked at one by one: of test
                images, of class means, of nearest neighbours. Augmented views average over their draws.

        Returns:
            [n, F] on the backbone's device.

        Raises:
            InputError: if not even one image fits into memory.
        """
        with self._uncompiled():
            return Backoff(min(EMBEDDED_AT_ONCE, len(images))).run(
                lambda size: torch.cat(
                    [self(part.to(self.device), exact=exact) for part in images.split(size)]
                )
            )

    def _uncompiled(self) -> AbstractContextManager[object]:
        """A step has batches of two sizes; others have many, and a compiler takes minutes for each."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    def compile(self) -> None:
        """Hand the model to torch.compile, for the steps of distilling.

        What the compiler cannot do runs as it is.
        """
        from torch import _dynamo as dynamo

        dynamo.config.suppress_errors = True
        # Backbones of one architecture share one count of sizes.
        dynamo.config.recompile_limit = max(_COMPILED_SIZES, dynamo.config.recompile_limit)
        self.model.compile(dynamic=False)
        self.compiled = True

    def width(self, input_size: int) -> int:
        """F, the features' width, asked of the model itself."""
        return self.embed(torch.zeros(1, 3, input_size, input_size)).shape[1]


PRECISIONS = ("auto", "float32", "bfloat16")


def _autocast_dtype(precision: str, device: torch.device, *, attention: bool) -> torch.dtype | None:
    """bfloat16 for `auto` where it is faster: on GPUs, and for transformers on CPUs that multiply it."""
    if precision not in PRECISIONS:
        raise SettingError("precision", precision, " | ".join(PRECISIONS))
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
        model: maps normalised images to features, each by itself; changed in place. On a CPU it is called in
            several threads at once, so its forward pass may not write to the model.
        statistics: mean and standard deviation of the normalisation, per channel.
        input_size, device, precision, compiled: as for :func:`load_backbone`.
    """
    folded = fold_batch_norm(model.eval(), input_size)
    fixed = fix_padding(model, input_size)
    alone = keep_class_token(model)
    logger.debug("%d batch norms folded, %d paddings fixed, class token alone: %s", folded, fixed, alone)
    for part in model.modules():
        if isinstance(part, _NEED_THEIR_INPUT):
            part.inplace = False
    convolutional = any(isinstance(part, nn.Conv2d) for part in list(model.modules())[3:])
    attention = any("attn" in label for label, _ in model.named_modules())
    channels_last = convolutional and not attention
    backbone = FrozenBackbone(model, *statistics, channels_last=channels_last, input_size=input_size)
    backbone.to(device)
    backbone.autocast_dtype = _autocast_dtype(precision, torch.device(device), attention=attention)
    if compiled:
        backbone.compile()
    return backbone
