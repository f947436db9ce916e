"""What data sets and backbones are named by: one word, and what may stand beside it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class BackboneSource:
    """A backbone by name.

    Attributes:
        source: a built-in row's name, `timm:<tag>` or `open_clip:<model>/<pretrained>`.
        checkpoint: a local file with the weights, instead of the library's own.
    """

    source: str
    checkpoint: str | None = None


@dataclass(frozen=True)
class DatasetSource:
    """A data set by name.

    Attributes:
        source: a published data set's name, `folder:<path>`, `torch/<name>`, `hfds/<repository>`,
            `toy:<name>` or `digits`.
        partial: accept an incomplete copy of a published data set.
        train_split, test_split: names of the splits of a data set of the Hugging Face hub.
        image_key, label_key: names of its columns.
    """

    source: str
    partial: bool | None = None
    train_split: str | None = None
    test_split: str | None = None
    image_key: str | None = None
    label_key: str | None = None

    @property
    def kind(self) -> str:
        """What stands before the colon."""
        return self.source.partition(":")[0]

    @property
    def place(self) -> str:
        """What stands behind the colon."""
        return self.source.partition(":")[2]

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of the further keys that were given."""
        return tuple(
            entry.name
            for entry in fields(self)
            if entry.name != "source" and getattr(self, entry.name) is not None
        )
