"""What a full-data probe sees in an image, where the right answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluation.plain_colors import SIDE, cache_of, plain
from torch import Tensor, nn

from lgm_core.evaluation.accuracies import predict
from lgm_core.evaluation.full_data import evaluate_full
from lgm_core.evaluation.full_head import load_head, save_head
from lgm_core.evaluation.seen import CROPS, classes_seen, seen_facts
from lgm_core.features.augment import draw_views
from lgm_core.foundation.errors import DamagedFileError, MissingFileError, StaleFileError
from lgm_core.foundation.seeds import named_generator
from lgm_core.foundation.store import write_tensors
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.method import AugmentSettings

Probe = Callable[..., ProbeSettings]
NAMES = ("red", "green", "blue")
CROPPING = AugmentSettings(0.5, (0.08, 1.0), (3 / 4, 4 / 3), False, 0.0, 0.2, 1.0)
# Logits are ten times the mean color, from -1 to 1, of the class's channel.
HEAD = torch.cat([10 * torch.eye(3), torch.zeros(3, 1)], dim=1)


def seen(backbone: FrozenBackbone, images: Tensor, labels: list[int], seed: int = 0, **more: Tensor) -> list:
    head = more.get("head", HEAD)
    how = {"input_size": SIDE, "seed": seed}
    return classes_seen(backbone, head, images, torch.tensor(labels), CROPPING, **how)


def test_the_classes_are_those_of_the_softmax_of_the_heads_logits(backbone: FrozenBackbone) -> None:
    image = plain(torch.tensor([[0.55, 0.5, 0.45]]))  # features 0.1, 0 and -0.1: logits 1, 0 and -1
    (found,) = seen(backbone, image, [0])
    expected = torch.tensor([1.0, 0.0, -1.0]).softmax(0) * 100
    assert [number for number, _ in found["whole"]] == [0, 1, 2]
    assert [percent for _, percent in found["whole"]] == pytest.approx(expected.tolist(), abs=0.01)
    assert found["crops"] == [[n, pytest.approx(p, abs=0.02)] for n, p in found["whole"]]
    assert found["own_share"] == 100.0


def test_crops_of_a_picture_in_two_halves_disagree(backbone: FrozenBackbone) -> None:
    """What is seen in the crops is counted by hand: the color that more of the window is of."""
    halves = plain(torch.tensor([[0.0, 0.0, 0.0]]), side=64)
    halves[:, 0, :, :36] = 1
    halves[:, 1, :, 36:] = 1
    views = draw_views(CROPS, replace(CROPPING, noise_probability=0.0), named_generator(7, "crops"))
    left, _, width, _ = views.window.T
    red = ((36 / 64 - left) / width).clamp(0, 1)
    assert 0.05 < (red < 0.5).float().mean() < 0.95
    least, most = ((red > bound).float().mean().item() * 100 for bound in (0.55, 0.45))
    first, second = seen(backbone, halves.repeat(2, 1, 1, 1), [0, 1], seed=7)
    assert first["whole"][0][0] == 0
    shares = [seen(backbone, halves, [label], seed=7)[0]["own_share"] for label in (0, 1, 2)]
    assert least <= shares[0] <= most
    assert (sum(shares), shares[2]) == (100.0, 0.0)
    assert first["crops"][0][1] < first["whole"][0][1]
    assert {**first, "own_share": None} != {**second, "own_share": None}  # crops of its own


def test_crops_are_those_of_their_seed_and_have_no_noise(backbone: FrozenBackbone) -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    one, again, other = (seen(backbone, image, [0], seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one[0]["whole"] == other[0]["whole"]
    quiet = replace(CROPPING, noise_probability=0.0)
    calm = classes_seen(backbone, HEAD, image, torch.tensor([0]), quiet, input_size=SIDE, seed=1)
    assert calm == one


@pytest.mark.parametrize("classes", [3, 8])
def test_five_classes_at_most_are_named_the_most_probable_first(classes: int) -> None:
    backbone = FrozenBackbone(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (0.5,) * 3, (0.5,) * 3)
    head = torch.randn(classes, 4, generator=torch.Generator().manual_seed(0))
    images = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    for found in seen(backbone, images, [0, 1, 2, 0], head=head):
        for part in ("whole", "crops"):
            percent = [value for _, value in found[part]]
            assert len(percent) == min(5, classes)
            assert percent == sorted(percent, reverse=True)
            assert sum(percent) <= 100.1


def test_the_head_is_the_full_probe_of_the_first_seed(
    backbone: FrozenBackbone, short_probe: Probe, tmp_path: Path
) -> None:
    cache = cache_of(backbone, count=300, spread=0.9)
    found, head = evaluate_full(cache, short_probe(full_epochs=3, learning_rate=0.2, seeds=3), seed=0)
    right = (predict(head[None], cache.test)[0] == cache.test_labels).double().mean().item() * 100
    assert right == pytest.approx(found["full"]["top1"][0])
    save_head(tmp_path / "head.safetensors", head, cache.classes, {"dataset": "pets"})
    kept, facts = load_head(tmp_path / "head.safetensors", cache.classes, 3)
    assert torch.equal(kept, head)
    assert facts["dataset"] == "pets"


def test_a_head_of_other_classes_or_features_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(MissingFileError):
        load_head(path, NAMES, 3)
    save_head(path, HEAD, NAMES, {})
    for classes, width in ((("red", "blue", "green"), 3), (NAMES[:2], 3), (NAMES, 4)):
        with pytest.raises(StaleFileError, match="3 classes and 3 features"):
            load_head(path, classes, width)
    write_tensors(path, {"something": HEAD}, {"classes": list(NAMES)})
    with pytest.raises(DamagedFileError, match="holds no head"):
        load_head(path, NAMES, 3)
    save_head(path, HEAD, NAMES, {})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DamagedFileError, match="is damaged"):
        load_head(path, NAMES, 3)


def test_facts_say_what_the_numbers_of_classes_mean() -> None:
    facts = seen_facts(NAMES, dataset="colors", source="net")
    assert (facts["classes"], facts["crop_count"], facts["dataset"]) == (list(NAMES), CROPS, "colors")
