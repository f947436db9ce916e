"""The closed form is the gradient, and the matching loss is one cosine per head."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from lgm_core.method.gradients import Heads, draw_heads, head_gradient, matching_loss

N, CLASSES, WIDTH = 12, 4, 5


def _problem(heads: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Heads]:
    """Features, labels and heads with biases, float64."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(N, WIDTH, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(CLASSES, (N,), generator=generator)
    weight = torch.randn(heads, CLASSES, WIDTH, generator=generator, dtype=torch.float64)
    bias = torch.randn(heads, CLASSES, generator=generator, dtype=torch.float64)
    return features, labels, (weight, bias)


def _autograd(
    features: Tensor, labels: Tensor, heads: Heads, *, include_bias: bool, create_graph: bool = False
) -> Tensor:
    """The slow way: cross-entropy of every head, differentiated."""
    rows = []
    for weight, bias in zip(*heads, strict=True):
        parameters = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
        loss = functional.cross_entropy(features @ parameters[0].T + parameters[1], labels)
        of_weight, of_bias = torch.autograd.grad(loss, parameters, create_graph=create_graph)
        rows.append(torch.cat([of_weight, of_bias[:, None]], dim=1) if include_bias else of_weight)
    return torch.stack(rows)


@pytest.mark.parametrize("include_bias", [True, False])
@pytest.mark.parametrize("heads", [1, 3])
def test_closed_form_gradient_equals_autograd(heads: int, include_bias: bool) -> None:
    features, labels, drawn = _problem(heads)
    found = head_gradient(features, labels, drawn, include_bias=include_bias)
    expected = _autograd(features, labels, drawn, include_bias=include_bias)
    assert found.shape == (heads, CLASSES, WIDTH + include_bias)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("include_bias", [True, False])
def test_count_replaces_the_number_of_samples(include_bias: bool) -> None:
    features, labels, drawn = _problem()
    found = head_gradient(features, labels, drawn, include_bias=include_bias, count=40)
    expected = _autograd(features, labels, drawn, include_bias=include_bias) * N / 40
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@given(st.lists(st.integers(0, N), max_size=4))
def test_parts_of_a_batch_add_up_to_the_whole(cuts: list[int]) -> None:
    features, labels, drawn = _problem()
    edges = sorted({0, N, *cuts})
    parts = [
        head_gradient(features[a:b], labels[a:b], drawn, include_bias=True, count=N)
        for a, b in itertools.pairwise(edges)
    ]
    whole = head_gradient(features, labels, drawn, include_bias=True)
    torch.testing.assert_close(torch.stack(parts).sum(dim=0), whole, rtol=1e-12, atol=1e-14)


