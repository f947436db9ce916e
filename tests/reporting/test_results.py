"""Runs become means; a result that is missing or older than the settings is an error that names its file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting.whole_report import CLASSES

from lgm_core.foundation.errors import DamagedFileError, FileError, MissingFileError, StaleFileError
from lgm_core.foundation.layout import Layout
from lgm_core.foundation.store import read_json, write_json
from lgm_core.reporting.results import Results, Value, average, resolved, summarize, summarize_sets

# Numbers


def test_runs_become_mean_and_sample_deviation() -> None:
    assert summarize([80.0, 85.0, 90.0]) == Value(85.0, 5.0)
    assert summarize([70.0]) == Value(70.0, None)


def test_several_sets_spread_by_their_means_and_one_by_its_runs() -> None:
    assert summarize_sets([[80.0, 85.0, 90.0]]) == Value(85.0, 5.0)
    assert summarize_sets([[79.0, 81.0], [85.0, 85.0], [60.0, 120.0]]) == Value(85.0, 5.0)
    assert summarize_sets([[40.0], [50.0], [60.0]]) == Value(50.0, 10.0)


def test_an_average_spreads_as_its_runs_do_together() -> None:
    up, down = summarize([70.0, 80.0, 90.0]), summarize([65.0, 60.0, 55.0])
    assert average([up, up]) == Value(80.0, 10.0)
    assert average([up, down]) == Value(70.0, 2.5)


def test_an_average_of_unlike_runs_has_no_spread() -> None:
    assert average([Value(80.0), Value(60.0)]) == Value(70.0, None)
    assert average([summarize([79.0, 81.0]), Value(60.0)]) == Value(70.0, None)
    assert average([summarize([79.0, 81.0]), summarize([59.0, 60.0, 61.0])]) == Value(70.0, None)


def test_means_are_told_apart_from_two_standard_errors_on() -> None:
    # Standard errors of 3 and 4 make one of 5.
    one = Value(50.0, 6.0, runs=(0.0,) * 4)
    assert not resolved(one, Value(59.9, 8.0, runs=(0.0,) * 4))
    assert resolved(one, Value(60.1, 8.0, runs=(0.0,) * 4))
    assert resolved(Value(39.9, 8.0, runs=(0.0,) * 4), one)
    # What has no spread is taken as exact.
    assert resolved(one, Value(56.1))
    assert not resolved(Value(1.0), Value(1.0))


def test_a_summary_knows_its_file_and_an_average_has_none() -> None:
    one = summarize([1.0, 2.0], Path("a.json"))
    assert one.origin == Path("a.json")
    assert average([one, one]).origin is None
    assert one == summarize([1.0, 2.0], Path("b.json"))


# What is read


def test_results_are_read_by_name(three: Results) -> None:
    assert three.transfer("pets", "b", "a") == Value(60.0, 2.0)
    assert three.transfer("pets", "b", "a", variant="ablation/no_augment") == Value(40.0, 2.0)
    assert three.transfer("pets", "b", "b", training_set="centroids") == Value(40.0)
    assert three.transfer("biased", "a", "a", measure="worst_group") == Value(60.0, 2.0)
    assert three.full("pets", "a") == Value(90.0, 2.0)
    assert three.ceiling("pets", "a", "ridge") == Value(65.0)
    assert three.ceiling("biased", "a", "majority", "balanced") == Value(50.0)
    assert three.alignment("pets", "a", "b") == Value(0.4, digits=3)


def test_pictures_features_and_losses_are_read_by_name(whole: Results) -> None:
    cell = whole.layout.cell("pets", "a")
    assert whole.distilled("pets", "a")["classes"] == list(CLASSES)
    assert whole.distilled("pets", "a", "rounds/one")["method"]["aug_rounds"] == 1
    assert [entry["name"] for entry in whole.neighbors("pets", "b")] == ["train/0", "train/1"]
    assert whole.history("pets", "a") == [0.9, 0.7, 0.8]
    features, labels = whole.distilled_features("pets", "a")
    assert (features.shape, features.dtype, labels.tolist()) == ((2, 6), np.float64, [0, 1])
    features, labels, classes = whole.training_features("pets", "a")
    assert (features.shape, len(labels), classes) == ((20, 6), 20, CLASSES)
    samples = whole.samples("pets", "a")
    assert list(samples) == ["train", "test"]
    assert set(samples["train"]) == set(CLASSES)
    assert samples["train"][CLASSES[1]] == [cell.features / f"samples/train/1/{n}.png" for n in (0, 1)]
    assert all(path.is_file() for path in samples["test"][CLASSES[0]])


# What cannot be read

Read = Callable[[Results], Any]
READS: dict[str, tuple[Read, str]] = {
    "transfer": (lambda results: results.transfer("pets", "a", "b"), "probe/a.json"),
    "variant": (
        lambda results: results.transfer("pets", "a", "b", variant="ablation/no_pyramid"),
        "ablation/probe/a/no_pyramid.json",
    ),
    "full": (lambda results: results.full("pets", "a"), "baselines/a.json"),
    "ceiling": (lambda results: results.ceiling("pets", "a", "ridge"), "baselines/a.json"),
    "alignment": (lambda results: results.alignment("pets", "a", "b"), "alignment.json"),
    "distilled": (lambda results: results.distilled("pets", "a"), "distilled/a/settings.json"),
    "neighbors": (lambda results: results.neighbors("pets", "a"), "neighbors/a/neighbors.json"),
    "samples": (lambda results: results.samples("pets", "a"), "features/a/samples/samples.json"),
    "history": (lambda results: results.history("pets", "a"), "distilled/a/history.csv"),
    "training features": (
        lambda results: results.training_features("pets", "a"),
        "features/a/train.safetensors",
    ),
    "distilled features": (
        lambda results: results.distilled_features("pets", "a"),
        "neighbors/a/features.safetensors",
    ),
}


@pytest.fixture
def own(whole: Results, tmp_path: Path) -> Results:
    """The results of one data set without its pictures, a test's own copy."""
    layout = Layout(tmp_path, "own")
    place = whole.layout.results / "pets"
    shutil.copytree(place, layout.results / "pets", ignore=shutil.ignore_patterns("*.png"))
    return Results(layout)


