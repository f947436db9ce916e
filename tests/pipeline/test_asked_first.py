"""What a result says that it was made from is what it was made from, also if that is replaced meanwhile."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from toy_project import DATASET, run

from stages import work

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("verb", ["probe", "judge"])
def test_what_a_result_was_made_from_is_asked_before_it_is_read(
    verb: str, project: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that others replace meanwhile are not those that the result says: it is refused."""
    heard: list[str] = []

    def hear(module: Any, name: str) -> None:
        ask = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: heard.append(name) or ask(*given))

    stage = import_module(f"stages.{verb}")
    hear(work, "features_of")
    hear(stage, "sets_behind")
    hear(stage, "distilled_sets")
    asked = work.features_behind
    monkeypatch.setattr(
        work, "features_behind", lambda *cells: heard.append(f"{len(cells)}") or asked(*cells)
    )
    run(verb, DATASET, "conv")
    assert heard[:2] == ["2", "sets_behind"]  # of both backbones
    assert heard.count("features_of") == 2
    assert heard.count("2") == heard.count("sets_behind") == 1
