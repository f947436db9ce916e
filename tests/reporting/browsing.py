"""A real browser for tests of the report: headless Chromium, driven through its pipe with real keys."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run", "--disable-extensions", "--hide-scrollbars",
    "--remote-debugging-pipe", "about:blank",
)  # fmt: skip
_KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
    "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip


class Tab:
    """One page in a browser.

    Attributes:
        requested: addresses that the page asked for.
        said: what its console said, errors of its scripts included.
    """

    def __init__(self, send: int, receive: int) -> None:
        self.requested: list[str] = []
        self.said: list[str] = []
        self._send, self._receive = send, receive
        self._buffer = b""
        self._asked = 0
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for part in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{part}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser for something, and wait for its answer."""
        self._asked += 1
        asked = {"id": self._asked, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._send, json.dumps(asked).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._asked:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._receive, 2**16)
            assert part, "the browser has ended"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
            case "Runtime.consoleAPICalled":
                self.said.append(str([part.get("value") for part in params["args"]]))
            case "Runtime.exceptionThrown":
                self.said.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
            case "Log.entryAdded":
                self.said.append(params["entry"]["text"])

    def open(self, address: str, width: int = 1400, height: int = 900, *, dark: bool = False) -> None:
        """Load a page in a window of a size, and wait until it and the gallery's pictures are there."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=address)
        self.run(
            "new Promise((done) => document.readyState === 'complete' ? done()"
            " : addEventListener('load', done))"
        )
        self.settle()

    def settle(self) -> None:
        """Wait until what scripts began is drawn."""
        self.run("new Promise((done) => setTimeout(() => requestAnimationFrame(() => done()), 60))")

    def run(self, script: str) -> Any:
        """What a script gives; a promise is waited for."""
        how = {"expression": script, "awaitPromise": True, "returnByValue": True}
        found = self.call("Runtime.evaluate", **how)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other: names such as Tab, or characters."""
        for key in keys:
            named = _KEYS.get(key)
            code = {"windowsVirtualKeyCode": named} if named else {"text": key}
            if key == "Enter":
                code["text"] = "\r"
            kind = "keyDown" if "text" in code else "rawKeyDown"
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **code)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        self.settle()

    def picture(self, path: Path, clip: dict[str, float] | None = None) -> None:
        """Write a picture of the page, or of a part of it."""
        more = {"clip": {**clip, "scale": 1}} if clip else {}
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, **more)
        path.write_bytes(base64.b64decode(found["data"]))


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Tab]:
    """A browser with one page, until the block ends.

    Args:
        profile: empty folder of the browser's own.
    """
    assert BROWSER is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [BROWSER, *_FLAGS[:-1], f"--user-data-dir={profile}", _FLAGS[-1]]
    # Chromium reads commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Tab(ours_out, ours_in)
    finally:
        process.kill()
        process.wait()
        os.close(ours_out)
        os.close(ours_in)
