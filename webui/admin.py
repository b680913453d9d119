"""Manages the versions from a shell, over the page's API: `python -m webui.admin --help`.

The token is the one that the page was started with, in CAPTIONIZE_ADMIN_TOKEN.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from werkzeug.security import generate_password_hash

SHORTEST_PASSWORD = 10  # characters
POLL_S = 0.5
TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 600.0


class AdminError(Exception):
    """Why a command did not succeed, in a sentence."""


class Client:
    """The page's API, with the administrator's token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc gets to see the token
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, timeout_s: float = TIMEOUT_S, **request: Any) -> Any:
        """The JSON of an answer, None for an empty one. Raises AdminError with its message."""
        try:
            response = self._session.request(
                method,
                f"{self._url}/api{path}",
                timeout=timeout_s,
                allow_redirects=False,
                **request,
            )
        except (requests.RequestException, ValueError) as error:
            raise AdminError(
                f"The page cannot be reached at {self._url} ({type(error).__name__}). Start it, or "
                "give its address with --url."
            ) from error
        try:
            body = response.json() if response.content else None
        except ValueError:
            body = None
        if response.ok and (body is not None or not response.content):
            return body
        message = body.get("message") if isinstance(body, dict) else None
        raise AdminError(
            message or f"{self._url} answered {response.status_code}, and not as JSON."
        )

    def wait(self, job: Any) -> str:
        """Follow a job to its end; its last message. Raises AdminError when it failed."""
        said = ""
        while job["state"] == "running":
            if job["message"] != said:
                said = job["message"]
                print(said, file=sys.stderr, flush=True)
            time.sleep(POLL_S)
            job = self.call("GET", f"/jobs/{job['id']}")
        if job["state"] == "failed":
            raise AdminError(job["message"])
        return str(job["message"])


