"""Manages the versions from a shell, over the page's API: `python -m webui.admin --help`.

The token is the one that the page was started with, in CAPTIONIZE_ADMIN_TOKEN.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import click
import requests
from werkzeug.security import generate_password_hash

from webui.web import keys
from webui.web.names import RULE, is_name
from webui.web.settings import Settings

SHORTEST_PASSWORD = 10  # characters
POLL_S = 0.5
TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 600.0


class AdminError(click.ClickException):
    """Why a command did not succeed, in a sentence; its exit status is 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence alone."""
        click.echo(self.message, file, err=True)


def call(method: str, path: str, timeout_s: float = TIMEOUT_S, **request: Any) -> Any:
    """The JSON of the API's answer, None for an empty one. Raises AdminError with its message."""
    try:
        settings = Settings.from_environment()
    except ValueError as error:
        raise AdminError(f"{error}.") from error
    if not settings.admin_token:
        raise AdminError("Set CAPTIONIZE_ADMIN_TOKEN to the token that the page was started with.")
    given = click.get_current_context().find_root().params["url"]
    url = (given or f"http://{Settings.host}:{settings.port}").rstrip("/")
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy and no .netrc gets to see the token
            session.headers["Authorization"] = f"Bearer {settings.admin_token}"
            response = session.request(
                method, f"{url}/api{path}", timeout=timeout_s, allow_redirects=False, **request
            )
    except (requests.RequestException, ValueError) as error:
        raise AdminError(
            f"The page cannot be reached at {url} ({type(error).__name__}). Start it, or "
            "give its address with --url."
        ) from error
    with contextlib.suppress(ValueError, LookupError, TypeError):
        if response.ok:
            return response.json() if response.content else None
        raise AdminError(response.json()["message"])
    raise AdminError(f"{url} answered {response.status_code}, and not as JSON.")


def finish(job: Any) -> str:
    """Follow a job to its end; its last message. Raises AdminError when it failed."""
    printed = ""
    while job["state"] == "running":
        if job["message"] != printed:
            printed = job["message"]
            click.echo(printed, err=True)
        time.sleep(POLL_S)
        job = call("GET", f"/jobs/{job['id']}")
    if job["state"] == "failed":
        raise AdminError(job["message"])
    return str(job["message"])


