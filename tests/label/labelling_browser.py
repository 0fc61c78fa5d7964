"""Debian's Chromium, driven by Playwright, with axe, in front of a labelling server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from real_browser import CHROMIUM

PATIENCE = 60_000  # ms
READY = "#cine[data-state=ready]"
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
NAME = "apical-annotator"  # where the page keeps it
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Visitor:
    """One person's browser at a labelling page.

    Attributes:
        complaints: exceptions, and what the console calls errors (but answers like 503).
        addresses: all that was asked for.
    """

    def __init__(self, browser: Browser, address: str, name: str | None = "anna", **context: Any) -> None:
        self.address = address
        self.context: BrowserContext = browser.new_context(
            **{"viewport": {"width": 1400, "height": 900}} | context
        )
        self.context.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.addresses: set[str] = set()
        if name is not None:
            self.context.add_init_script(
                f"localStorage.getItem('{NAME}') ?? localStorage.setItem('{NAME}', '{name}')"
            )
        self.page = self.tab()

    def tab(self, place: str = "") -> Page:
        """Open the page in another tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        page.on("request", lambda request: self.addresses.add(request.url))
        page.goto(f"{self.address}/{place}")
        return page

    def _hear(self, message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def close(self) -> None:
        """The page asked nobody else for anything, and nothing went wrong in it."""
        self.context.close()
        assert self.complaints == [], self.complaints
        assert {one for one in self.addresses if not one.startswith(("blob:", self.address))} == set()

    def clip(self) -> str:
        """The clip in sight, once its picture is there."""
        self.page.wait_for_selector(READY)
        return str(self.page.get_attribute("#cine", "data-clip"))

    def press(self, key: str) -> str:
        """Answer by a key and wait for the next picture; the clip that was answered."""
        clip = self.clip()
        self.page.keyboard.press(key)
        self.until(lambda: self.page.get_attribute("#cine", "data-clip") != clip)
        return clip

    def until(self, question: Callable[[], Any]) -> Any:
        """Ask until the answer is true; what it is. The page's policy forbids Playwright's own way."""
        end = time.monotonic() + PATIENCE / 1000
        while not (found := question()):
            assert time.monotonic() < end, "waited in vain"
            self.page.wait_for_timeout(20)
        return found

    def said(self, text: str) -> None:
        """Wait until the status line says so."""
        self.until(lambda: text in self.page.inner_text("#status-text"))

    def violations(self, rules: str = RULES) -> list[str]:
        """What axe finds wrong by WCAG 2.2 AA and good practice, with the elements."""
        self.page.evaluate(AXE)
        found = self.page.evaluate(f"axe.run(document, {{runOnly: {rules}}})")
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]
