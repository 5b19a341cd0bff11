"""Chromium that blocks third-party cookies, as browsers do today or will soon; or all of one site's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

#: The distribution's; bin/test has Playwright fetch its own where there is none.
PACKAGED = Path("/usr/bin/chromium")

_ARGUMENTS = ["--test-third-party-cookie-phaseout"]

#: Chromium's number for "block" among its content settings.
_BLOCK = 2


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a Chromium for the length of a block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PACKAGED if PACKAGED.exists() else None, args=_ARGUMENTS
        )
        yield browser
        browser.close()


def without_cookies(browser: Browser, folder: Path, site: str, within: str, **options: Any) -> BrowserContext:
    """Return a context of a Chromium of its own that keeps no cookie whatsoever of a site in frames of
    another; in a tab of its own that site's cookies are kept.

    :param folder: for the profile; empty.
    :param site: a host, with all below it.
    """
    block = {f"[*.]{site},[*.]{within}": {"setting": _BLOCK}}
    preferences = {"profile": {"content_settings": {"exceptions": {"cookies": block}}}}
    profile = folder / "Default" / "Preferences"
    profile.parent.mkdir(parents=True)
    profile.write_text(json.dumps(preferences))
    return browser.browser_type.launch_persistent_context(
        str(folder),
        executable_path=PACKAGED if PACKAGED.exists() else None,
        args=_ARGUMENTS,
        **options,
    )