def table(*rows: Sequence[object]) -> str:
    """The rows, the heading first, in aligned columns; what is None or empty is a dash."""
    cells = [["-" if cell in (None, "") else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--url",
    show_default=f"http://{Settings.host}:{Settings.port}, or the port in CAPTIONIZE_PORT",
    help="The page's address.",
)
def cli(url: str | None) -> None:
    """Manages the versions from a shell, over the page's API.

    The token is the one that the page was started with, in CAPTIONIZE_ADMIN_TOKEN.
    """


@cli.result_callback()
def show(answer: str, url: str | None) -> None:
    """Print what a command returns."""
    click.echo(answer)


@cli.command()
def hash_password() -> str:
    """Ask for a password and print its hash."""
    if sys.stdin.isatty():
        again = "Once more"
        password = click.prompt("Password", hide_input=True, confirmation_prompt=again, err=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        raise AdminError(
            f"Expected a password of at least {SHORTEST_PASSWORD} characters, got {len(password)}."
        )
    return generate_password_hash(password, method="scrypt")


@cli.command()
@click.argument("name")
def make_key(name: str) -> str:
    """Make a key for a program: print it, and what CAPTIONIZE_API_KEYS is to hold of it."""
    if not is_name(name):
        raise AdminError(f"Expected a name of {RULE}, got {name!r}.")
    key = keys.make()
    return (
        f"The program's key, shown this once: {key}\n"
        f"Add to CAPTIONIZE_API_KEYS: {name}:{keys.digest(key)}"
    )


@cli.command()
def models() -> str:
    """List the models and their versions."""
    rows = []
    answer = call("GET", "/models")
    for one in answer["lost"]:
        click.echo(f"{one['model']} {one['version']} is not back: {one['message']}", err=True)
    for model in answer["models"]:
        for one in model["versions"]:
            name = (model["name"], one["version"], "yes" if one["default"] else "-")
            ready = sum(worker["state"] == "READY" for worker in one["workers"])
            counts = (ready, one["max_workers"], one["queue"]["pending"])
            rows.append((*name, *counts, one["archive"]))
    return table(("MODEL", "VERSION", "DEFAULT", "READY", "WORKERS", "WAITING", "ARCHIVE"), *rows)


@cli.command()
def archives() -> str:
    """List the archives in the model store."""
    rows = []
    for one in call("GET", "/archives")["archives"]:
        registered = ", ".join(one["registered"]) or one["problem"]
        rows.append((*(one[key] for key in ("name", "model", "version", "size_bytes")), registered))
    return table(("ARCHIVE", "MODEL", "VERSION", "BYTES", "REGISTERED"), *rows)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
def upload(file: Path) -> str:
    """Upload an archive into the model store."""
    try:
        with file.open("rb") as stream:
            files = {"archive": (file.name, stream)}
            one = call("POST", "/archives", UPLOAD_TIMEOUT_S, files=files)
    except OSError as error:
        raise AdminError(f"{file} cannot be read: {error.strerror}.") from error
    return f"{one['name']} ({one['model']} {one['version']}) is in the model store."


@cli.command()
@click.argument("archive")
def delete(archive: str) -> str:
    """Delete an archive that is not registered from the model store."""
    call("DELETE", f"/archives/{archive}")
    return f"{archive} is deleted."


@cli.command()
@click.argument("archive")
@click.option("--workers", type=int, default=1, help="Processes that caption.")
@click.option("--batch-size", type=int, show_default="the archive's", help="Pictures.")
@click.option("--max-batch-delay", type=int, show_default="the archive's", help="Milliseconds.")
def register(**options: Any) -> str:
    """Register an archive of the model store, and wait for its workers."""
    body = {name: value for name, value in options.items() if value is not None}
    return finish(call("POST", "/models", json=body))


@cli.command()
@click.argument("model")
@click.argument("version")
@click.argument("workers", type=int)
def scale(model: str, version: str, workers: int) -> str:
    """Change the number of workers, and wait for them."""
    return finish(call("PUT", f"/models/{model}/{version}/workers", json={"workers": workers}))


@cli.command()
@click.argument("model")
@click.argument("version")
def default(model: str, version: str) -> str:
    """Make a version the default."""
    now = call("PUT", f"/models/{model}/{version}/default")
    return f"{now['name']} {now['default']} is the default."


@cli.command()
@click.argument("model")
def rollback(model: str) -> str:
    """Go back to the previous default."""
    now = call("POST", f"/models/{model}/rollback")
    return f"{now['name']} {now['default']} is the default again."


@cli.command()
@click.argument("model")
@click.argument("version")
def unregister(model: str, version: str) -> str:
    """Unregister a version."""
    call("DELETE", f"/models/{model}/{version}")
    return f"{model} {version} is unregistered."


@cli.command()
@click.argument("version", required=False)
@click.option("--share", type=float, default=0.1, help="Of the captions, 0 to 1.")
@click.option("--off", is_flag=True, help="Send all to the default again.")
def canary(version: str | None, share: float, off: bool) -> str:
    """Show the canary, or send a share of the captions to a version."""
    if off:
        now = call("DELETE", "/canary")
    elif version:
        now = call("PUT", "/canary", json={"version": version, "share": share})
    else:
        now = call("GET", "/canary")
    rows = []
    for one in now["compared"]:
        own = now["share"] if one["version"] == now["version"] else 1 - now["share"]
        figures = (one[key] for key in ("captions", "errors", "p50_ms", "p95_ms"))
        votes = (one["votes"][key] for key in ("won", "lost", "tied"))
        rows.append((one["version"], f"{own:.0%}", *figures, *votes))
    head = ("VERSION", "SHARE", "CAPTIONS", "ERRORS", "P50_MS", "P95_MS", "WON", "LOST", "TIED")
    return table(head, *rows)


@cli.command()
@click.option("--last", type=int, default=20, help="Entries.")
def audit(last: int) -> str:
    """Print the newest entries of the audit log as JSON lines, the newest last."""
    entries = call("GET", "/audit")["audit"][:last]
    return "\n".join(json.dumps(entry, ensure_ascii=False) for entry in reversed(entries))


def main(arguments: Sequence[str] | None = None, prog: str = "python -m webui.admin") -> NoReturn:
    """Run one command and exit with its status. `prog` is how the user called it."""
    sys.exit(cli(arguments, prog_name=prog))


if __name__ == "__main__":
    main()