def hash_password() -> str:
    """Ask for a password, twice on a terminal, and return its hash."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise AdminError("The two passwords differ. Try again.")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        raise AdminError(
            f"Expected a password of at least {SHORTEST_PASSWORD} characters, got {len(password)}."
        )
    return generate_password_hash(password, method="scrypt")


def models(client: Client, _: argparse.Namespace) -> str:
    """A line for each version."""
    rows = [("MODEL", "VERSION", "DEFAULT", "READY", "WORKERS", "WAITING", "ARCHIVE")]
    for model in client.call("GET", "/models")["models"]:
        for one in model["versions"]:
            ready = sum(worker["state"] == "READY" for worker in one["workers"])
            rows.append(
                (
                    model["name"],
                    one["version"],
                    "yes" if one["default"] else "-",
                    str(ready),
                    str(one["max_workers"]),
                    str(one["queue"]["pending"]),
                    one["archive"],
                )
            )
    return _table(rows)


def archives(client: Client, _: argparse.Namespace) -> str:
    """A line for each archive in the model store."""
    rows = [("ARCHIVE", "MODEL", "VERSION", "BYTES", "REGISTERED")]
    for one in client.call("GET", "/archives")["archives"]:
        registered = ", ".join(one["registered"]) or one["problem"] or "-"
        what = (one["model"] or "-", one["version"] or "-")
        rows.append((one["name"], *what, str(one["size_bytes"]), registered))
    return _table(rows)


def upload(client: Client, options: argparse.Namespace) -> str:
    """Upload an archive."""
    try:
        with options.file.open("rb") as file:
            files = {"archive": (options.file.name, file)}
            one = client.call("POST", "/archives", UPLOAD_TIMEOUT_S, files=files)
    except OSError as error:
        raise AdminError(f"{options.file} cannot be read: {error.strerror}.") from error
    return f"{one['name']} ({one['model']} {one['version']}) is in the model store."


def register(client: Client, options: argparse.Namespace) -> str:
    """Register an archive and wait for its workers."""
    body = {"archive": options.archive, "workers": options.workers}
    for name in ("batch_size", "max_batch_delay"):
        if getattr(options, name) is not None:
            body[name] = getattr(options, name)
    return client.wait(client.call("POST", "/models", json=body))


def scale(client: Client, options: argparse.Namespace) -> str:
    """Change the number of workers and wait for them."""
    body = {"workers": options.workers}
    return client.wait(client.call("PUT", f"{_path(options)}/workers", json=body))


def default(client: Client, options: argparse.Namespace) -> str:
    """Make a version the default."""
    model = client.call("PUT", f"{_path(options)}/default")
    return f"{model['name']} {model['default']} is the default."


def rollback(client: Client, options: argparse.Namespace) -> str:
    """Make the previous default the default again."""
    model = client.call("POST", f"/models/{options.model}/rollback")
    return f"{model['name']} {model['default']} is the default again."


def unregister(client: Client, options: argparse.Namespace) -> str:
    """Unregister a version."""
    client.call("DELETE", _path(options))
    return f"{options.model} {options.version} is unregistered."


def canary(client: Client, options: argparse.Namespace) -> str:
    """Show, set or stop the canary."""
    if options.off:
        now = client.call("DELETE", "/canary")
    elif options.version:
        now = client.call(
            "PUT", "/canary", json={"version": options.version, "share": options.share}
        )
    else:
        now = client.call("GET", "/canary")
    rows = [("VERSION", "SHARE", "CAPTIONS", "ERRORS", "P50_MS", "P95_MS", "WON", "LOST", "TIED")]
    for one in now["compared"]:
        own = now["share"] if one["version"] == now["version"] else 1 - now["share"]
        figures = [one["captions"], one["errors"], one["p50_ms"], one["p95_ms"]]
        figures += [one["votes"][name] for name in ("won", "lost", "tied")]
        cells = ["-" if figure is None else str(figure) for figure in figures]
        rows.append((one["version"], f"{own:.0%}", *cells))
    return _table(rows)


def audit(client: Client, options: argparse.Namespace) -> str:
    """The newest entries of the audit log as JSON lines, the newest last."""
    entries = client.call("GET", "/audit")["audit"][: options.last]
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in reversed(entries))


def _path(options: argparse.Namespace) -> str:
    return f"/models/{options.model}/{options.version}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m webui.admin", description=__doc__.split("\n\n")[0].split(":")[0] + "."
    )
    port = os.environ.get("CAPTIONIZE_PORT", "8000")
    url = f"http://127.0.0.1:{port}"
    parser.add_argument("--url", default=url, help="the page's address (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("hash-password", help="ask for a password and print its hash")

    def command(name: str, run: Any, summary: str, *places: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        added.set_defaults(run=run)
        for place in places:
            added.add_argument(place)
        return added

    command("models", models, "list the models and their versions")
    command("archives", archives, "list the archives in the model store")
    added = command("upload", upload, "upload an archive into the model store")
    added.add_argument("file", type=Path)
    added = command("register", register, "register an archive of the model store", "archive")
    added.add_argument("--workers", type=int, default=1, help="(default: %(default)s)")
    added.add_argument("--batch-size", type=int, help="pictures (default: the archive's)")
    added.add_argument("--max-batch-delay", type=int, help="ms (default: the archive's)")
    added = command("scale", scale, "change the number of workers", "model", "version")
    added.add_argument("workers", type=int)
    command("default", default, "make a version the default", "model", "version")
    command("rollback", rollback, "go back to the previous default", "model")
    command("unregister", unregister, "unregister a version", "model", "version")
    added = command("canary", canary, "show the canary, or send a share of captions to a version")
    added.add_argument("version", nargs="?")
    added.add_argument("--share", type=float, default=0.1, help="0 to 1 (default: %(default)s)")
    added.add_argument("--off", action="store_true", help="send all to the default again")
    added = command("audit", audit, "print the audit log as JSON lines, the newest last")
    added.add_argument("--last", type=int, default=20, help="entries (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parse(arguments)
    try:
        if options.command == "hash-password":
            print(hash_password())
            return 0
        token = os.environ.get("CAPTIONIZE_ADMIN_TOKEN", "")
        if not token:
            raise AdminError(
                "Set CAPTIONIZE_ADMIN_TOKEN to the token that the page was started with."
            )
        print(options.run(Client(options.url, token), options))
    except AdminError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
