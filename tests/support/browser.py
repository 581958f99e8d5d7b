"""A real browser without a window: Chromium, that of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    f"no browser: none of {', '.join(NAMES)} is on PATH, and BEAM_RECAP_BROWSER names none; "
    "on Debian, install one with: apt-get install chromium"
)


def browser_path() -> str:
    """Where the browser is. Without one the test is skipped, but where ``CI`` is set it fails."""
    named = os.environ.get("BEAM_RECAP_BROWSER")
    path = named or next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    return path


@contextmanager
def running_browser() -> Iterator[Any]:
    """A `playwright` browser; it closes at the end."""
    path = browser_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # A container's root may not set up the sandbox; what is opened here is the tests' own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
