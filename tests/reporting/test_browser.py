"""The report works in a real browser: no errors, nothing from elsewhere, usable by keyboard, readable."""

from __future__ import annotations

import functools
import http.server
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from reporting.browsing import Tab, browser, browsing
from reporting.whole_report import CLASSES

from lgm_core.foundation.layout import Layout

pytestmark = browser

WIDTHS = (1400, 420)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """One page in one browser for all tests here."""
    with browsing(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(autouse=True)
def _as_new(tab: Tab) -> None:
    tab.requested.clear()
    tab.said.clear()


def count(tab: Tab) -> str:
    """What the gallery says it shows."""
    return tab.run("document.getElementById('count').textContent")


def cards(tab: Tab) -> int:
    """Pictures of the gallery that are there."""
    return tab.run("document.querySelectorAll('#pictures figure').length")


def test_the_page_works_from_a_file(report: Path, tab: Tab) -> None:
    page = (report / "index.html").as_uri()
    tab.open(page)
    assert (tab.said, count(tab), cards(tab)) == ([], "32 of 32 images", 24)
    for address in tab.requested:
        parts = urlparse(address)
        assert parts.scheme == "data" or parts.path.startswith(urlparse(report.as_uri()).path), address
    tab.open("about:blank")
    tab.open(f"{page}#dataset=pets&source=b&variant=no_pyramid")
    assert (tab.said, count(tab), cards(tab)) == ([], "2 of 32 images", 2)
    tab.open("about:blank")
    tab.open(f"{page}#class=odd+%3Cb%3E%26%22%231&dataset=biased")
    assert (tab.said, count(tab)) == ([], "2 of 32 images")
    assert CLASSES[1] in tab.run("document.querySelector('#pictures strong').textContent")


class _Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and notes what is missing."""

    missing: list[str] = []  # noqa: RUF012 (one list for all requests of a test)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name is the library's)
        if "404" in str(args):
            self.missing.append(str(args))


@pytest.fixture(scope="module")
def served(_whole: Layout) -> Iterator[str]:
    """Address of the report on a local web server."""
    _Server.missing.clear()
    handler = functools.partial(_Server, directory=str(_whole.report))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def focus(tab: Tab, selector: str) -> None:
    """Put the keyboard's focus on something."""
    tab.run(f"document.querySelector({selector!r}).focus()")


def offered(tab: Tab, name: str) -> list[str]:
    """What a filter offers."""
    return tab.run(f"[...document.querySelector('select[name={name}]').options].map((one) => one.value)")


def test_filters_filter_by_keyboard(served: str, tab: Tab) -> None:
    tab.open(f"{served}/index.html")
    every = ["", "method", "no_pyramid", "one", "twofold", "means", "few", "more", "real", "quick"]
    focus(tab, "select[name=dataset]")
    tab.press("b")  # chooses what begins with it
    assert (count(tab), offered(tab, "variant")) == ("4 of 32 images", ["", "method"])
    focus(tab, "select[name=source]")
    tab.press("ArrowDown")
    assert count(tab) == "2 of 32 images"
    focus(tab, "select[name=dataset]")
    tab.press("Home")
    assert offered(tab, "variant") == every
    focus(tab, "select[name=variant]")
    tab.press("o")
    assert (cards(tab), tab.run("location.hash")[:1]) == (2, "#")
    assert (tab.said, _Server.missing) == ([], [])


def test_a_closer_look_opens_slides_and_closes_by_keyboard(served: str, tab: Tab) -> None:
    tab.open(f"{served}/index.html")
    focus(tab, "#pictures figure:nth-child(2) button")
    tab.press("Enter")
    frame = "document.querySelector('dialog .frame')"
    seen = [tab.run(f"{frame}.getAttribute('aria-label')"), tab.run(f"{frame}.style.backgroundPositionX")]
    assert seen == [f"{CLASSES[1]} after 300 steps", "100%"]
    focus(tab, "dialog input[type=range]")
    tab.press("ArrowLeft")
    assert tab.run(f"{frame}.getAttribute('aria-label')") == f"{CLASSES[1]} after 10 steps"
    assert tab.run(f"{frame}.style.backgroundPositionX") == "50%"
    tab.press("Home")
    assert tab.run("document.querySelector('dialog output').textContent") == "step 0 of 300"
    text = tab.run("document.querySelector('dialog').textContent")
    for told in (
        f"{CLASSES[1]}75.0 %",
        f"In 63 % of the crops {CLASSES[1]} comes first.",
        "Loss, 1 − cosine",
    ):
        assert told in text
    assert tab.run("document.querySelectorAll('dialog h4').length") == 2
    tab.press("Escape")
    assert tab.run("document.querySelectorAll('dialog').length") == 0
    assert tab.run("document.activeElement.textContent") == "Look closer"
    assert (tab.said, _Server.missing) == ([], [])


def test_tab_leads_to_everything_that_can_be_used(served: str, tab: Tab) -> None:
    tab.open(f"{served}/index.html")
    tab.press("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.querySelectorAll('[tabindex]:not([tabindex=\"0\"])').length") == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(served: str, tab: Tab, width: int, dark: bool) -> None:
    tab.open(f"{served}/index.html", width, dark=dark)
    tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert tab.run(_FAINT) == []


_FAINT = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((one, n) => one * top[3] + below[n] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    const ground = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
    return layers.reduceRight((below, top) => over(top, below), ground);
  };
  const light = (color) => color
    .map((one) => one / 255)
    .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, n) => sum + one * [0.2126, 0.7152, 0.0722][n], 0);
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || element.closest("script, svg, noscript, option")) continue;
    const ground = behind(element);
    const ink = over(rgba(getComputedStyle(element).color), ground);
    const [low, high] = [light(ground), light(ink)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faint.add(`${element.tagName} ${ratio.toFixed(1)}: ${texts.currentNode.textContent.slice(0, 40)}`);
  }
  return [...faint];
})()"""  # noqa: E501


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_out_of_the_screen(served: str, tab: Tab, width: int) -> None:
    tab.open(f"{served}/index.html", width)
    tab.run("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert tab.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_name_of_a_picture_stays_in_its_column(served: str, tab: Tab, width: int) -> None:
    tab.open(f"{served}/index.html", width)
    tab.run("document.querySelector('#pictures figure button').click()")
    tab.settle()
    told = "document.querySelector('dialog figcaption')"
    tab.run(f"{told}.textContent = 'train/n01440764/' + 'n01440764_10043'.repeat(9) + '.JPEG'")
    assert tab.run(f"{told}.scrollWidth <= {told}.clientWidth")
    assert tab.run("((one) => one.scrollWidth <= one.clientWidth)(document.querySelector('dialog'))")


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_tapped_is_large_enough(served: str, tab: Tab, width: int) -> None:
    """WCAG 2.2, 2.5.8: 24 pixels, but for links within a sentence or in a table's cell."""
    tab.open(f"{served}/index.html", width)
    small = tab.run(
        """[...document.querySelectorAll("a, button, select, summary, input")]
        .filter((one) => one.offsetParent && !one.closest("td, th, .skip"))
        .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 80)])
        .filter(([box]) => box.width < 24 || box.height < 24)
        .map(([box, text]) => `${box.width} × ${box.height}: ${text}`)"""
    )
    assert small == []


def test_pictures_and_fields_say_what_they_are_and_headings_are_in_order(served: str, tab: Tab) -> None:
    tab.open(f"{served}/index.html")
    assert tab.run("[...document.images].filter((one) => !one.alt.trim()).map((one) => one.src)") == []
    assert tab.run("[...document.images].filter((one) => one.complete && !one.naturalWidth).length") == 0
    assert (
        tab.run("[...document.querySelectorAll('select, input')].filter((o) => !o.labels.length).length") == 0
    )
    levels = [int(name[1]) for name in tab.run(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => one.tagName)"
    )]  # fmt: skip
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in itertools.pairwise(levels))
    ids = tab.run("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    unnamed = "[...document.querySelectorAll('th')].filter((one) => !one.scope).length"
    assert tab.run(unnamed) == 0
    assert tab.run("document.documentElement.lang") == "en"