def test_zero_head_on_a_balanced_batch_gives_class_means() -> None:
    features, _, _ = _problem()
    labels = torch.arange(CLASSES).repeat(N // CLASSES)
    heads = draw_heads(2, CLASSES, WIDTH, init="normal", std=0, generator=torch.Generator())
    means = torch.stack([features[labels == label].mean(dim=0) for label in range(CLASSES)])
    expected = ((features.mean(dim=0) - means) / CLASSES).expand(2, -1, -1)
    found = head_gradient(features, labels, heads, include_bias=True)
    torch.testing.assert_close(found[..., :-1], expected)
    torch.testing.assert_close(found[..., -1], torch.zeros(2, CLASSES, dtype=torch.float64))


def test_small_head_tends_to_class_means(generator: torch.Generator) -> None:
    features, _, _ = _problem()
    labels = torch.arange(CLASSES).repeat(N // CLASSES)
    means = torch.stack([features[labels == label].mean(dim=0) for label in range(CLASSES)])
    expected = (features.mean(dim=0) - means) / CLASSES
    errors = []
    for std in (1e-1, 1e-2, 1e-3):
        heads = draw_heads(1, CLASSES, WIDTH, init="normal", std=std, generator=generator)
        errors.append((head_gradient(features, labels, heads, include_bias=False)[0] - expected).norm())
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 1e-2 * expected.norm()


def test_gradient_of_one_sample_by_hand() -> None:
    features, labels = torch.tensor([[2.0, -1.0]]), torch.tensor([1])
    heads = (torch.zeros(1, 2, 2), torch.tensor([[math.log(3), 0.0]]))  # softmax = (3/4, 1/4)
    expected = torch.tensor([[[1.5, -0.75, 0.75], [-1.5, 0.75, -0.75]]])
    torch.testing.assert_close(head_gradient(features, labels, heads, include_bias=True), expected)


def test_gradients_of_all_classes_cancel() -> None:
    features, labels, drawn = _problem()
    total = head_gradient(features, labels, drawn, include_bias=True).sum(dim=1)
    torch.testing.assert_close(total, torch.zeros_like(total))


def test_features_get_the_gradient_that_double_backward_gives() -> None:
    features, labels, drawn = _problem()
    real = head_gradient(*_problem(seed=1)[:2], drawn, include_bias=True)
    closed, slow = features.clone().requires_grad_(), features.clone().requires_grad_()
    matching_loss(real, head_gradient(closed, labels, drawn, include_bias=True)).backward()
    gradient = _autograd(slow, labels, drawn, include_bias=True, create_graph=True)
    matching_loss(real, gradient).backward()
    torch.testing.assert_close(closed.grad, slow.grad, rtol=1e-10, atol=1e-12)


def test_matching_loss_passes_gradcheck() -> None:
    features, labels, drawn = _problem()
    real = head_gradient(*_problem(seed=1)[:2], drawn, include_bias=True)
    features.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: matching_loss(real, head_gradient(z, labels, drawn, include_bias=True)), (features,)
    )


@given(st.floats(1e-4, 1e4), st.floats(1e-4, 1e4))
def test_scaling_all_gradients_leaves_the_loss_unchanged(scale: float, other: float) -> None:
    generator = torch.Generator().manual_seed(0)
    real, synthetic = torch.randn(2, 3, CLASSES, WIDTH, generator=generator, dtype=torch.float64)
    expected = matching_loss(real, synthetic)
    torch.testing.assert_close(matching_loss(real * scale, synthetic * other), expected)


def test_loss_is_zero_for_equal_one_for_orthogonal_two_for_opposite_gradients() -> None:
    gradient = torch.tensor([[[1.0, 2.0], [3.0, -1.0]]])
    orthogonal = torch.tensor([[[2.0, -1.0], [1.0, 3.0]]])
    losses = [matching_loss(gradient, other).item() for other in (gradient, orthogonal, -gradient)]
    assert losses == pytest.approx([0, 1, 2], abs=1e-6)


def test_loss_is_the_mean_over_heads() -> None:
    real = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    synthetic = torch.tensor([[[5.0, 0.0]], [[0.0, 0.1]]])  # cosines 1 and 0
    assert matching_loss(real, synthetic).item() == pytest.approx(0.5)


def test_loss_is_one_cosine_over_all_classes_not_a_mean_of_cosines() -> None:
    real = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    synthetic = torch.tensor([[[3.0, 0.0], [0.0, -1.0]]])  # cosine (3 - 1) / (√2 √10), mean of cosines 0
    assert matching_loss(real, synthetic).item() == pytest.approx(1 - 2 / math.sqrt(20))


def test_normal_heads_have_the_given_spread_and_no_bias(generator: torch.Generator) -> None:
    weight, bias = draw_heads(50, 10, 40, init="normal", std=0.01, generator=generator)
    assert weight.shape == (50, 10, 40)
    assert weight.mean().abs().item() < 5 * 0.01 / math.sqrt(weight.numel())
    assert weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert torch.equal(bias, torch.zeros(50, 10))


def test_linear_heads_are_drawn_as_nn_linear_draws_them(generator: torch.Generator) -> None:
    weight, bias = draw_heads(50, 10, 16, init="linear", std=123.0, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reference = torch.nn.Linear(16, 1000)
    for ours, theirs in ((weight, reference.weight), (bias, reference.bias)):
        assert ours.abs().max().item() <= 0.25
        assert theirs.abs().max().item() <= 0.25
        assert ours.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.05)
        assert theirs.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("init", ["normal", "linear"])
def test_heads_depend_on_the_generator_alone(init: str) -> None:
    def draw(seed: int) -> Heads:
        return draw_heads(2, 3, 4, init=init, std=1, generator=torch.Generator().manual_seed(seed))

    before = torch.get_rng_state()
    assert torch.equal(draw(5)[0], draw(5)[0])
    assert not torch.equal(draw(5)[0], draw(6)[0])
    assert torch.equal(torch.get_rng_state(), before)
