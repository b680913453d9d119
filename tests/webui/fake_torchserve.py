"""A server that behaves as TorchServe does, as far as the web application can tell."""

from __future__ import annotations

import copy
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.webui.fake_management import FakeModels

ANSWER: dict[str, Any] = {
    "caption": "a brown dog's ball <b>rolls</b>",
    "captions": [
        {
            "caption": "a brown dog's ball <b>rolls</b>",
            "log_probability": -3.2,
            "confidence": 0.61,
            "words": [
                {"word": "a", "probability": 0.97},
                {"word": "brown", "probability": 0.55},
                {"word": "dog", "probability": 0.9},
                {"word": "'s", "probability": 0.35},
                {"word": "ball", "probability": 0.15},
                {"word": "<b>rolls</b>", "probability": 0.004},
            ],
        },
        {
            "caption": "a dog",
            "log_probability": -4.0,
            "confidence": 0.4,
            "words": [{"word": "a", "probability": 0.9}, {"word": "dog", "probability": 0.2}],
        },
    ],
    "image": {"width": 640, "height": 480, "format": "JPEG"},
    "model": {"name": "captioner", "version": "1.0"},
}


EXPIRES = "2126-11-02T14:25:53.{:09}Z"  # as Java writes the time
ATTENTION = {"rows": 1, "columns": 2, "weights": [0.25, 0.75]}


def explained(answer: dict[str, Any] = ANSWER) -> dict[str, Any]:
    """The answer as /explanations gives it: with where each word looked."""
    explanation = copy.deepcopy(answer)
    for caption in explanation["captions"]:
        for word in caption["words"]:
            word["attention"] = ATTENTION
    return explanation


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeTorchServe:
    """TorchServe's inference and management APIs on one port, with its key file.

    `replies` are what /predictions and /explanations answer next: (status, body, seconds to wait
    before); when none is left, 200 with ANSWER. `models` are those of the management API, unless a
    test sets what it tells of the `versions` of one, the default first.
    """

    key_file: Path
    replies: deque[tuple[int, bytes, float]] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    models: FakeModels = field(default_factory=FakeModels)
    request_id: str = ""
    stuck: bool = False  # its worker answers nothing
    versions: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    count: int = 0
    starts: int = 1

    @property
    def worker_states(self) -> list[str]:
        """The states of the workers of the model's first version."""
        return self.models.states

    @worker_states.setter
    def worker_states(self, states: list[str]) -> None:
        self.models.states = states

    def __post_init__(self) -> None:
        handler = type("Handler", (_Handler,), {"fake": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.new_key("management")
        self.new_key("inference")
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def new_key(self, kind: str) -> None:
        """Replace one key, in memory and in the file."""
        self.count += 1
        self.keys[kind] = f"{kind}-{self.count}"
        self.write_keys()

    def restart(self, *load_models: str) -> None:
        """Start again as TorchServe does: new keys, and nothing but what load_models names."""
        self.starts += 1
        self.models.load(*load_models or ("captioner.mar",))
        self.new_key("management")
        self.new_key("inference")

    def write_keys(self) -> None:
        """Write the key file as TorchServe does: in place."""
        entries: dict[str, Any] = {
            kind: {"key": key, "expiration time": EXPIRES.format(self.starts)}
            for kind, key in self.keys.items()
        }
        self.key_file.write_text(json.dumps({**entries, "API": {"key": "api-key"}}, indent=2))

    def reply(self, status: int, body: object = b"", wait: float = 0) -> None:
        """Add a reply to the next prediction; a body that is not bytes becomes JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.append((status, data, wait))

    def predictions(self) -> list[Seen]:
        """The predictions and explanations that arrived."""
        return [seen for seen in self.seen if seen.path.startswith(("/predictions", "/explan"))]

    def stop(self) -> None:
        """Stop answering; connections are refused from here on."""
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeTorchServe
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: two would wait for each other, 40 ms each time

    def do_POST(self) -> None:
        if self.path.startswith("/models"):
            self._manage()
            return
        self._take()
        if not self._authorised("inference"):
            return
        replies = self.fake.replies
        answer = explained() if self.path.startswith("/explanations") else ANSWER
        status, body, wait = replies.popleft() if replies else (200, json.dumps(answer).encode(), 0)
        time.sleep(wait)
        self._answer(status, body)

    def do_GET(self) -> None:
        self._take()
        if self.path == "/ping":
            if self._authorised("inference"):
                self._answer(200, b'{"status": "Healthy"}')
        else:
            self._answer_management()

    def do_PUT(self) -> None:
        self._manage()

    def do_DELETE(self) -> None:
        self._manage()

    def _manage(self) -> None:
        self._take()
        self._answer_management()

    def _answer_management(self) -> None:
        if self.fake.stuck and "customized=true" in self.path:
            time.sleep(1)
        if self._authorised("management") and not self._describe():
            status, body = self.fake.models.answer(self.command, self.path)
            self._answer(status, json.dumps(body, indent=2).encode())

    def _describe(self) -> bool:
        """Answer for /models and /models/NAME[/all] from `versions`, where a test has set them."""
        versions = self.fake.versions
        if not versions:
            return False
        if self.path.startswith("/models?"):
            names = [{"modelName": "captioner", "modelUrl": "captioner.mar"}]
            self._answer(200, json.dumps({"models": names}).encode())
        else:
            found = versions if self.path.endswith("/all") else versions[:1]
            self._answer(200, json.dumps(found).encode())
        return True

    def _take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.fake.seen.append(Seen(self.command, self.path, dict(self.headers.items()), body))

    def _authorised(self, kind: str) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.fake.keys[kind]}":
            return True
        error = {
            "code": 400,
            "type": "InvalidKeyException",
            "message": "Token Authorization failed",
        }
        self._answer(400, json.dumps(error).encode())
        return False

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.fake.request_id:
            self.send_header("x-request-id", self.fake.request_id)
        if status >= 400:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
