"""ImageNet on disk: class folders for training, and a validation set that lies flat or in class folders."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from lgm_core.data.readers import (
    Listing,
    first_folder,
    image_names,
    listing,
    read_class_folders,
    read_mat,
    some,
)
from lgm_core.foundation.errors import InputError


def read_imagenet(root: Path, split: str, classes: tuple[str, ...]) -> Listing:
    """ImageNet: `train/<wnid>/`, and `val` as class folders or flat with a list of its classes.

    Args:
        root: the folder of `train` and `val`, or that of a Kaggle download.
        split: `train` or `test`, which is the official validation set.
        classes: wnids in the order of their labels; a subset is a shorter list.
    """
    base = first_folder([root, root / "ILSVRC/Data/CLS-LOC"], holding="train")
    if split == "train":
        return read_class_folders(base, "train", classes)
    folder = first_folder([base / "val", base / "test", base / "validation"]).name
    flat = [name for name in image_names(base, folder) if name.count("/") == 1]
    if not flat:
        return read_class_folders(base, folder, classes)
    truth = _imagenet_truth(
        [root, base, base / folder, root / "ILSVRC2012_devkit_t12/data", root / "devkit/data"]
    )
    labels = {wnid: label for label, wnid in enumerate(classes)}
    wnids = [truth.get(_validation_number(name), "") for name in flat]
    unknown = [name for name, wnid in zip(flat, wnids, strict=True) if not wnid]
    if unknown:
        raise InputError(f"{base / folder}: no class is known of {some(unknown)}.")
    entries = [(name, labels[wnid]) for name, wnid in zip(flat, wnids, strict=True) if wnid in labels]
    return listing(base, classes, sorted(entries, key=lambda entry: (entry[1], entry[0])))


def _validation_number(name: str) -> int:
    """12 of ILSVRC2012_val_00000012.JPEG; 0, which no image has, of other names."""
    digits = PurePosixPath(name).stem.rpartition("_")[2]
    return int(digits) if digits.isdecimal() else 0


def _imagenet_truth(folders: list[Path]) -> dict[int, str]:
    """Validation image number → wnid, from any of the three lists that go round."""
    forms = {
        "LOC_val_solution.csv": _kaggle_truth,
        "ILSVRC2012_validation_ground_truth.txt": _devkit_truth,
        "imagenet_2012_validation_synset_labels.txt": _wnid_truth,
    }
    for folder in folders:
        for name, read in forms.items():
            if (folder / name).is_file():
                return read(folder / name)
    raise InputError(
        f"the validation images lie flat, without class folders, and none of {', '.join(forms)} was found in "
        f"{', '.join(str(folder) for folder in folders)}."
    )


def _kaggle_truth(path: Path) -> dict[int, str]:
    with path.open(newline="", encoding="utf-8") as opened:
        return {
            _validation_number(row["ImageId"]): row["PredictionString"].split()[0]
            for row in csv.DictReader(opened)
        }


def _wnid_truth(path: Path) -> dict[int, str]:
    return dict(enumerate(path.read_text(encoding="utf-8").split(), start=1))


def _devkit_truth(path: Path) -> dict[int, str]:
    """The development kit numbers classes in an order of its own; `meta.mat` beside the list says which."""
    meta = path.with_name("meta.mat")
    if not meta.is_file():
        raise InputError(f"{path} needs {meta} beside it, which says what its numbers mean.")
    synsets = read_mat(meta)["synsets"]
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    numbers = path.read_text(encoding="utf-8").split()
    return {place: wnids[int(number)] for place, number in enumerate(numbers, start=1)}
