"""The hub is asked once and answers within seconds, or nobody asks again."""

from __future__ import annotations

import socket
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from email.message import Message
from typing import Any

import pytest
from huggingface_hub import constants

from lgm_core.foundation import network
from lgm_core.foundation.network import hub_answers, hub_asked_once

pytestmark = pytest.mark.usefixtures("unasked")


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody asked the hub yet, and nobody remembers what a test was told."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub_answers.cache_clear()
    yield
    hub_answers.cache_clear()


def _refused(*arguments: Any, **settings: Any) -> None:
    raise urllib.error.HTTPError("https://hub", 403, "no", Message(), None)


def _unreachable(*arguments: Any, **settings: Any) -> None:
    raise urllib.error.URLError("no route")


def _no_address(*arguments: Any, **settings: Any) -> None:
    raise ValueError("unknown url type: 'hub'")


@pytest.mark.parametrize(
    ("opened", "answers"),
    [
        (lambda *arguments, **settings: nullcontext(), True),
        (_refused, True),
        (_unreachable, False),
        (_no_address, False),
    ],
)
def test_the_hub_answers_where_anything_comes_back(
    opened: Callable[..., Any], answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urllib.request.urlopen", opened)
    assert hub_answers() is answers


def test_the_hub_is_not_asked_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("urllib.request.urlopen", lambda *arguments, **settings: pytest.fail("it was asked"))
    assert not hub_answers()


def test_a_hub_that_takes_the_call_and_says_nothing_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_SECONDS_TO_WAIT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert not hub_answers()
        assert time.monotonic() - began < 3


def test_an_address_that_is_looked_up_for_ever_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_SECONDS_TO_WAIT", 0.2)
    monkeypatch.setattr(network, "_answers", lambda address: time.sleep(2) or True)
    began = time.monotonic()
    assert not hub_answers()
    assert time.monotonic() - began < 1.5


def test_all_is_said_within_ten_seconds() -> None:
    assert network._SECONDS_TO_WAIT < 10


@pytest.mark.parametrize("answers", [True, False])
def test_a_silent_hub_is_not_asked_by_libraries_within_the_block(
    monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr(network, "_answers", lambda address: answers)
    with pytest.raises(KeyError), hub_asked_once():
        assert constants.is_offline_mode() is not answers
        raise KeyError
    assert not constants.is_offline_mode()
