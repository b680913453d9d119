"""Offers captions to assistants by the Model Context Protocol: `captionize mcp --help`.

It asks a running page, as any program does, and sees no picture outside the folders that the user
names. A key for the page is taken from CAPTIONIZE_API_KEY.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import requests
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from webui.web.settings import MEBIBYTE, Settings

T = TypeVar("T")

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif")
MOST = 500  # pictures of a folder in one call
AT_A_TIME = 4
TIMEOUT_S = 120
LARGEST = 64 * MEBIBYTE  # of a file that is sent at all; the page has its own, smaller limit
MOST_ALTERNATIVES = 7
INSTRUCTIONS = (
    "Describes pictures in one sentence of English each, by a small model that is quick and knows "
    "photos of everyday things. It answers no questions about a picture. trust says how far to "
    "believe a caption: right, check (may well be wrong) or unknown (not like the photos it knows)."
)


class Captioner:
    """Pictures within the named folders, and the page that captions them."""

    def __init__(self, folders: Sequence[Path], url: str, key: str) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._url = f"{url.rstrip('/')}/api/captions"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no .netrc gets to see the key
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def within(self, path: str) -> Path:
        """The real path of what lies in a named folder, links followed. Raises ToolError."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            found = Path(path).expanduser().resolve(strict=True)
            if any(found.is_relative_to(one) for one in self._folders):
                return found
        names = ", ".join(map(str, self._folders)) or "none (start with --folder)"
        raise ToolError(
            f"Expected a file or folder in one of the folders that the user allows ({names}), "
            f"got {path!r}. Ask the user, or send the picture as data."
        )

    def caption(self, picture: bytes, alternatives: int = 0) -> dict[str, Any]:
        """What the page says about a picture. Raises ToolError."""
        form = {"num_captions": str(1 + alternatives)}
        try:
            response = self._session.post(
                self._url, files={"image": ("picture", picture)}, data=form, timeout=TIMEOUT_S
            )
            answer = response.json()
        except (requests.RequestException, ValueError) as error:
            raise ToolError(
                "Captionize does not answer. Ask the user to start it (captionize serve), or to "
                f"give its address with --url; expected it at {self._url}."
            ) from error
        if not response.ok:
            raise ToolError(str(answer.get("message", f"It answered {response.status_code}.")))
        best, *others = answer["captions"]
        return {
            "caption": answer["caption"],
            "confidence": best["confidence"],
            **({"trust": best["trust"]} if "trust" in best else {}),
            "tags": [tag["word"] for tag in answer.get("tags", [])],
            **({"alternatives": [one["caption"] for one in others]} if alternatives else {}),
        }

    def caption_file(self, path: Path, alternatives: int = 0) -> dict[str, Any]:
        """The same of a file within the folders. Raises ToolError."""
        try:
            if path.stat().st_size > LARGEST:
                raise ToolError(f"{path.name} is larger than any picture that can be captioned.")
            picture = path.read_bytes()
        except OSError as error:
            raise ToolError(f"{path.name} cannot be read: {error.strerror}.") from error
        return self.caption(picture, alternatives)

    def pictures(self, folder: Path) -> list[Path]:
        """The pictures in a folder and in those below it; links may lead nowhere else."""
        found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        kept = (path for path in found if path.resolve().is_relative_to(folder))
        return sorted(path for path in kept if path.is_file())


def decoded(data: str) -> bytes:
    """The picture in base64 or in a data URI. Raises ToolError."""
    try:
        return base64.b64decode(data.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise ToolError("Expected data to be a picture's bytes in base64.") from error


def server(captioner: Captioner) -> MCPServer[Any]:
    """The two tools."""
    offered: MCPServer[Any] = MCPServer("captionize", instructions=INSTRUCTIONS)

    @offered.tool()
    async def caption_image(
        path: str | None = None, data: str | None = None, alternatives: int = 0
    ) -> dict[str, Any]:
        """Describe one picture: a file at `path`, or its bytes in base64 as `data`.

        `alternatives` is how many more captions to give, 0 to 7.
        """
        if (path is None) is (data is None):
            raise ToolError("Expected either path or data.")
        if not 0 <= alternatives <= MOST_ALTERNATIVES:
            raise ToolError(f"Expected 0 to {MOST_ALTERNATIVES} alternatives, got {alternatives}.")
        if data is not None:
            return await _in_thread(partial(captioner.caption, decoded(data), alternatives))
        file = captioner.within(path or "")
        if not file.is_file():
            raise ToolError(f"{file.name} is a folder: use caption_folder.")
        return await _in_thread(partial(captioner.caption_file, file, alternatives))

    @offered.tool()
    async def caption_folder(path: str, ctx: Context[Any, Any]) -> dict[str, Any]:
        """Describe every picture in a folder and in the folders below it, 500 at most."""
        folder = captioner.within(path)
        if not folder.is_dir():
            raise ToolError(f"{folder.name} is a file: use caption_image.")
        there = await _in_thread(partial(captioner.pictures, folder))
        captions: dict[str, Any] = {}
        failed: dict[str, str] = {}
        limiter = anyio.CapacityLimiter(AT_A_TIME)

        async def one(file: Path) -> None:
            name = str(file.relative_to(folder))
            try:
                captions[name] = await _in_thread(partial(captioner.caption_file, file), limiter)
            except ToolError as error:
                failed[name] = str(error)
            await ctx.report_progress(len(captions) + len(failed), len(chosen), name)

        chosen = there[:MOST]
        async with anyio.create_task_group() as group:
            for file in chosen:
                group.start_soon(one, file)
        return {
            "captions": dict(sorted(captions.items())),
            "failed": failed,
            "left_out": len(there) - len(chosen),
        }

    return offered


async def _in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter | None = None) -> T:
    return await anyio.to_thread.run_sync(work, limiter=limiter)


def main(arguments: Sequence[str] | None = None, prog: str = "python -m webui.mcp") -> int:
    """Run the command line until the assistant is done; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Offers captions to assistants by the Model Context Protocol, over stdio.",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        action="append",
        default=[],
        help="a folder whose pictures the assistant may see; give it again for more",
    )
    default = f"http://{Settings.host}:{Settings.port}"
    parser.add_argument("--url", default=default, help=f"the page's address (default: {default})")
    parser.add_argument(
        "--http", type=int, metavar="PORT", help="over HTTP at this port of this machine, /mcp"
    )
    options = parser.parse_args(arguments)
    for folder in options.folder:
        if not folder.is_dir():
            print(f"Expected a folder for --folder, got {folder}.", file=sys.stderr)
            return 1
    key = os.environ.get("CAPTIONIZE_API_KEY", "")
    offered = server(Captioner(options.folder, options.url, key))
    if options.http is None:
        offered.run("stdio")
    else:
        # The SDK refuses other host names and origins at this address.
        offered.run(
            "streamable-http",
            host="127.0.0.1",
            port=options.http,
            max_request_body_size=LARGEST,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
