"""Chromium that blocks third-party cookies, as browsers do today or will soon."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

#: The distribution's; bin/test has Playwright fetch its own where there is none.
PACKAGED = Path("/usr/bin/chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium for the length of a block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PACKAGED if PACKAGED.exists() else None,
            args=["--test-third-party-cookie-phaseout"],
        )
        yield browser
        browser.close()
