"""The browser of the tests: `python -m tests.e2e.browser` gets one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = (
    "The tests need a browser and none could be had. Install Chromium (on Debian: "
    "sudo apt install chromium) or Google Chrome, then run them again."
)


def find_browser() -> str | None:
    """The path of a Chromium: the machine's, else the one that Playwright has fetched."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def get_browser() -> str | None:
    """The browser that is there, else the distribution's, else Playwright's own."""
    if path := find_browser():
        return path
    playwright = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    for commands in (_distribution(), playwright):
        if all(map(_succeeds, commands)) and (path := find_browser()):
            return path
    return None


def _distribution() -> list[list[str]]:
    """apt's commands, where they may run: as root, or as who may be root without a password."""
    if not shutil.which("apt-get"):
        return []
    sudo = ["sudo", "-n"] if os.geteuid() else []
    if sudo and not (shutil.which("sudo") and _succeeds(["sudo", "-n", "true"])):
        return []
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    return [
        [*apt, "update"],
        [*apt, "install", "--no-install-recommends", "chromium", "fonts-liberation"],
    ]


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(None if get_browser() else ADVICE)
