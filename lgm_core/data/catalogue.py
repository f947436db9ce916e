"""What has to be known about a data set: where it lies, its layout, what it should hold, how to get it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lgm_core.data import published
from lgm_core.data.imagenet import read_imagenet
from lgm_core.data.readers import (
    IMAGENET1K,
    IMAGENET100,
    IMAGENET_NAMES,
    Listing,
    class_list,
    read_split_folders,
)

_ABOUT = {
    "digits": "scikit-learn's handwritten digits, 8 × 8 pixels",
    "toy:shapes": "ten procedural shapes under strong nuisance, in place of ImageNet",
    "toy:stars": "procedural stars of 4 to 8 points, in place of a fine-grained set such as Stanford Dogs",
    "toy:polygons": "procedural polygons of 3 to 7 corners, in place of a fine-grained set such as CUB-200",
    "toy:spurious": "four procedural shapes; in training nine of ten lie on a texture of their own, in the "
    "test set none does; in place of Spawrious",
    "toy:birds": "two procedural shapes, one of them rare, each mostly on its own background in training; in "
    "place of Waterbirds",
    "toy:flags": "procedural flags, six arrangements of free colours, in place of Flowers-102",
    "toy:glyphs": "six procedural glyphs in free colours on textures, in place of Food-101",
    "toy:linework": "procedural ink drawings in five styles, unlike photographs, in place of ArtBench",
}


def about(source: str) -> str:
    """The line about a data set's source by its name; empty for a data set of one's own."""
    return _ABOUT.get(source, "")


def class_titles() -> dict[str, str]:
    """What a class is called in print, by its name in a data set: ImageNet's wnids in words, from WordNet."""
    return dict(zip(class_list(IMAGENET1K), class_list(IMAGENET_NAMES), strict=True))


Range = tuple[int, int]


@dataclass(frozen=True)
class Edition:
    """A copy of a data set with a split of its own, which lies in folders of its own.

    Attributes:
        folders: names under the data folder where it is looked for, before all others.
        images, per_class, get: as a row has them.
    """

    folders: tuple[str, ...]
    images: dict[str, int | None]
    per_class: dict[str, Range]
    get: str


@dataclass(frozen=True)
class DatasetRow:
    """A published data set.

    Attributes:
        title: its name in print.
        folders: names under the data folder where it is looked for.
        read: the data set's folder and a split → what is there.
        layout: the expected tree, in a line.
        classes: their number.
        images: their number, by split; None where it follows from the images per class.
        per_class: fewest and most images of a class, by split.
        get: where to get it.
        license: terms of the images.
        edition: another split that goes round under the same name; the folder tells which of them it is.
    """

    title: str
    folders: tuple[str, ...]
    read: Callable[[Path, str], Listing]
    layout: str
    classes: int
    images: dict[str, int | None]
    per_class: dict[str, Range]
    get: str
    license: str
    edition: Edition | None = None

    def of_folder(self, root: Path) -> DatasetRow:
        """The row with the counts of what lies in a folder."""
        if self.edition is None or root.name not in self.edition.folders:
            return self
        found = self.edition
        return replace(self, images=found.images, per_class=found.per_class, get=found.get)


def _even(train: int, test: int) -> dict[str, Range]:
    return {"train": (train, train), "test": (test, test)}


def _imagenet(
    title: str, classes: tuple[str, ...], train: int | None, folders: tuple[str, ...] = ()
) -> DatasetRow:
    """ImageNet or a subset, which is a list of classes over the same folder."""
    return DatasetRow(
        title=title,
        folders=(*folders, "imagenet", "imagenet1k", "ILSVRC2012"),
        read=partial(read_imagenet, classes=classes),
        layout="train/<wnid>/*.JPEG and val/<wnid>/*.JPEG, or val/*.JPEG flat with LOC_val_solution.csv, "
        "imagenet_2012_validation_synset_labels.txt or the development kit beside it",
        classes=len(classes),
        images={"train": train, "test": 50 * len(classes)},
        per_class={"train": (732, 1300), "test": (50, 50)},
        get="https://image-net.org/download-images (ILSVRC 2012), after registering",
        license="non-commercial research, ImageNet's terms of access",
    )


def _fastai(name: str, train: int, test: int) -> Edition:
    """fast.ai's `<name>2` in its three sizes: class folders with a split of its own, about 7 : 3."""
    sizes = tuple(f"{name}2{size}" for size in ("", "-320", "-160"))
    return Edition(
        folders=(*sizes, name),
        images={"train": train, "test": test},
        per_class={"train": (500, 1300), "test": (200, 650)},
        get=f"https://s3.amazonaws.com/fast-ai-imageclas/{name}2-160.tgz (160 pixels, about 95 MB; also -320 "
        "and, without a suffix, the whole)",
    )


_WNIDS = class_list(IMAGENET1K)
# Ten-class subsets of the literature, as ImageNet-1k class numbers in the order of their labels.
_TEN = {
    "birds": (84, 130, 88, 144, 145, 22, 96, 9, 100, 89),
    "fruits": (953, 954, 949, 950, 951, 957, 952, 945, 943, 948),
    "cats": (281, 282, 283, 284, 285, 291, 292, 290, 289, 287),
    "nette": (0, 217, 482, 491, 497, 566, 569, 571, 574, 701),
    "woof": (193, 182, 258, 162, 155, 167, 159, 273, 207, 229),
    "a": (255, 376, 984, 364, 500, 986, 333, 576, 148, 135),
    "b": (129, 916, 90, 275, 995, 874, 102, 259, 685, 139),
    "c": (565, 94, 554, 535, 92, 392, 291, 136, 324, 11),
    "d": (9, 258, 13, 262, 19, 339, 321, 24, 93, 322),
    "e": (816, 96, 100, 145, 739, 713, 783, 76, 688, 326),
}

