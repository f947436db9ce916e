"""ImageNet and its subsets, in miniature and in the layouts people have, give the right images and labels."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.miniatures import picture, read, summary
from scipy.io import savemat

from lgm_core.data.catalogue import DATASETS, class_titles
from lgm_core.data.readers import IMAGENET1K, IMAGENET100, class_list
from lgm_core.data.sources import load_images
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.sources import DatasetSource

WNIDS = class_list(IMAGENET1K)
FRUITS = (953, 954, 949, 950, 951, 957, 952, 945, 943, 948)


def lay_out_imagenet(root: Path, wnids: list[str]) -> None:
    """Two training and two validation images of some classes, in class folders."""
    for shade, wnid in enumerate(wnids):
        for number in range(2):
            picture(root / f"train/{wnid}/{wnid}_{number}.JPEG", shade)
            picture(root / f"val/{wnid}/ILSVRC2012_val_{2 * shade + number + 1:08d}.JPEG", shade)


def test_imagenet_subset_is_a_list_of_classes_in_its_own_order(tmp_path: Path) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    lay_out_imagenet(tmp_path / "imagenet", [*sorted(chosen), "n01440764"])
    train, test = read("imagenet-fruits", tmp_path)
    assert train.classes == tuple(chosen)
    assert len(train) == len(test) == 20
    assert train.names[0] == f"train/{chosen[0]}/{chosen[0]}_0.JPEG"
    assert train.decode(0).getpixel((0, 0)) == (sorted(chosen).index(chosen[0]),) * 3
    assert train.labels.tolist() == [label for label in range(10) for _ in range(2)]


def test_imagenet100_is_sorted_and_found_in_a_folder_of_its_own(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet100", list(class_list(IMAGENET100)))
    train, test = read("imagenet100", tmp_path)
    assert list(train.classes) == sorted(train.classes)
    assert (len(train), len(test)) == (200, 200)


@pytest.mark.slow
def test_imagenet1k_numbers_classes_by_sorted_wnid(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "elsewhere", list(WNIDS))
    train, _ = read(f"imagenet1k:{tmp_path / 'elsewhere'}", tmp_path)
    assert train.classes == WNIDS == tuple(sorted(WNIDS))
    assert summary(train)[-1][1] == WNIDS[-1]


def flat_validation(root: Path, wnids: list[str]) -> list[str]:
    """Validation images without class folders; the class of each."""
    truth = [wnids[number % len(wnids)] for number in range(2 * len(wnids))]
    for number in range(len(truth)):
        picture(root / f"val/ILSVRC2012_val_{number + 1:08d}.JPEG")
    return truth


def kaggle_list(root: Path, truth: list[str]) -> None:
    with (root / "LOC_val_solution.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["ImageId", "PredictionString"])
        for number, wnid in reversed(list(enumerate(truth, start=1))):
            writer.writerow([f"ILSVRC2012_val_{number:08d}", f"{wnid} 1 2 3 4 {wnid} 5 6 7 8"])


def wnid_list(root: Path, truth: list[str]) -> None:
    (root / "imagenet_2012_validation_synset_labels.txt").write_text("\n".join(truth) + "\n")


def development_kit(root: Path, truth: list[str]) -> None:
    data = root / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    own_order = sorted(set(truth), reverse=True)
    rows = np.zeros(len(own_order), dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)])
    for number, wnid in enumerate(own_order):
        rows[number] = (number + 1, wnid, "words")
    savemat(data / "meta.mat", {"synsets": rows})
    lines = [str(own_order.index(wnid) + 1) for wnid in truth]
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("write_list", [kaggle_list, wnid_list, development_kit])
def test_flat_validation_images_get_their_classes_from_a_list(
    write_list: Callable[[Path, list[str]], None], tmp_path: Path
) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    for wnid in chosen:
        picture(tmp_path / f"imagenet/train/{wnid}/x.JPEG")
    truth = flat_validation(tmp_path / "imagenet", [*chosen, "n01440764"])
    write_list(tmp_path / "imagenet", truth)
    _, test = read("imagenet-fruits", tmp_path)
    expected = {f"val/ILSVRC2012_val_{number:08d}.JPEG": wnid for number, wnid in enumerate(truth, start=1)}
    assert dict(summary(test)) == {name: wnid for name, wnid in expected.items() if wnid in chosen}
    assert len(test) == 20


def test_flat_validation_images_without_a_list_say_what_is_missing(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet", [WNIDS[number] for number in FRUITS])
    (tmp_path / "imagenet/val").rename(tmp_path / "imagenet/old")
    flat_validation(tmp_path / "imagenet", ["n01440764"])
    with pytest.raises(InputError, match=r"lie flat.*LOC_val_solution\.csv"):
        read("imagenet-fruits", tmp_path)


def test_flat_validation_images_that_the_list_lacks_are_named(tmp_path: Path) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    lay_out_imagenet(tmp_path / "imagenet", chosen)
    (tmp_path / "imagenet/val").rename(tmp_path / "imagenet/old")
    wnid_list(tmp_path / "imagenet", flat_validation(tmp_path / "imagenet", chosen))
    for name in ("ILSVRC2012_val_00000021.JPEG", "photo.JPEG"):
        picture(tmp_path / "imagenet/val" / name)
    told = r"no class is known of val/ILSVRC2012_val_00000021\.JPEG, val/photo\.JPEG"
    with pytest.raises(InputError, match=told):
        read("imagenet-fruits", tmp_path)


def test_a_development_kit_without_its_key_is_named(tmp_path: Path) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    lay_out_imagenet(tmp_path / "imagenet", chosen)
    (tmp_path / "imagenet/val").rename(tmp_path / "imagenet/old")
    development_kit(tmp_path / "imagenet", flat_validation(tmp_path / "imagenet", chosen))
    (tmp_path / "imagenet/ILSVRC2012_devkit_t12/data/meta.mat").unlink()
    with pytest.raises(InputError, match=r"ground_truth\.txt needs .*meta\.mat beside it"):
        read("imagenet-fruits", tmp_path)


def test_kaggles_folders_are_found(tmp_path: Path) -> None:
    chosen = [WNIDS[number] for number in FRUITS]
    lay_out_imagenet(tmp_path / "imagenet/ILSVRC/Data/CLS-LOC", chosen)
    assert len(read("imagenet-fruits", tmp_path)[0]) == 20


def test_missing_class_folders_are_counted_and_named(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet", [WNIDS[number] for number in FRUITS[1:]])
    with pytest.raises(InputError, match=rf"lacks 1 of 10 class folders in .*/train: {WNIDS[953]}"):
        read("imagenet-fruits", tmp_path)


NETTE = [WNIDS[number] for number in (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)]


@pytest.mark.parametrize("folder", ["imagenette2", "imagenette2-320", "imagenette2-160", "imagenette"])
def test_fastais_folders_are_found_before_a_whole_imagenet(tmp_path: Path, folder: str) -> None:
    lay_out_imagenet(tmp_path / "imagenet", NETTE)
    lay_out_imagenet(tmp_path / folder, NETTE)
    (tmp_path / folder / f"train/{NETTE[3]}/{NETTE[3]}_1.JPEG").unlink()
    train, test = read("imagenette", tmp_path)
    assert train.classes == tuple(NETTE)
    assert (len(train), len(test)) == (19, 20)
    assert train.root == tmp_path / folder


def test_a_whole_imagenet_has_imagenette_and_imagewoof(tmp_path: Path) -> None:
    lay_out_imagenet(tmp_path / "imagenet", [*NETTE, *DATASETS["imagewoof"].read.keywords["classes"]])
    for name in ("imagenette", "imagewoof"):
        train, test = read(name, tmp_path)
        assert (len(train), len(test)) == (20, 20)
        assert train.root == tmp_path / "imagenet"


def test_counts_are_those_of_the_folder_that_was_found(tmp_path: Path) -> None:
    source = DatasetSource("imagenette")
    lay_out_imagenet(tmp_path / "imagenet", NETTE)
    with pytest.raises(InputError, match="expected 10 classes, 732 to 1,300 in each"):
        load_images(source, "train", tmp_path)
    lay_out_imagenet(tmp_path / "imagenette2-160", NETTE)
    with pytest.raises(InputError, match="expected 9,469 images in 10 classes") as caught:
        load_images(source, "train", tmp_path)
    assert "imagenette2-160.tgz" in str(caught.value)
    assert "image-net.org" in str(caught.value)


def test_every_class_of_imagenet_has_a_title_of_its_own() -> None:
    titles = class_titles()
    assert tuple(titles) == WNIDS
    assert len(set(titles.values())) == len(WNIDS)
    assert [titles[wnid] for wnid in NETTE] == [
        "tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck",
        "gas pump", "golf ball", "parachute",
    ]  # fmt: skip
