"""An image set names and labels its images, wherever they come from, and shows a backbone squares of them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_zoo import noise
from PIL import Image
from torch.utils.data import Dataset, TensorDataset
from torchvision.transforms import functional as vision

from lgm_core.foundation.errors import InputError
from lgm_core.images import ImageSet, shrink, square, squares

# Sets of any samples

BYTES = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)


class Labelled(Dataset[Any]):
    """A torch data set as torchvision's are: samples, `targets` and `classes`."""

    classes = ("cat", "dog", "owl")

    def __init__(self, samples: list[tuple[Any, int]]) -> None:
        self.samples, self.opened = samples, 0
        self.targets = [label for _, label in samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        self.opened += 1
        return self.samples[index]


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def test_a_torch_data_set_has_its_own_classes_and_labels() -> None:
    samples = Labelled([(noise(6, 5, seed), seed % 3) for seed in range(4)])
    images = ImageSet.of(samples)
    assert (images.classes, images.labels.tolist()) == (("cat", "dog", "owl"), [0, 1, 2, 0])
    assert (len(images), images.names) == (4, ("0", "1", "2", "3"))
    assert (images.groups, images.group_names, images.root) == (None, (), None)
    assert samples.opened == 0
    assert images.decode(3).tobytes() == noise(6, 5, 3).tobytes()
    assert samples.opened == 1


def test_tensors_of_bytes_are_the_pixels() -> None:
    images = ImageSet.of(TensorDataset(BYTES, torch.tensor([1, 0])))
    assert (images.classes, images.labels.tolist()) == (("0", "1"), [1, 0])
    for index in range(2):
        assert images.decode(index).size == (5, 4)
        assert torch.equal(pixels(images.decode(index)), BYTES[index])


def test_tensors_of_floats_are_shares_of_white() -> None:
    images = ImageSet.of([(BYTES[0].float() / 255, 0), (BYTES[1].double() / 255, 1)])
    assert all(torch.equal(pixels(images.decode(index)), BYTES[index]) for index in range(2))
    beyond = ImageSet.of([(torch.tensor([-0.5, 0.5, 1.5])[:, None, None].expand(3, 2, 2), 0)])
    assert beyond.decode(0).getpixel((1, 1)) == (0, 128, 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_pictures_of_any_mode_become_rgb(mode: str) -> None:
    images = ImageSet.of([(Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode), 0)])
    assert images.decode(0).mode == "RGB"
    assert images.decode(0).getpixel((2, 1)) == (255, 255, 255)


def test_classes_that_are_named_go_before_the_sets_own() -> None:
    samples = Labelled([(noise(2, 2), 1)])
    assert ImageSet.of(samples, ["a", "b"]).classes == ("a", "b")
    assert ImageSet.of([(noise(2, 2), 1)], ("a", "b")).labels.tolist() == [1]


def test_classes_without_a_name_are_numbers_up_to_the_last_one_there_is() -> None:
    assert ImageSet.of([(noise(2, 2), 0), (noise(2, 2), 3)]).classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 2], ("a", "b"), "Labels are 0 to 2 for 2 classes"),
        ([-1, 0], ("a", "b"), "Labels are -1 to 0 for 2 classes"),
        ([-1, 0], (), "Labels are -1 to 0 for 1 classes"),
    ],
)
def test_labels_beyond_the_classes_are_refused(
    labels: list[int], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ImageSet.of([(noise(2, 2), label) for label in labels], classes)


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_a_set_without_an_image_is_refused(classes: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="There is no image"):
        ImageSet.of([], classes)


def test_a_set_can_be_sent_to_other_processes() -> None:
    images = ImageSet.of([(BYTES[0], 0), (noise(5, 4), 1)])
    again: ImageSet = pickle.loads(pickle.dumps(images))
    assert [again.decode(index).tobytes() for index in range(2)] == [
        images.decode(index).tobytes() for index in range(2)
    ]


@pytest.mark.parametrize("groups", [None, torch.tensor([1, 0])])
def test_none_of_a_set_has_its_classes_and_groups_and_no_image(groups: torch.Tensor | None) -> None:
    names = () if groups is None else ("cat/snow", "cat/sand")
    whole = ImageSet(("cat",), torch.tensor([0, 0]), ("x", "y"), lambda index: noise(2, 2), groups, names)
    empty = whole.none()
    assert (len(empty), empty.labels.tolist(), empty.names) == (0, [], ())
    assert (empty.classes, empty.group_names) == (("cat",), names)
    assert (empty.groups is None) == (groups is None)
    assert len(whole) == 2


# Squares


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.booleans())
def test_square_has_the_asked_side_whatever_the_image(
    width: int, height: int, side: int, placed: bool
) -> None:
    generator = torch.Generator().manual_seed(0) if placed else None
    found = square(noise(width, height), side, generator)
    assert found.shape == (3, side, side)
    assert found.dtype == torch.uint8


