"""The step and the probe as the write-up says them, without any of the ideas that make them fast.

What the library is measured against: real images go through the backbone in every step, the linear head's
gradients come from autograd and are differentiated a second time, batch norms stay, convolutions pad a copy,
and by default the weights ask for gradients, as in the published code. `frozen` turns the last off.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lgm_core.features.augment import draw_views, view
from lgm_core.method.pyramid import level_sizes
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.method import AugmentSettings, MethodSettings

MEAN = (0.5, 0.5, 0.5)
STD = (0.25, 0.25, 0.25)


def normalized(images: Tensor) -> Tensor:
    """Images in [0, 1] as the model wants them."""
    mean, std = (torch.tensor(part, device=images.device)[:, None, None] for part in (MEAN, STD))
    return (images - mean) / std


def augmented(images: Tensor, spec: AugmentSettings | str, size: int) -> Tensor:
    """One random view of every image, from the global random state."""
    assert isinstance(spec, AugmentSettings)
    generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
    return view(images, draw_views(len(images), spec, generator), size, spec)


class Straightforward:
    """Distillation of one image per class.

    Args:
        model: plain, on its device; features of normalised images of the input size.
        real: images in [0, 1], [N, 3, r, r], and their labels [N].
        method: the settings; one head per step.
        frozen: whether the weights ask for no gradient.
    """

    def __init__(
        self, model: nn.Module, real: tuple[Tensor, Tensor], method: MethodSettings, *, frozen: bool = False
    ) -> None:
        self.model = model.eval().requires_grad_(not frozen)
        self.images, self.labels = real
        self.method = method
        self.device = self.images.device
        self.classes = int(self.labels.max()) + 1
        with torch.no_grad():
            self.width = self.features(self.images[:1]).shape[1]
        sizes = level_sizes(method.resolution, method.resolution)
        self.levels = [
            (torch.randn(self.classes, 3, size, size, device=self.device) / len(sizes)).requires_grad_()
            for size in sizes
        ]
        self.optimizer = torch.optim.Adam(self.levels, lr=method.learning_rate)

    def features(self, images: Tensor) -> Tensor:
        """φ of images in [0, 1]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return self.model(normalized(images)).float()

    def head_gradient(self, images: Tensor, labels: Tensor, head: nn.Linear, *, graph: bool) -> Tensor:
        """Gradient of the head's mean cross-entropy, by autograd; flat."""
        loss = functional.cross_entropy(head(self.features(images)), labels)
        found = torch.autograd.grad(loss, list(head.parameters()), create_graph=graph)
        return torch.cat([part.flatten() for part in found])

    def loss(self, synthetic: Tensor, real: Tensor, real_labels: Tensor, head: nn.Linear) -> Tensor:
        """1 - cos of the head's gradients on views of the synthetic images and on views of real ones."""
        labels = torch.arange(self.classes, device=self.device).repeat_interleave(self.method.aug_rounds)
        target = self.head_gradient(real, real_labels, head, graph=False).detach()
        found = self.head_gradient(synthetic, labels, head, graph=True)
        return 1 - functional.cosine_similarity(target, found, dim=0)

    def render(self) -> Tensor:
        """The images."""
        size = self.method.resolution
        levels = [functional.interpolate(level, size=(size, size), mode="bilinear") for level in self.levels]
        matrix = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
        matrix = (matrix / matrix.norm(dim=0).max()).to(self.device)
        return torch.sigmoid(2 * torch.einsum("rc,nchw->nrhw", matrix, torch.stack(levels).sum(dim=0)))

    def step(self) -> None:
        """One update; as many real images as synthetic views."""
        method = self.method
        count = self.classes * method.aug_rounds
        chosen = torch.randint(len(self.images), (count,), device=self.device)
        real = augmented(self.images[chosen], method.augment, method.input_size)
        repeated = self.render().repeat_interleave(method.aug_rounds, dim=0)
        synthetic = augmented(repeated, method.augment, method.input_size)
        head = nn.Linear(self.width, self.classes).to(self.device)
        nn.init.normal_(head.weight, std=method.head_std)
        nn.init.zeros_(head.bias)
        self.optimizer.zero_grad()
        self.loss(synthetic, real, self.labels[chosen], head).backward()
        self.optimizer.step()
        self.model.zero_grad()


def probe(
    model: nn.Module, images: Tensor, labels: Tensor, spec: ProbeSettings, size: int, *, epochs: int
) -> nn.Linear:
    """One head trained on fresh views that go through the backbone in every epoch."""
    device = images.device
    rate = spec.learning_rate * spec.batch_size / 256
    with torch.no_grad():
        width = model(normalized(images[:1, :, :size, :size])).shape[1]
    head = nn.Linear(width, int(labels.max()) + 1).to(device)
    nn.init.normal_(head.weight, std=spec.head_std)
    optimizer = torch.optim.Adam(head.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), device=device).split(spec.batch_size):
            with torch.no_grad():
                features = model(normalized(augmented(images[chosen], spec.augment, size)))
            optimizer.zero_grad()
            functional.cross_entropy(head(features), labels[chosen]).backward()
            optimizer.step()
        schedule.step()
    return head
