"""The report works in a real browser: no errors, filters filter."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lgm_core.reporting.results import Results

_BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
browser = pytest.mark.skipif(_BROWSER is None, reason="no Chromium is installed")

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--no-first-run", "--enable-logging=stderr", "--v=0",
    "--virtual-time-budget=5000",
)  # fmt: skip


@dataclass
class Visit:
    """What a browser made of a page."""

    dom: str
    console: list[str]

    @property
    def count(self) -> str:
        """What the gallery says it shows."""
        return re.search(r'id="count">([^<]*)<', self.dom)[1]  # type: ignore[index]

    @property
    def cards(self) -> int:
        """Pictures of the gallery that are there."""
        return self.dom.count('<figure title="nearest real image')


@pytest.fixture
def visit(tmp_path: Path) -> Callable[[str], Visit]:
    """`visit(address)`: load a page in headless Chromium."""

    def load(address: str) -> Visit:
        assert _BROWSER is not None
        command = [_BROWSER, *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return Visit(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])

    return load


@browser
def test_the_page_works_from_a_file(report: Path, visit: Callable[[str], Visit]) -> None:
    page = (report / "index.html").as_uri()
    whole = visit(page)
    assert (whole.console, whole.count, whole.cards) == ([], "32 of 32 images", 32)
    one = visit(f"{page}#dataset=pets&source=b&variant=no_pyramid")
    assert (one.console, one.count, one.cards) == ([], "2 of 32 images", 2)
    odd = visit(f"{page}#class=odd+%3Cb%3E%26%22%231&dataset=biased")
    assert (odd.console, odd.count) == ([], "2 of 32 images")
    assert "odd &lt;b&gt;&amp;" in odd.dom


class _Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and notes what is missing."""

    missing: list[str] = []  # noqa: RUF012 (one list for all requests of a test)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the library's)
        if "404" in str(args):
            self.missing.append(str(args))


@pytest.fixture
def served(own_whole: Results) -> Iterator[str]:
    """Address of the report on a local web server."""
    _Server.missing.clear()
    handler = functools.partial(_Server, directory=str(own_whole.layout.report))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


_CHOOSING = """<!doctype html>
<link rel="icon" href="data:,">
<iframe id="page" src="index.html"></iframe>
<pre id="said"></pre>
<script>
document.getElementById("page").addEventListener("load", (event) => {
  const page = event.target.contentDocument;
  const said = [];
  const choose = (name, value) => {
    const select = page.querySelector(`select[name=${name}]`);
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    const offered = (other) => [...page.querySelector(`select[name=${other}]`).options].map((o) => o.value);
    said.push([page.getElementById("count").textContent, offered("variant").join(" ")].join(" | "));
  };
  choose("dataset", "biased");
  choose("source", "a");
  choose("dataset", "");
  choose("variant", "one");
  said.push(event.target.contentWindow.location.hash);
  document.getElementById("said").textContent = said.join("\\n");
});
</script>
"""


@browser
def test_choosing_filters_filters(own_whole: Results, served: str, visit: Callable[[str], Visit]) -> None:
    (own_whole.layout.report / "choosing.html").write_text(_CHOOSING, encoding="utf-8")
    seen = visit(f"{served}/choosing.html")
    every = "method no_pyramid one twofold means few more real quick"
    said = re.search(r'id="said">([^<]*)<', seen.dom)[1].splitlines()  # type: ignore[index]
    assert said == [
        "4 of 32 images |  method",
        "2 of 32 images |  method",
        f"20 of 32 images |  {every}",
        f"2 of 32 images |  {every}",
        "#source=a&amp;variant=one",
    ]
    assert (seen.console, _Server.missing) == ([], [])