def test_square_image_of_the_asked_side_is_unchanged() -> None:
    image = noise(9, 9)
    assert shrink(image, 9) is image
    assert torch.equal(square(image, 9), pixels(image))
    assert torch.equal(square(image, 9, torch.Generator().manual_seed(0)), pixels(image))


@pytest.mark.parametrize(
    ("size", "expected"), [((80, 40), (40, 20)), ((30, 45), (20, 30)), ((5, 7), (20, 28))]
)
def test_shrinking_keeps_the_proportions(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shrink(noise(*size), 20).size == expected


@pytest.mark.parametrize(("width", "height", "left", "top"), [(12, 6, 3, 0), (6, 13, 0, 3), (9, 6, 1, 0)])
def test_square_is_cut_out_of_the_middle(width: int, height: int, left: int, top: int) -> None:
    image = noise(width, height)
    expected = np.asarray(image)[top : top + 6, left : left + 6]
    np.testing.assert_array_equal(square(image, 6).permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(("width", "height"), [(80, 40), (40, 80), (40, 40), (10, 20)])
def test_square_equals_torchvision_resize_and_center_crop(width: int, height: int) -> None:
    image = noise(width, height)
    resized = vision.resize(image, 20)  # bilinear, as the published code has it
    expected = np.asarray(vision.center_crop(resized, [20, 20]))
    np.testing.assert_array_equal(square(image, 20).permute(1, 2, 0).numpy(), expected)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_shrinking_equals_torchvisions_resize_of_pictures(width: int, height: int, side: int) -> None:
    image = noise(width, height)
    assert shrink(image, side).tobytes() == vision.resize(image, side).tobytes()


def test_shrinking_averages_over_all_pixels_that_become_one() -> None:
    """Stripes finer than the result become grey; without antialiasing some of them would be picked."""
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    found = np.asarray(shrink(Image.fromarray(stripes), 8)).astype(int)
    assert abs(found[:, 1:-1] - 127).max() <= 3


@pytest.mark.parametrize("upright", [False, True])
def test_random_squares_lie_anywhere_along_the_longer_side(upright: bool) -> None:
    ramp = np.broadcast_to(np.arange(0, 200, dtype=np.uint8)[None, :, None], (20, 200, 3))
    image = Image.fromarray(np.ascontiguousarray(ramp.swapaxes(0, 1) if upright else ramp))
    generator = torch.Generator().manual_seed(0)
    starts = [int(square(image, 20, generator)[0, 0, 0]) for _ in range(300)]
    assert min(starts) >= 0
    assert max(starts) <= 180
    assert min(starts) < 15
    assert max(starts) > 165
    assert np.mean(starts) == pytest.approx(90, abs=12)


def test_random_square_depends_on_the_generator_alone() -> None:
    image = noise(40, 10)
    first, again = (square(image, 10, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_squares_are_floats_between_0_and_1_in_the_asked_order() -> None:
    colors = [(250, 10, 20), (0, 128, 255), (30, 200, 90)]
    images = ImageSet.of(
        [(Image.new("RGB", (6 + label, 5), color), label) for label, color in enumerate(colors)]
    )
    batch = squares(images, [2, 0], 4)
    assert batch.shape == (2, 3, 4, 4)
    for found, label in zip(batch, (2, 0), strict=True):
        expected = (torch.tensor(colors[label]) / 255)[:, None, None].expand(3, 4, 4)
        torch.testing.assert_close(found, expected)
