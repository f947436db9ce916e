"""Whether the Hugging Face hub answers: asked once, within seconds; where it does not, nobody asks again."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_SECONDS_TO_WAIT = 8
"""For all: finding the address, each of several addresses, and the answer's first line."""


@cache
def hub_answers() -> bool:
    """Whether the Hugging Face hub can be reached from here, within a few seconds."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    # In a thread, for looking up an address has no time limit of its own.
    heard = threading.Event()
    answered = threading.Event()

    def ask() -> None:
        if _answers(constants.ENDPOINT):
            answered.set()
        heard.set()

    threading.Thread(target=ask, daemon=True).start()
    heard.wait(_SECONDS_TO_WAIT)
    return answered.is_set()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS_TO_WAIT):
            return True
    except urllib.error.HTTPError:
        return True  # it answered
    except (OSError, ValueError, http.client.HTTPException):
        return False


@contextmanager
def hub_asked_once() -> Iterator[None]:
    """Within the block a hub that does not answer is not asked, where libraries would try for minutes.

    What lies in its cache is used; anything else fails at once.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = not hub_answers()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