def broken(results: Results, read: Read) -> FileError:
    """The error that reading ends in."""
    with pytest.raises(FileError) as caught:
        read(results)
    return caught.value


@pytest.mark.parametrize("name", READS)
def test_what_is_missing_carries_its_path(own: Results, name: str) -> None:
    read, place = READS[name]
    path = own.layout.results / "pets" / place
    read(own)
    path.unlink()
    error = broken(own, read)
    assert isinstance(error, MissingFileError)
    assert error.path == path
    assert str(error) == f"{path} is missing."


@pytest.mark.parametrize("name", sorted(READS.keys() - {"history"}))
def test_what_is_damaged_carries_its_path(own: Results, name: str) -> None:
    read, place = READS[name]
    path = own.layout.results / "pets" / place
    path.write_bytes(path.read_bytes()[:-9])
    error = broken(own, read)
    assert isinstance(error, DamagedFileError)
    assert error.path == path


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("transfer", ("targets", "b")),
        ("transfer", ("targets", "b", "distilled", "top1")),
        ("full", ("full", "top1")),
        ("ceiling", ("ridge",)),
        ("alignment", ("matrix", "a")),
        ("neighbors", ("neighbors",)),
        ("samples", ("test",)),
    ],
)
def test_what_is_older_than_the_settings_carries_its_path_and_what_it_lacks(
    own: Results, name: str, keys: tuple[str, ...]
) -> None:
    read, place = READS[name]
    path = own.layout.results / "pets" / place
    content = read_json(path)
    part = content
    for key in keys[:-1]:
        part = part[key]
    del part[keys[-1]]
    write_json(path, content)
    error = broken(own, read)
    assert isinstance(error, StaleFileError)
    assert error.path == path
    assert " / ".join(keys) in str(error)
    assert "older than the settings" in str(error)


def test_a_value_where_a_mapping_should_be_is_older_too(two: Results) -> None:
    path = two.layout.cell("pets", "a").probe
    write_json(path, {"targets": [1, 2]})
    error = broken(two, lambda results: results.transfer("pets", "a", "b"))
    assert isinstance(error, StaleFileError)
    assert error.path == path
