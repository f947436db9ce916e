"""Shared by the tests of what precedes a run: the paper's suite, and a machine without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lgm_core.preflight import inputs
from lgm_core.settings.params import Params, parse_params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def paper() -> Params:
    """The paper's suite."""
    return parse_params(YAML(typ="safe").load((ROOT / "suites/paper.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, and nothing in its cache."""
    monkeypatch.setattr(inputs, "hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
