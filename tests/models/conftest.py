"""Shared by the tests of models: they ask no hub, and the library believes that it could."""

from __future__ import annotations

import pytest

from lgm_core.foundation import network
from lgm_core.models import hub


@pytest.fixture(autouse=True)
def _answering_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (network, hub):
        monkeypatch.setattr(module, "hub_answers", lambda: True)
