"""Ten thousand mutated image files of fourteen formats: each is a picture or one message that names it."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fuzz_images import outcomes, seeds


def test_a_mutated_image_is_a_picture_or_one_message(tmp_path: Path) -> None:
    count = 10_000
    found = outcomes(tmp_path, count, seed=0)
    assert found.total() == count
    formats = {suffix for suffix, _ in found}
    assert formats == set(seeds())
    assert len(formats) >= 12
    assert all(found[suffix, read] for suffix in formats for read in (True, False))
