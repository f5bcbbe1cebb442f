"""A headless Chromium for page tests: the system's own, so that no test downloads a browser."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

PACKAGE = "chromium"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 1000}
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser; skips, naming the package, where there is none."""
    path = shutil.which(PACKAGE)
    if path is None:
        pytest.skip(f"no {PACKAGE} on this machine: apt-get install {PACKAGE}")
    # Chromium's sandbox refuses to run as root, as in a container.
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments, headless=True)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """A page that remembers what a page must never do: complain on its console or ask another host."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        self.hosts.add(request.url.split("/", 3)[2])


@asynccontextmanager
async def watched(
    browser: Browser, size: dict[str, int], language: str = "ja", javascript: bool = True
) -> AsyncIterator[Watched]:
    """A fresh page of `size` in a profile of its own; `language` is what the browser prefers."""
    context: BrowserContext = await browser.new_context(
        viewport=size, locale=language, java_script_enabled=javascript, timezone_id="America/New_York"
    )
    try:
        yield Watched(await context.new_page())
    finally:
        await context.close()
