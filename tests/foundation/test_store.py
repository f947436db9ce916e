"""Files are whole or untouched, and a damaged one is never read as a good one."""

from __future__ import annotations

import contextlib
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lgm_core.foundation.errors import DamagedFileError, FileError, InputError, MissingFileError
from lgm_core.foundation.store import (
    fingerprint,
    read_json,
    read_tensors,
    replacing,
    write_json,
    write_png,
    write_tensors,
    write_text,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@contextlib.contextmanager
def _files_limited_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_text(path, "a" * 100_000),
    "json": lambda path: write_json(path, {"a": "a" * 100_000}),
    "tensors": lambda path: write_tensors(path, {"a": torch.zeros(100_000)}, {"k": 1}),
    "png": lambda path: write_png(path, torch.rand(3, 200, 200, generator=torch.Generator().manual_seed(0))),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_full_disk_is_explained_and_leaves_the_old_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    with _files_limited_to(20_000), pytest.raises(InputError, match=rf"Cannot write .*{path.name}"):
        WRITERS[kind](path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", WRITERS)
def test_folder_that_cannot_be_made_is_explained(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"Cannot write .*result"):
        WRITERS[kind](tmp_path / "file" / "result")


@pytest.mark.parametrize("kind", WRITERS)
def test_writing_makes_folders_replaces_and_leaves_nothing_else(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "result"
    for _ in range(2):
        WRITERS[kind](path)
        assert path.stat().st_size > 0
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", WRITERS)
def test_equal_content_makes_equal_bytes(kind: str, tmp_path: Path) -> None:
    contents = set()
    for number in range(8):
        WRITERS[kind](tmp_path / str(number))
        contents.add((tmp_path / str(number)).read_bytes())
    assert len(contents) == 1


def test_error_inside_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_reader_sees_the_old_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "result"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_json_returns_as_written(tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_json_has_sorted_keys_and_ends_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"b": 1, "a": {"d": 2, "c": 3}})
    text = path.read_text()
    assert list(json.loads(text)) == ["a", "b"]
    assert text.index('"c"') < text.index('"d"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_refuses_what_no_reader_agrees_on(value: float, tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": value})
    assert path.read_text() == "{}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for reader in (read_json, read_tensors):
        with pytest.raises(MissingFileError, match=r"nothing is missing\.$") as caught:
            reader(tmp_path / "nothing")
        assert caught.value.path == tmp_path / "nothing"


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[1, 2]", b"3", b'{"a": 1} x'])
def test_a_damaged_json_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(
        DamagedFileError, match=r"value\.json (is damaged \(|does not hold a JSON object)"
    ) as caught:
        read_json(path)
    assert caught.value.path == path


def test_folder_in_place_of_a_file_is_explained(tmp_path: Path) -> None:
    for reader in (read_json, read_tensors):
        with pytest.raises(FileError, match="is damaged") as caught:
            reader(tmp_path)
        assert caught.value.path == tmp_path


TENSORS = {
    "float32": torch.tensor([[1.5, -2.0], [float("inf"), 0.0]]),
    "float64": torch.tensor([1e-300], dtype=torch.float64),
    "bfloat16": torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    "int64": torch.tensor([-1, 2**40]),
    "uint8": torch.arange(5, dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(3.0),
    "empty": torch.empty(0, 4),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "leaf": torch.ones(2, requires_grad=True),
}


def test_tensors_and_metadata_return_as_written(tmp_path: Path) -> None:
    path = tmp_path / "values.safetensors"
    metadata = {"classes": ["ä", "b"], "settings": {"x": [1, 2.5, None]}, "count": 3, "text": "3"}
    write_tensors(path, TENSORS, metadata)
    tensors, read = read_tensors(path)
    assert read == metadata
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def _small_file(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    write_tensors(path, {"a": torch.arange(4.0), "b": torch.tensor([7])}, {"classes": ["x", "y"], "seed": 0})
    return read_tensors(path)


def test_tensor_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "values.safetensors"
    _small_file(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match=r"values\.safetensors is damaged"):
            read_tensors(path)


@pytest.mark.parametrize("bit", range(8))
def test_flipped_bit_is_refused_or_changes_nothing(bit: int, tmp_path: Path) -> None:
    path = tmp_path / "values.safetensors"
    tensors, metadata = _small_file(path)
    whole = path.read_bytes()
    data_start = len(whole) - 24
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        try:
            found, read = read_tensors(path)
        except DamagedFileError as error:
            assert "values.safetensors is damaged" in str(error)
            assert error.path == path
        else:
            assert place < data_start
            assert read == metadata
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_safetensors_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "values.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(DamagedFileError, match="does not match its checksum"):
        read_tensors(path)


def test_the_checksums_own_key_cannot_be_metadata(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'sha256' is the checksum's own key"):
        write_tensors(tmp_path / "values.safetensors", {}, {"sha256": "x"})
    assert list(tmp_path.iterdir()) == []


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_fingerprint_ignores_the_order_of_keys(value: dict[str, object]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))


def test_fingerprint_tells_values_apart() -> None:
    values = [{}, {"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, {"a": [1]}, {"a": None}, [1, 2], [2, 1], True]
    assert len({fingerprint(value) for value in values}) == len(values)


def test_fingerprint_is_the_documented_digest() -> None:
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2d"  # printf '{"a":1}' | sha256sum


def test_png_holds_rounded_and_clamped_pixels(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    row = torch.tensor([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 1.5])
    image = torch.stack([row, row.flip(0), torch.full_like(row, 1 / 255)])[:, None, :]
    write_png(path, image)
    with Image.open(path) as opened:
        assert (opened.format, opened.mode, opened.size) == ("PNG", "RGB", (7, 1))
        red, green, blue = (list(opened.getchannel(channel).getdata()) for channel in range(3))
    assert red == [0, 0, 0, 1, 128, 255, 255]
    assert green == red[::-1]
    assert blue == [1] * 7


def test_png_does_not_touch_the_image(tmp_path: Path) -> None:
    image = torch.rand(3, 2, 5, requires_grad=True, generator=torch.Generator().manual_seed(0))
    before = image.detach().clone()
    write_png(tmp_path / "image.png", image)
    assert torch.equal(image.detach(), before)


def test_files_of_tensors_may_be_read_by_whom_any_other_file_may(tmp_path: Path) -> None:
    write_tensors(tmp_path / "some.safetensors", {"one": torch.zeros(1)}, {})
    (tmp_path / "other").touch()
    assert (tmp_path / "some.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
