"""`lgm`: distil, probe, export and check from a command line, without the pipeline.

A data set is a folder {train,test}/<class>/<image>, or a source such as `digits`, `toy:shapes`, `imagenette`
or `torch/cifar10`; a backbone is a built-in name, `timm:<tag>` or `open_clip:<model>/<pretrained>`.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
from tqdm import tqdm

import lgm_core
from lgm_core.data.sources import dataset_license, load_images
from lgm_core.distilled import DistilledSet, load_distilled, load_time_lapse
from lgm_core.evaluation.accuracies import in_words
from lgm_core.evaluation.small_sets import probe as probe_set
from lgm_core.foundation.devices import choose_device
from lgm_core.foundation.errors import InputError
from lgm_core.foundation.given import shown_path
from lgm_core.foundation.output import never_fail_to_print
from lgm_core.foundation.sources import BackboneSource, DatasetSource
from lgm_core.images import ImageSet
from lgm_core.method.recipe import distill as distill_images
from lgm_core.method.recipe import distill_statistics, image_bank
from lgm_core.method.statistics import Privacy, added, class_statistics, load_statistics
from lgm_core.models.catalogue import backbone_row
from lgm_core.models.cpu.allocator import keep_freed_memory
from lgm_core.models.frozen import FrozenBackbone
from lgm_core.models.libraries import open_backbone
from lgm_core.preflight.inputs import MISSING, survey_backbones, survey_dataset
from lgm_core.reporting.release import data_card, export_distilled
from lgm_core.settings.evaluation import ProbeSettings
from lgm_core.settings.method import MethodSettings

P = ParamSpec("P")


def _told(command: Callable[P, None]) -> Callable[P, None]:
    """What a user gave wrong is one message and exit status 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        never_fail_to_print()
        logging.basicConfig(format="%(levelname)s: %(message)s")
        try:
            command(*args, **kwargs)
        except InputError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{shown_path(error.filename)}: {error.strerror}.") from error

    return run


def _dataset(data: str) -> DatasetSource:
    """A folder that exists, or a source by name."""
    return DatasetSource(f"folder:{Path(data).resolve()}" if Path(data).is_dir() else data)


def _opened(source: BackboneSource, input_size: int, device: str | None) -> FrozenBackbone:
    chosen = choose_device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
    return open_backbone(source, input_size=input_size, device=chosen, precision="auto")


def _settings(given: tuple[str, ...]) -> dict[str, Any]:
    """`key=value` pairs; a value is JSON, or else a word."""
    found = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--setting {pair} is no key=value.")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _bar(total: int, what: str, unit: str) -> tqdm:
    return tqdm(total=total, desc=what, unit=f" {unit}", dynamic_ncols=True)


_DATA_HELP = "Folder {train,test}/<class>/<image>, or a named source."
DATA = click.option("--data", required=True, help=_DATA_HELP)
DATA_OR_STATISTICS = click.option("--data", help=_DATA_HELP)
BACKBONE = click.option(
    "--backbone", required=True, help="A built-in name, timm:<tag> or open_clip:<model>/<weights>."
)
CHECKPOINT = click.option("--checkpoint", type=click.Path(), help="Local file with the backbone's weights.")
DATA_ROOT = click.option(
    "--data-root", default="data", show_default=True, help="Folder of published data sets."
)
DEVICE = click.option("--device", help="cpu, cuda, cuda:1 …; by default a GPU where there is one.")
WORKERS = click.option("--workers", default=0, show_default=True, help="Processes that decode images.")
SEED = click.option("--seed", default=0, show_default=True, help="Root of all random draws.")
SETTINGS = click.option("--setting", multiple=True, metavar="KEY=VALUE", help="A setting unlike the paper's.")


def _run_options(data: Callable[..., Any] = DATA) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that runs a backbone over a data set."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in (WORKERS, DEVICE, SEED, DATA_ROOT, CHECKPOINT, SETTINGS, BACKBONE, data):
            command = option(command)
        return command

    return add


