"""`captionize mcp` as an assistant runs it, over the running service."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from mcp import Client, StdioServerParameters

from tests.e2e.client import COFFEE
from tests.e2e.conftest import ROOT, Service, free_ports, wait_for
from tests.e2e.service.conftest import Guarded

READ_S = 120


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder that the user allows, with pictures and what is none; and a picture beside it."""
    album = tmp_path / "album"
    (album / "holiday").mkdir(parents=True)
    for name in ("a.jpg", "holiday/b.JPG"):
        (album / name).write_bytes(COFFEE)
    (album / "broken.png").write_bytes(b"no picture")
    (album / "notes.txt").write_text("not a picture")
    (tmp_path / "secret.jpg").write_bytes(COFFEE)
    (album / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    return album


def run(album: Path, url: str, use: Callable[[Client], Awaitable[None]], key: str = "") -> None:
    """Start the command as an assistant does, and use it."""
    command = ["-m", "captionize", "mcp", "--folder", str(album), "--url", url]
    environ = {**os.environ, "CAPTIONIZE_API_KEY": key}
    server = StdioServerParameters(command=sys.executable, args=command, env=environ, cwd=ROOT)
    finish(used(server, use))


def finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread of its own: in this one a browser's loop may run."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, coroutine).result()


async def used(
    server: StdioServerParameters | str, use: Callable[[Client], Awaitable[None]]
) -> None:
    async with Client(server, read_timeout_seconds=READ_S) as client:
        await use(client)


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool answers: its object, or the sentence of its error."""
    result = await client.call_tool(tool, arguments)
    return result.content[0].text if result.is_error else result.structured_content  # type: ignore[union-attr]


def test_an_assistant_describes_a_picture_and_a_folder(service: Service, album: Path) -> None:
    steps: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        steps.append((done, total))

    async def use(client: Client) -> None:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"caption_image", "caption_folder"}
        by_path = await call(client, "caption_image", path=str(album / "a.jpg"), alternatives=2)
        assert len(by_path["alternatives"]) == 2
        data = base64.b64encode(COFFEE).decode()
        assert (await call(client, "caption_image", data=data))["caption"] == by_path["caption"]
        result = await client.call_tool(
            "caption_folder", {"path": str(album)}, progress_callback=progress
        )
        found: Any = result.structured_content
        captions = {name: one["caption"] for name, one in found["captions"].items()}
        assert captions == dict.fromkeys(("a.jpg", "holiday/b.JPG"), by_path["caption"])
        assert list(found["failed"]) == ["broken.png"]
        assert found["left_out"] == 0

        for path in (album.parent / "secret.jpg", album / "link.jpg", album / "../secret.jpg"):
            assert str(album) in await call(client, "caption_image", path=str(path))
        assert "Expected" in await call(client, "caption_folder", path="/")
        assert "folder" in await call(client, "caption_image", path=str(album))
        assert "either" in await call(client, "caption_image")
        assert "JPEG" in await call(client, "caption_image", path=str(album / "broken.png"))
        assert "base64" in await call(client, "caption_image", data="?")

    run(album, service.page_url, use)
    assert sorted(steps) == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
def test_it_tells_what_is_wrong_with_the_page(guarded: Guarded, album: Path) -> None:
    path = str(album / "a.jpg")

    async def with_key(client: Client) -> None:
        assert (await call(client, "caption_image", path=path))["caption"]

    async def without(client: Client) -> None:
        assert "make-key" in await call(client, "caption_image", path=path)

    async def away(client: Client) -> None:
        assert "captionize serve" in await call(client, "caption_image", path=path)

    run(album, guarded.url, with_key, guarded.key)
    run(album, guarded.url, without)
    run(album, f"http://127.0.0.1:{free_ports(1)[0]}", away)


@pytest.mark.slow
def test_it_is_there_over_http_for_this_machine_alone(service: Service, album: Path) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/mcp"
    command = [sys.executable, "-m", "captionize", "mcp", "--http", str(port)]
    command += ["--folder", str(album), "--url", service.page_url]

    async def use(client: Client) -> None:
        assert (await call(client, "caption_image", path=str(album / "a.jpg")))["caption"]

    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            wait_for(lambda: answers(url) is not None, READ_S)
            finish(used(url, use))
            assert answers(url, Host="evil.example") == 421
            assert answers(url, Origin="https://evil.example") == 403
        finally:
            process.terminate()
            process.communicate()


def answers(url: str, **headers: str) -> int | None:
    """The status of a request that is none of the protocol, None while nothing listens."""
    try:
        return requests.post(url, json={}, headers=headers, timeout=5).status_code
    except requests.ConnectionError:
        return None
