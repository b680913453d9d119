"""The whole service as a user starts it, and the browser that looks at it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import skimage.data
from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from benchmarks.services import PORTS
from tests.e2e.browser import ADVICE, find_browser
from tests.shipped import ARCHIVE
from tests.webui.administration import HASH, PASSWORD, TOKEN

ROOT = Path(__file__).resolve().parents[2]
START_S = 120
STOP_S = 60  # more than the launcher gives all parts together
DESK: ViewportSize = {"width": 1280, "height": 800}  # pixels of the window
# Chromium as root, in a closed network, without a screen.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Service:
    """One `python -m webui.serve` with ports and a run folder of its own."""

    run_dir: Path
    environ: dict[str, str] = field(default_factory=dict)  # over the test's own environment
    within: tuple[str, ...] = ()  # a command that becomes the service, somewhere else
    start_s: float = START_S

    def __post_init__(self) -> None:
        self.environ = {
            **os.environ,
            **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)),
            "CAPTIONIZE_RUN_DIR": str(self.run_dir),
            **self.environ,
        }

    def start(self) -> Service:
        """Start it and wait until it says that it is ready."""
        self.launch()
        line = self.first_line()
        if not line.startswith(f"Captionize is ready at {self.page_url} "):
            self.stop()
            pytest.fail(f"the service did not start: {line}", pytrace=False)
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        self.run_dir.parent.mkdir(parents=True, exist_ok=True)
        self.output = self.run_dir.with_suffix(".out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*self.within, sys.executable, "-m", "webui.serve"],
                cwd=ROOT,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def first_line(self) -> str:
        """What it says first: that it is ready, or why not."""
        give_up = time.monotonic() + self.start_s
        while time.monotonic() < give_up:
            ended = self.process.poll() is not None
            if (text := self.output.read_text()).endswith("\n") or ended:
                return text
            time.sleep(0.05)
        self.stop()
        raise TimeoutError(
            f"the service said nothing within {self.start_s} s; logs: {self.run_dir}"
        )

    def stop(self, signum: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; returns its exit status."""
        self.process.send_signal(signum)
        try:
            return self.process.wait(STOP_S)
        finally:
            self.process.kill()

    def _url(self, variable: str) -> str:
        return f"http://127.0.0.1:{self.environ[variable]}"

    @property
    def page_url(self) -> str:
        return self._url("CAPTIONIZE_PORT")

    @property
    def inference_url(self) -> str:
        return self._url("CAPTIONIZE_INFERENCE_PORT")

    @property
    def management_url(self) -> str:
        return self._url("CAPTIONIZE_MANAGEMENT_PORT")

    @property
    def metrics_url(self) -> str:
        return self._url("CAPTIONIZE_METRICS_PORT")

    def inference_token(self) -> str:
        return self._token("inference")

    def management_token(self) -> str:
        return self._token("management")

    def _token(self, kind: str) -> str:
        return str(json.loads((self.run_dir / "key_file.json").read_text())[kind]["key"])


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different."""
    found: list[int] = []
    # Below the ports that the system gives to outgoing connections, which could take one again.
    for port in random.sample(range(20_000, 32_000), 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition()`; an AssertionError after so many seconds."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"not so within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared service's model store, with the shipped archive."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(ARCHIVE, folder)
    return folder


@pytest.fixture(scope="session")
def service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that most tests share, started once, with an administrator."""
    environ = {
        "CAPTIONIZE_MODEL_STORE": str(store),
        "CAPTIONIZE_ADMIN_PASSWORD_HASH": HASH,
        "CAPTIONIZE_ADMIN_TOKEN": TOKEN,
        "CAPTIONIZE_SECRET_KEY": "a secret of the page",
        "CAPTIONIZE_RATE_LIMIT": "100000 per minute",
    }
    running = Service(tmp_path_factory.mktemp("service") / "run", environ).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    path = find_browser()
    if path is None:
        pytest.fail(ADVICE, pytrace=False)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files to give: two pictures, one that is none, one that is empty."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = {name: folder / name for name in ("coffee.jpg", "cat.png", "text.jpg", "empty.jpg")}
    Image.fromarray(skimage.data.coffee()).save(paths["coffee.jpg"])
    Image.fromarray(skimage.data.chelsea()).save(paths["cat.png"])
    paths["text.jpg"].write_text("This is a text, whatever its name says.\n")
    paths["empty.jpg"].touch()
    return paths


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    """The page at a desk, whose console stays silent."""
    context = browser.new_context(viewport=DESK, base_url=service.page_url)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    complaints = console(page)
    # Playwright catches file choosers only while somebody listens, and is slow to begin with it.
    page.on("filechooser", lambda _: None)
    page.goto("/")
    yield page
    context.close()
    assert complaints == []


# Chromium itself logs every request that fails and every answer of 400 and above; and, on a second
# page of some seconds, that the font was preloaded in vain, which it still had from the first.
CHROMIUMS_OWN = ("Failed to load", "inter.woff2 was preloaded using link preload but not used")


def console(page: Page) -> list[str]:
    """What the page's scripts will complain of: what they throw, and log as errors and warnings."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type in ("error", "warning")
            and not any(own in message.text for own in CHROMIUMS_OWN)
            else None
        ),
    )
    return complaints


def log_in(page: Page, password: str = PASSWORD) -> None:
    """Begin the administrator's session, which ends on the versions page."""
    page.goto("/login")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("main")).to_have_attribute("data-state", "shown")