@click.group(help=__doc__)
@click.version_option(lgm_core.__version__, prog_name="lgm")
def main() -> None:
    """Say what the commands have in common."""


@main.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the distilled set.")
@click.option(
    "--statistics",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Instead of --data: a file of `lgm statistics`; several add up.",
)
@_run_options(data=DATA_OR_STATISTICS)
@_told
def distill(
    data: str | None,
    files: tuple[Path, ...],
    backbone: str,
    out: Path,
    setting: tuple[str, ...],
    checkpoint: str | None,
    **how: Any,
) -> None:
    """Distil the training images of a data set, or statistics of them, with a backbone.

    An interrupted run goes on when the same command is given again.
    """
    if (data is None) != bool(files):
        raise InputError("Give either --data or --statistics.")
    source = BackboneSource(backbone, checkpoint)
    checkpoints = out.parent / f".{out.name}.checkpoints"
    how |= {"checkpoints": checkpoints}
    given = _settings(setting)
    found = (
        _of_statistics(files, source, given, how) if data is None else _of_images(data, source, given, how)
    )
    named = data or " + ".join(path.stem for path in files)
    facts = {"dataset": named, "backbone": backbone, "checkpoint": checkpoint, **found.facts}
    replace(found, facts=facts).save(out)
    shutil.rmtree(checkpoints, ignore_errors=True)
    click.echo(f"{len(found.images)} images in {len(found.classes)} classes: {out / 'images'}")


def _of_images(data: str, source: BackboneSource, given: dict[str, Any], how: dict[str, Any]) -> DistilledSet:
    method = MethodSettings.paper(**given)
    train = load_images(_dataset(data), "train", Path(how["data_root"]))
    model = _opened(source, method.input_size, how["device"])
    with _Bars(len(train), method.steps) as bars:
        return distill_images(
            model,
            train,
            method,
            seed=how["seed"],
            workers=how["workers"],
            checkpoints=how["checkpoints"],
            features_done=bars.image,
            step_done=bars.step,
        )


def _of_statistics(
    files: tuple[Path, ...], source: BackboneSource, given: dict[str, Any], how: dict[str, Any]
) -> DistilledSet:
    statistics = added([load_statistics(path) for path in files])
    method = MethodSettings.paper(**{"objective": "means", **statistics.views, **given})
    model = _opened(source, method.input_size, how["device"])
    with _Bars(0, method.steps) as bars:
        return distill_statistics(
            model,
            statistics,
            method,
            seed=how["seed"],
            checkpoints=how["checkpoints"],
            step_done=bars.step,
        )


@main.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new .safetensors file.")
@click.option("--rounds", default=4, show_default=True, help="Augmented views of every image.")
@click.option("--epsilon", type=float, help="ε of differential privacy, at most 1; needs the next two.")
@click.option("--delta", type=float, help="δ, well below one over the number of images.")
@click.option("--norm", type=float, help="R, that features are clipped to; chosen without looking at them.")
@_run_options()
@_told
def statistics(
    data: str,
    backbone: str,
    out: Path,
    rounds: int,
    setting: tuple[str, ...],
    checkpoint: str | None,
    **how: Any,
) -> None:
    """Write the class sums of a data set's features, to distil from without its images.

    With --epsilon, --delta and --norm they are differentially private: clipped, and with Gaussian noise.
    """
    if out.exists():
        raise InputError(f"{out} exists; give a new file.")
    asked = [how.pop(key) for key in ("epsilon", "delta", "norm")]
    if None in asked and asked != [None, None, None]:
        raise InputError("--epsilon, --delta and --norm go together.")
    privacy = None if None in asked else Privacy(*asked)
    method = MethodSettings.paper(**_settings(setting))
    train = load_images(_dataset(data), "train", Path(how["data_root"]))
    model = _opened(BackboneSource(backbone, checkpoint), method.input_size, how["device"])
    with _bar(len(train), "features", "images") as bar:
        bank = image_bank(
            model,
            train,
            method,
            seed=how["seed"],
            real_rounds=rounds,
            workers=how["workers"],
            progress=bar.update,
        )
    found = class_statistics(bank, model, method, privacy)
    found.save(out)
    click.echo(f"{len(found.classes)} classes, {int(found.counts.sum())} images: {out}")


