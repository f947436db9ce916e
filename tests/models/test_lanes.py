"""Parts of a batch side by side are the batch, forward and back, whatever number of threads there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from models.toy_models import images, timm_model
from torch import Tensor

from lgm_core.foundation.microbatch import peak_bytes
from lgm_core.models.cpu.lanes import in_lanes, lane_count
from lgm_core.models.frozen import FrozenBackbone, freeze

STATISTICS = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.fixture(params=[2, 3, 16])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads for this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["test_resnet", "test_vit", "test_efficientnet"])
def backbone(request: pytest.FixtureRequest) -> FrozenBackbone:
    """One of each kind."""
    return freeze(timm_model(request.param), STATISTICS, input_size=160)


def _by_parts(backbone: FrozenBackbone, pixels: Tensor, count: int) -> Tensor:
    """The features of the parts one after another, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    features = torch.cat([backbone(part) for part in pixels.tensor_split(count)])
    torch.set_num_threads(before)
    return features


def _gradient(features: Tensor, pixels: Tensor) -> Tensor:
    return torch.autograd.grad(features.square().sum(), pixels)[0]


def test_features_and_gradients_are_bit_for_bit_those_of_one_part_after_another(
    backbone: FrozenBackbone, threads: int
) -> None:
    pixels = images(13, 160).requires_grad_()
    count = lane_count(pixels)
    assert count == min(threads, 3)
    with torch.no_grad():
        expected = _by_parts(backbone, pixels, count)
        torch.set_num_threads(count)  # one for each lane
        assert torch.equal(backbone(pixels), expected)
    assert torch.equal(backbone.embed(pixels), expected)
    if backbone.memory_format == torch.channels_last:
        return  # a convolution's gradient is of the whole batch
    expected = _by_parts(backbone, pixels, count)
    torch.set_num_threads(1)
    expected_gradient = _gradient(expected, pixels)
    torch.set_num_threads(count)  # one for each lane
    features = backbone(pixels)
    assert torch.equal(features, expected)
    assert torch.equal(_gradient(features, pixels), expected_gradient)


def test_the_gradient_of_a_convolutional_backbone_has_no_lanes(threads: int) -> None:
    """So that distilled images are the same on one thread and on as many as stages side by side leave it."""
    backbone = freeze(timm_model("test_resnet"), STATISTICS, input_size=160)
    pixels = images(16, 160).requires_grad_()
    sizes: list[int] = []
    backbone.model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    backbone(pixels)
    assert sizes == [16]
    with torch.no_grad():
        backbone(pixels)
    assert sum(sizes[1:]) == 16
    assert len(sizes[1:]) == lane_count(pixels) > 1


def test_a_batch_is_what_it_is_without_lanes(backbone: FrozenBackbone, threads: int) -> None:
    pixels = images(13, 160).requires_grad_()
    whole = _by_parts(backbone, pixels, 1)
    features = backbone(pixels)
    torch.testing.assert_close(features, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(_gradient(features, pixels), _gradient(whole, pixels), rtol=1e-3, atol=1e-5)


def test_a_graph_may_be_gone_through_again(backbone: FrozenBackbone, threads: int) -> None:
    pixels = images(8, 160).requires_grad_()
    loss = backbone(pixels).square().sum()
    first = torch.autograd.grad(loss, pixels, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, pixels)[0])


def test_every_lane_has_its_share_of_the_threads_and_the_caller_keeps_its_own(threads: int) -> None:
    seen: dict[str, int] = {}
    meet = threading.Barrier(min(threads, 8), timeout=60)  # passed only if all lanes run at once

    def model(part: Tensor) -> Tensor:
        meet.wait()
        seen[threading.current_thread().name] = torch.get_num_threads()
        return part

    pixels = torch.arange(32.0)[:, None]
    assert torch.equal(in_lanes(model, pixels), pixels)
    assert len(seen) == min(threads, 8)
    assert set(seen.values()) == {threads // len(seen)}
    assert torch.get_num_threads() == threads
    later = threading.Thread(target=lambda: seen.update(later=torch.get_num_threads()))
    later.start()
    later.join()
    assert seen["later"] == threads


def test_an_error_in_a_lane_is_the_callers(threads: int) -> None:
    def model(part: Tensor) -> Tensor:
        if part[0] == 0:
            raise torch.OutOfMemoryError("out of memory")
        return part

    with pytest.raises(torch.OutOfMemoryError):
        in_lanes(model, torch.arange(8.0)[:, None])
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("threads")
def test_a_few_images_what_is_measured_and_autocast_stay_in_one_lane() -> None:
    assert lane_count(torch.zeros(7)) == 1
    assert lane_count(torch.zeros(8)) == 2
    counts = []
    peak_bytes(lambda: counts.append(lane_count(torch.zeros(64))), torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16):
        counts.append(lane_count(torch.zeros(64)))
    assert counts == [1, 1]


def test_one_thread_has_one_lane() -> None:
    assert torch.get_num_threads() == 1
    assert lane_count(torch.zeros(64)) == 1


def test_the_backbones_own_precision_holds_in_every_lane(threads: int) -> None:
    half = freeze(timm_model("test_vit"), STATISTICS, input_size=160, precision="bfloat16")
    pixels = images(8, 160)
    features = half(pixels)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, _by_parts(half, pixels, 2), rtol=0.05, atol=0.05)
    exact = half(pixels, exact=True)
    assert not torch.equal(exact, features)
