"""A page that asks for keys, over the shared service's TorchServe, for the clients' tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Thread

import pytest
import uvicorn

from tests.e2e.conftest import Service
from webui import create_app
from webui.server.run import configuration
from webui.web import keys

CLIENTS = ("ollama", "openai", "triton")


@dataclass
class Guarded:
    """Where it is, a key that may ask as often as it likes, and one each that may ask once."""

    url: str
    key: str
    once: dict[str, str]


@pytest.fixture(scope="session")
def guarded(service: Service) -> Iterator[Guarded]:
    """The page, in this process."""
    key, once = keys.make(), {name: keys.make() for name in CLIENTS}
    entries = [f"often:{keys.digest(key)}"]
    entries += [f"{name}:{keys.digest(one)}:1 per hour" for name, one in once.items()]
    app = create_app(
        {
            "INFERENCE_URL": service.inference_url,
            "MANAGEMENT_URL": service.management_url,
            "KEY_FILE": service.run_dir / "key_file.json",
            "RATE_LIMIT": "100000 per minute",
            "API_KEYS": ",".join(entries),
        }
    )
    limit = app.extensions["settings"].max_body_bytes
    server = uvicorn.Server(configuration(app, limit))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    yield Guarded(f"http://127.0.0.1:{listener.getsockname()[1]}", key, once)
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