class _Bars:
    """Progress of the features, if there are any to make, and then of the steps."""

    def __init__(self, images: int, steps: int) -> None:
        self.features = _bar(images, "features", "images") if images else None
        self.steps = steps
        self.distilled: tqdm | None = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *error: object) -> None:
        for bar in filter(None, (self.features, self.distilled)):
            bar.close()

    def image(self, count: int) -> None:
        """Count images that became features."""
        if self.features is not None:
            self.features.update(count)

    def step(self, step: int, loss: float) -> None:
        """Show the loss of a step."""
        if self.distilled is None:
            if self.features is not None:
                self.features.close()
            self.distilled = _bar(self.steps, "distill", "steps")
        self.distilled.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self.distilled.update(step + 1 - self.distilled.n)


@main.command()
@click.option(
    "--images", required=True, type=click.Path(path_type=Path), help="A distilled set, or class folders."
)
@_run_options()
@_told
def probe(
    images: Path, data: str, backbone: str, setting: tuple[str, ...], checkpoint: str | None, **how: Any
) -> None:
    """Train linear probes on a set's images, and test them on a data set's test images."""
    given = _settings(setting)
    input_size = given.pop("input_size", MethodSettings.paper().input_size)
    found = load_distilled(images)
    spec = ProbeSettings.paper(**given)
    test = load_images(_dataset(data), "test", Path(how["data_root"]))
    accuracies = _probed(
        found, test, _opened(BackboneSource(backbone, checkpoint), input_size, how["device"]), spec, how
    )
    click.echo("\n".join(in_words(accuracies)))


def _probed(
    found: DistilledSet, test: ImageSet, model: FrozenBackbone, spec: ProbeSettings, how: dict[str, Any]
) -> dict[str, list[float]]:
    with _bar(len(test), "test images", "images") as bar:
        return probe_set(
            model, found, test, spec, seed=how["seed"], workers=how["workers"], progress=bar.update
        )


@main.command()
@click.option("--images", required=True, type=click.Path(path_type=Path), help="A distilled set.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--title", help="Name of the data set, for the card; by default the set's own.")
@_told
def export(images: Path, out: Path, title: str | None) -> None:
    """Write a distilled set for other people's tools: class folders, exact floats, a data card."""
    found = load_distilled(images)
    if not found.facts:
        raise InputError(f"{images} does not say what made it; export a set that was distilled here.")
    data = str(found.facts["dataset"])
    backbone = str(found.facts["backbone"])
    row = backbone_row(BackboneSource(backbone, found.facts.get("checkpoint")))
    facts = {
        "dataset": title or Path(data).name,
        "backbone": backbone,
        "settings": found.facts.get("method", {}),
    }
    told = {**facts, "statistics": found.facts.get("statistics")}
    named = replace(found, facts=told, time_lapse=load_time_lapse(images))
    owned = found.facts.get("statistics") is not None
    terms = "those of the images' owners" if owned else dataset_license(_dataset(data))
    export_distilled(out, named, data_card(named, {}, image_terms=terms, weight_terms=row.license))
    click.echo(f"{len(found.images)} images in {len(found.classes)} classes: {out}")


@main.command()
@DATA
@BACKBONE
@CHECKPOINT
@DATA_ROOT
@_told
def check(data: str, backbone: str, checkpoint: str | None, data_root: str) -> None:
    """Look for a data set and a backbone's weights, with counts and licences."""
    findings = [
        survey_dataset(Path(data).name, _dataset(data), Path(data_root)),
        *survey_backbones({backbone: BackboneSource(backbone, checkpoint)}),
    ]
    for finding in findings:
        click.echo(f"{finding.title} {finding.told}")
    sys.exit(1 if any(finding.status == MISSING for finding in findings) else 0)
