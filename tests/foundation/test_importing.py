"""Imports go on without garbage collection, and leave it as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from lgm_core.foundation.importing import uncollected


@pytest.fixture(autouse=True)
def collection() -> Iterator[None]:
    """Garbage collection on, and on again afterwards."""
    gc.enable()
    yield
    gc.enable()


def test_collection_rests_meanwhile_whatever_happens() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_collection_that_is_off_stays_off() -> None:
    gc.disable()
    with uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()
