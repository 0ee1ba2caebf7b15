"""Finds a Chromium for the browser tests. Run as a program, it installs one where none is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests import apt

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
PLAYWRIGHT_INSTALL = [sys.executable, "-m", "playwright", "install", "chromium"]

ADVICE = f"""\
No Chromium was found, and none could be installed. Install one with one of
    {" ".join(PLAYWRIGHT_INSTALL)} --with-deps
    sudo apt-get update && sudo apt-get install -y chromium
or put Google Chrome on the PATH, and run `make test` again."""


def installed() -> str | None:
    """The path of a Chromium or Chrome of this machine that starts, or None."""
    found = [shutil.which(command) for command in COMMANDS]
    return next((path for path in [*found, MACOS_CHROME] if path and _starts(path)), None)


def downloaded() -> str | None:
    """The path of the Chromium that Playwright downloaded, if it starts, or None."""
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if _starts(path) else None


def _starts(path: str) -> bool:
    # Ubuntu's `chromium-browser` is there without its snap, and a download may lack system libraries
    if not Path(path).exists():
        return False
    return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0


def _download() -> str | None:
    subprocess.run(PLAYWRIGHT_INSTALL, check=False)
    return downloaded()


def _install() -> str | None:
    apt.install("chromium")
    return installed()


def main() -> None:
    path = installed() or downloaded() or _download() or _install()
    if path is None:
        sys.exit(ADVICE)
    print(f"Browser: {path}")


if __name__ == "__main__":
    main()