_FASTAI = {"nette": _fastai("imagenette", 9_469, 3_925), "woof": _fastai("imagewoof", 9_025, 3_929)}


def _subset(name: str) -> tuple[str, ...]:
    return tuple(_WNIDS[number] for number in _TEN[name])


DATASETS: dict[str, DatasetRow] = {
    "imagenet1k": _imagenet("ImageNet-1k", _WNIDS, 1_281_167),
    "imagenet100": _imagenet("ImageNet-100", class_list(IMAGENET100), 126_689, ("imagenet100",)),
    **{
        f"imagenet-{name}": _imagenet(f"ImageNet-{name.capitalize()}", _subset(name), None)
        for name in _TEN
        if name not in _FASTAI
    },
    **{
        f"image{name}": replace(_imagenet(f"Image{name}", _subset(name), None), edition=edition)
        for name, edition in _FASTAI.items()
    },
    "dogs": DatasetRow(
        title="Stanford Dogs",
        folders=("dogs", "stanford_dogs", "StanfordDogs"),
        read=published.read_stanford_dogs,
        layout="Images/<class>/*.jpg, train_list.mat, test_list.mat (here or in lists/)",
        classes=120,
        images={"train": 12_000, "test": 8_580},
        per_class={"train": (100, 100), "test": (48, 152)},
        get="http://vision.stanford.edu/aditya86/ImageNetDogs/ (images.tar, lists.tar)",
        license="non-commercial research, ImageNet's terms of access",
    ),
    "cub": DatasetRow(
        title="CUB-200-2011",
        folders=("cub", "CUB_200_2011"),
        read=published.read_cub,
        layout="images.txt, image_class_labels.txt, train_test_split.txt, classes.txt, images/<class>/*.jpg",
        classes=200,
        images={"train": 5_994, "test": 5_794},
        per_class={"train": (29, 30), "test": (11, 30)},
        get="https://www.vision.caltech.edu/datasets/cub_200_2011/ (CUB_200_2011.tgz)",
        license="non-commercial research and education",
    ),
    "flowers102": DatasetRow(
        title="Flowers-102",
        folders=("flowers102", "flowers-102"),
        read=published.read_flowers102,
        layout="jpg/image_00001.jpg …, imagelabels.mat, setid.mat",
        classes=102,
        images={"train": 1_020, "test": 6_149},
        per_class={"train": (10, 10), "test": (20, 238)},
        get="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/, or torchvision.datasets.Flowers102",
        license="not stated; images from the web, for research",
    ),
    "food101": DatasetRow(
        title="Food-101",
        folders=("food101", "food-101"),
        read=published.read_food101,
        layout="meta/{classes,train,test}.txt, images/<class>/*.jpg",
        classes=101,
        images={"train": 75_750, "test": 25_250},
        per_class=_even(750, 250),
        get="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/, or torchvision.datasets.Food101",
        license="images from foodspotting.com, scientific fair use",
    ),
    "spawrious": DatasetRow(
        title="Spawrious (one-to-one, hard)",
        folders=("spawrious", "spawrious224"),
        read=published.read_spawrious,
        layout="{0,1}/{desert,jungle,mountain,snow,beach}/{bulldog,corgi,dachshund,labrador}/*.png",
        classes=4,
        images={"train": 25_344, "test": 25_344},
        per_class=_even(6_336, 6_336),
        get="https://github.com/aengusl/spawrious (o2o_hard)",
        license="CC-BY-4.0",
    ),
    "waterbirds": DatasetRow(
        title="Waterbirds",
        folders=("waterbirds", "waterbird_complete95_forest2water2", "waterbirds_v1.0"),
        read=published.read_waterbirds,
        layout="metadata.csv and the images that it names, <class>/*.jpg",
        classes=2,
        images={"train": 4_795, "test": 5_794},
        per_class={"train": (1_113, 3_682), "test": (1_284, 4_510)},
        get="https://github.com/kohpangwei/group_DRO (waterbird_complete95_forest2water2), or WILDS",
        license="made from CUB-200-2011 and Places, for non-commercial research",
    ),
    "artbench": DatasetRow(
        title="ArtBench-10",
        folders=("artbench", "artbench-10-imagefolder-split"),
        read=published.read_artbench,
        layout="{train,test}/<style>/*.jpg",
        classes=10,
        images={"train": 50_000, "test": 10_000},
        per_class=_even(5_000, 1_000),
        get="https://github.com/liaopeiyuan/artbench (256 × 256, image folder with split)",
        license="fair use, see the data set's page",
    ),
    "cifar10": DatasetRow(
        title="CIFAR-10",
        folders=("cifar10",),
        read=read_split_folders,
        layout="{train,test}/<class>/*.png; torchvision's own files are read by the source torch/cifar10",
        classes=10,
        images={"train": 50_000, "test": 10_000},
        per_class=_even(5_000, 1_000),
        get="https://www.cs.toronto.edu/~kriz/cifar.html, or torchvision.datasets.CIFAR10",
        license="not stated; for research",
    ),
}
