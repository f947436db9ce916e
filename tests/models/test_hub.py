"""Weights are looked for where they lie, and what cannot be had names another way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from models.toy_models import row_of, timm_model, write
from safetensors.torch import save_file

from lgm_core.foundation import network
from lgm_core.foundation.errors import InputError
from lgm_core.models import hub
from lgm_core.models.hub import find_weights, hub_files, weights_path
from lgm_core.models.libraries import load_backbone

ASKED = network.hub_answers
PACKAGED = "efficientnet_lite0"
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@pytest.mark.parametrize(
    ("source", "repository", "names"),
    [
        ("mocov3", "nyu-visionx/moco-v3-vit-b", ("model.safetensors",)),
        ("dino", "timm/vit_base_patch16_224.dino", TIMM_FILES),
        ("clip", "timm/vit_base_patch16_clip_224.openai", CLIP_FILES),
        ("timm:hf-hub:someone/model@main", "someone/model", TIMM_FILES),
        ("open_clip:hf-hub:someone/model", "someone/model", CLIP_FILES),
    ],
)
def test_repository_and_names_of_the_files_on_the_hub(
    source: str, repository: str, names: tuple[str, ...]
) -> None:
    assert hub_files(row_of(source)) == (repository, names)


@pytest.mark.parametrize("source", ["timm:no_such_model", "open_clip:RN50", "open_clip:no_such_model/openai"])
def test_weights_that_nobody_offers_are_refused(source: str) -> None:
    with pytest.raises(InputError, match=r"knows no downloadable weights of .*give a `checkpoint`"):
        hub_files(row_of(source))


def test_a_local_file_goes_before_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.pth").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for row in (row_of(PACKAGED, "~/own.pth"), row_of("mocov3", tmp_path / "own.pth")):
        assert weights_path(row) == find_weights(row) == tmp_path / "own.pth"


def test_a_missing_local_file_is_named() -> None:
    row = row_of("timm:test_resnet", "no/such/file.pth")
    for look in (weights_path, find_weights):
        with pytest.raises(InputError, match=r"Checkpoint no/such/file\.pth of test_resnet is missing"):
            look(row)


def test_a_package_carries_its_own_weights() -> None:
    row = row_of(PACKAGED)
    path = weights_path(row)
    assert path is not None
    assert path.suffix == ".pth"
    assert find_weights(row) == path


def test_a_librarys_own_weights_have_no_path_of_ours() -> None:
    assert weights_path(row_of("timm:resnet18")) is None


def test_a_local_folder_is_found_or_named(tmp_path: Path) -> None:
    assert find_weights(row_of(f"timm:local-dir:{tmp_path}")) == tmp_path
    with pytest.raises(InputError, match=r"Folder .*no of .* is missing"):
        find_weights(row_of(f"timm:local-dir:{tmp_path / 'no'}"))


def test_what_lies_in_the_cache_is_found_and_the_rest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cached = {("timm/vit_base_patch16_224.dino", "pytorch_model.bin"): "/cache/weights.bin"}
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda repository, name: cached.get((repository, name))
    )
    assert find_weights(row_of("dino")) == Path("/cache/weights.bin")
    assert find_weights(row_of("mocov3")) is None


def test_a_file_of_the_hub_is_fetched_or_offers_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *place: str(tmp_path.joinpath(*place)))
    assert weights_path(row_of("mocov3")) == tmp_path / "nyu-visionx/moco-v3-vit-b/model.safetensors"

    def fail(*place: str) -> str:
        raise OSError("no network\nand more")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    message = (
        r"moco-v3-vit-b/model\.safetensors .*\(OSError: no network\)\. .*dl\.fbaipublicfiles.*`checkpoint: "
    )
    with pytest.raises(InputError, match=message):
        weights_path(row_of("mocov3"))


# A hub that does not answer


@pytest.fixture
def silent_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """A hub that takes every call and says nothing; how many calls it took."""
    calls: list[int] = []
    for module in (network, hub):
        monkeypatch.setattr(module, "hub_answers", ASKED)
    ASKED.cache_clear()
    monkeypatch.setattr(network, "_SECONDS_TO_WAIT", 0.3)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept())
                except OSError:
                    return
                calls.append(1)

        threading.Thread(target=take, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield calls
        server.shutdown(socket.SHUT_RDWR)
    for connection, _ in kept:
        connection.close()
    ASKED.cache_clear()


@pytest.mark.parametrize("source", ["timm:resnet18", "open_clip:RN50/openai", "mocov3"])
def test_a_hub_that_does_not_answer_is_told_within_seconds(source: str, silent_hub: list[int]) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match=r"no weights of .*, and the Hugging Face hub does not answer\.\n"):
        load_backbone(row_of(source), input_size=64)
    assert time.monotonic() - began < 8
    assert silent_hub == [1]
    assert not constants.HF_HUB_OFFLINE


def test_what_lies_in_the_cache_is_used_where_the_hub_does_not_answer(
    tmp_path: Path, silent_hub: list[int]
) -> None:
    folder = tmp_path / "cache" / "models--timm--test_resnet.r160_in1k"
    stored = folder / "snapshots" / "abc" / "model.safetensors"
    stored.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    model = timm_model("test_resnet", 1000)
    save_file(dict(model.state_dict()), stored)
    found = load_backbone(row_of("timm:test_resnet.r160_in1k"), input_size=64)
    assert found.width(64) > 0
    assert silent_hub == [1]


def test_a_package_and_a_file_of_ones_own_ask_no_hub(tmp_path: Path, silent_hub: list[int]) -> None:
    path = write(timm_model(classes=7).state_dict(), tmp_path / "weights.pth")
    load_backbone(row_of("timm:test_resnet", path), input_size=64)
    load_backbone(row_of(PACKAGED), input_size=64)
    load_backbone(row_of("timm:resnet18"), input_size=64, pretrained=False)
    assert silent_hub == []
