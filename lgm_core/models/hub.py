"""Where a backbone's weights lie: a local file, an installed package, the Hugging Face hub or its cache."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from lgm_core.foundation.errors import InputError
from lgm_core.foundation.given import given_path
from lgm_core.foundation.network import hub_answers, hub_asked_once
from lgm_core.models.catalogue import BackboneRow
from lgm_core.models.weights import package_file


def weights_path(row: BackboneRow) -> Path | None:
    """The row's own weight file: its checkpoint, its package's or its hub file; None: the library's.

    Raises:
        InputError: if the checkpoint or the package is missing, or the hub cannot be reached.
    """
    if row.checkpoint is not None:
        path = given_path(row.checkpoint)
        if not path.is_file():
            raise InputError(f"Checkpoint {path} of {row.tag} is missing.")
        return path
    if row.package is not None and row.module is not None:
        return package_file(row.package, row.module)
    if row.hub_file is not None:
        from huggingface_hub import hf_hub_download

        try:
            return Path(hf_hub_download(*row.hub_file))
        except Exception as error:
            raise unavailable(row, "/".join(row.hub_file), error) from error
    return None


def hub_files(row: BackboneRow) -> tuple[str, tuple[str, ...]]:
    """Repository on the Hugging Face hub that holds a row's weights, and what the file there may be called.

    Raises:
        InputError: if the library knows neither the model nor weights for it.
    """
    if row.hub_file is not None:
        return row.hub_file[0], (row.hub_file[1],)
    if row.tag.startswith("hf-hub:"):
        repository = row.tag.removeprefix("hf-hub:")
        names = _HUB_NAMES[row.library]
        return repository.partition("@")[0], names
    if row.library == "timm":
        import timm

        config = timm.get_pretrained_cfg(row.tag) if timm.is_model(row.tag.partition(".")[0]) else None
        place = config.hf_hub_id if config is not None else None
    else:
        import open_clip

        name, _, pretrained = row.tag.partition("/")
        place = (open_clip.get_pretrained_cfg(name, pretrained) or {}).get("hf_hub")
    if not place:
        raise InputError(f"{row.library} knows no downloadable weights of {row.tag!r}; give a `checkpoint`.")
    owner, repository, *names = place.strip("/").split("/")
    return f"{owner}/{repository}", tuple(names) or _HUB_NAMES[row.library]


_HUB_NAMES = {
    "timm": ("model.safetensors", "pytorch_model.bin"),
    "open_clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
}


def find_weights(row: BackboneRow) -> Path | None:
    """Where a row's weights lie on this machine; None if they would have to be downloaded.

    Raises:
        InputError: if they are a file or package that is missing, or nobody offers them.
    """
    if row.checkpoint is not None or row.package is not None:
        return weights_path(row)
    if row.tag.startswith("local-dir:"):
        folder = given_path(row.tag.removeprefix("local-dir:"))
        if not folder.is_dir():
            raise InputError(f"Folder {folder} of {row.tag} is missing.")
        return folder
    from huggingface_hub import try_to_load_from_cache

    repository, names = hub_files(row)
    found = [try_to_load_from_cache(repository, name) for name in names]
    return next((Path(path) for path in found if isinstance(path, str)), None)


def asking(row: BackboneRow, *, pretrained: bool) -> AbstractContextManager[None]:
    """What a model is built in: a hub that it needs and that does not answer is told within seconds.

    Args:
        row: the backbone.
        pretrained: whether its weights are wanted, and not only what the hub may know of its shape.
    """
    elsewhere = row.tag.startswith("hf-hub:")
    own = row.checkpoint is not None or row.package is not None or row.tag.startswith("local-dir:")
    return hub_asked_once() if elsewhere or (pretrained and not own) else nullcontext()


def unreachable(row: BackboneRow) -> str:
    """What is said of weights that lie on a hub which does not answer.

    Raises:
        InputError: if nobody offers them there.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    repository, files = hub_files(row)
    return (
        f"no weights of {row.tag}, and the Hugging Face hub does not answer.\n"
        f"  looked for:      {repository} ({' or '.join(files)}) in {HF_HUB_CACHE}\n"
        f"  get it:          on a machine with a network, `hf download {repository}`, and copy that cache"
        + (f"; or {row.download}\n" if row.download else "\n")
        + f"  licence:         {row.license}\n"
        "  lies elsewhere:  `checkpoint: <path>` beside its source, or HF_HUB_CACHE"
    )


def unavailable(row: BackboneRow, what: str, error: Exception) -> InputError:
    """The error for weights that a library could not load, and how to do without a network."""
    try:
        if row.checkpoint is None and row.package is None and not hub_answers() and find_weights(row) is None:
            return InputError(f"There are {unreachable(row)}")
    except InputError as unknown:
        return unknown
    reason = str(error).splitlines()[0] if str(error) else ""
    origin = f" ({row.download})" if row.download else ""
    return InputError(
        f"The weights of {row.library} model {what} could not be loaded ({type(error).__name__}: {reason}). "
        f"Without a network give a local file{origin}: `checkpoint: <path>` beside the backbone's source."
    )
