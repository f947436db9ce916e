"""TensorFlow's `same` padding without a padded copy, for a backbone that always sees one image size.

`same` pads so that a stride-s convolution has ⌈n / s⌉ outputs, one pixel more behind than in front where the
sum is odd, so frameworks pad a copy first and convolve without padding. For a known n the pads (p, q), p ≤ q,
are constants, and padding q on both sides of a kernel that begins with q - p zeros reads the same pixels:
windows start at -q, their first q - p weights do nothing, and there are as many, because
n + 2q - (k + q - p) = n + p + q - k.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lgm_core.foundation.errors import InputError


class FixedSizeConvolution(nn.Conv2d):
    """A convolution that is right for one input size only, and refuses others."""

    input_shape: tuple[int, int]

    def check(self, x: Tensor) -> None:
        """Refuse an input of another size."""
        if x.shape[-2:] != self.input_shape:
            raise InputError(
                f"A backbone prepared for one image size was given another: a layer expected "
                f"{self.input_shape}, got {tuple(x.shape[-2:])}. Load it with that input_size."
            )

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        """The convolution of an input of the right size."""
        self.check(input)
        return super().forward(input)


def _fixed(convolution: nn.Conv2d, shape: tuple[int, int]) -> FixedSizeConvolution:
    sides = zip(shape, convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
    pads = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in sides]
    front = [pad // 2 for pad in pads]
    behind = [pad - pad // 2 for pad in pads]
    zeros = [q - p for p, q in zip(front, behind, strict=True)]
    weight = functional.pad(convolution.weight, (zeros[1], 0, zeros[0], 0))
    # On the meta device: both parameters are replaced, so that none is drawn.
    fixed = FixedSizeConvolution(
        convolution.in_channels,
        convolution.out_channels,
        (weight.shape[2], weight.shape[3]),
        stride=convolution.stride,  # pyright: ignore[reportArgumentType]
        padding=(behind[0], behind[1]),
        groups=convolution.groups,
        bias=convolution.bias is not None,
        device="meta",
    )
    fixed.weight = nn.Parameter(weight, requires_grad=False)
    fixed.bias = convolution.bias
    fixed.input_shape = shape
    return fixed.train(convolution.training)


@torch.no_grad()
def fix_padding(model: nn.Module, input_size: int) -> int:
    """Replace, in place, every `same` convolution that runs at one size when the model sees `input_size`.

    Args:
        model: in evaluation mode, on the CPU; its `same` convolutions are timm's.
        input_size: side in pixels of the images it will see.

    Returns:
        How many convolutions were replaced.
    """
    shapes: dict[str, set[tuple[int, int]]] = {}
    hooks = []
    for name, module in model.named_modules():
        if type(module).__name__ != "Conv2dSame" or set(module.dilation) != {1}:  # type: ignore[arg-type]
            continue
        seen = shapes.setdefault(name, set())
        hooks.append(
            module.register_forward_pre_hook(
                lambda _, inputs, seen=seen: seen.add(tuple(inputs[0].shape[-2:]))
            )
        )
    if not hooks:
        return 0
    model(torch.zeros(1, 3, input_size, input_size))
    for hook in hooks:
        hook.remove()
    steady = {name: next(iter(seen)) for name, seen in shapes.items() if len(seen) == 1}
    for name, shape in steady.items():
        owner, _, attribute = name.rpartition(".")
        convolution = model.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        setattr(model.get_submodule(owner), attribute, _fixed(convolution, shape))
    return len(steady)
