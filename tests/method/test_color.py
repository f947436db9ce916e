"""The decorrelated colour space is Lucid's, normalised by its largest column."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lgm_core.method.color import correlate, decorrelation_matrix

CORRELATION_SQRT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


def test_largest_column_norm_is_one() -> None:
    norms = decorrelation_matrix(dtype=torch.float64).norm(dim=0)
    assert norms.max().item() == pytest.approx(1, abs=1e-15)
    assert norms.argmax().item() == 0


def test_matrix_is_the_published_one_up_to_its_scale() -> None:
    matrix = decorrelation_matrix(dtype=torch.float64).numpy()
    np.testing.assert_allclose(matrix / matrix[0, 0], CORRELATION_SQRT / 0.26, rtol=1e-14)


def test_correlate_equals_lucid_on_flattened_pixels(generator: torch.Generator) -> None:
    images = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    normalized = CORRELATION_SQRT / np.max(np.linalg.norm(CORRELATION_SQRT, axis=0))
    flat = images.permute(0, 2, 3, 1).reshape(-1, 3).numpy() @ normalized.T
    expected = torch.from_numpy(flat).reshape(2, 4, 5, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(correlate(images), expected)


def test_first_channel_is_brightness() -> None:
    images = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    expected = torch.tensor([0.26, 0.27, 0.27]) / (0.26**2 + 2 * 0.27**2) ** 0.5
    torch.testing.assert_close(correlate(images)[0, :, 0, 0], expected)


def test_correlate_is_linear(generator: torch.Generator) -> None:
    a, b = torch.randn(2, 1, 3, 2, 2, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(correlate(2 * a - 3 * b), 2 * correlate(a) - 3 * correlate(b))


def test_gradient_is_the_transposed_matrix(generator: torch.Generator) -> None:
    images = torch.zeros(1, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, dtype=torch.float64, generator=generator)
    (correlate(images)[0, :, 0, 0] @ weights).backward()
    assert images.grad is not None
    torch.testing.assert_close(images.grad[0, :, 0, 0], decorrelation_matrix(dtype=torch.float64).T @ weights)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_element_type_is_kept(dtype: torch.dtype) -> None:
    assert correlate(torch.zeros(1, 3, 2, 2, dtype=dtype)).dtype == dtype
    assert decorrelation_matrix(dtype=dtype).dtype == dtype
