"""Fetching from the hub: the files of one commit, its licence, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = "model.safetensors"
FILES = {
    "config.json": b"{}",
    WEIGHTS: bytes(range(256)) * 100_000,  # half of it is more than the 10 MB that are read at once
    "pytorch_model.bin": b"the same, once more",
    "tokenizer.json": b"{}",
    "README.md": b"# A model",
}
ASK = """
import sys
from training.adoption.hub import download
from training.common.errors import UserError
try:
    folder, source = download(sys.argv[1], sys.argv[2] or None)
except UserError as error:
    sys.exit(str(error))
print(sorted(path.name for path in folder.iterdir()), source.revision, source.licence)
print((folder / "model.safetensors").read_bytes() == bytes(range(256)) * 100_000)
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks for a model."""

    tokens: list[str | None] = []
    paths: list[str] = []
    ranges: list[str | None] = []  # that were asked for of the weights

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        Hub.tokens.append(self.headers.get("Authorization"))
        Hub.paths.append(self.path)
        parts = self.path.partition("?")[0].split("/")
        if parts[1:7] == ["api", "models", "owner", "tiny", "tree", COMMIT]:
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": name}
                for name, content in FILES.items()
            ]
            body = json.dumps(tree).encode()
        elif parts[1:5] == ["api", "models", "owner", "tiny"]:
            siblings = [{"rfilename": name} for name in FILES]
            body = json.dumps(
                {
                    "id": "owner/tiny",
                    "sha": COMMIT,
                    "siblings": siblings,
                    "cardData": {"license": "bsd-3-clause"},
                    "tags": [],
                    "downloads": 0,
                    "private": False,
                }
            ).encode()
        elif parts[1:5] == ["owner", "tiny", "resolve", COMMIT] and parts[5] in FILES:
            body = FILES[parts[5]]
        else:
            self.send_error(404)
            return
        whole, start = body, 0
        if parts[-1] == WEIGHTS and self.command == "GET":
            wanted = self.headers.get("Range")
            Hub.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            body = whole[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(whole).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":
            breaks = parts[-1] == WEIGHTS and not start
            self.wfile.write(body[: len(body) // 2] if breaks else body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(hub: str, cache: Path, name: str, revision: str = "") -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(cache), "HF_TOKEN": "a-token"}
    environ["HF_HUB_DISABLE_XET"] = environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    return subprocess.run(
        [sys.executable, "-c", ASK, name, revision],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_files_of_one_commit(hub: str, tmp_path: Path) -> None:
    done = ask(hub, tmp_path, "owner/tiny", "v1")
    assert done.returncode == 0, done.stderr
    names = ["config.json", "model.safetensors", "tokenizer.json"]  # no weights twice
    assert done.stdout.splitlines() == [f"{names} {COMMIT} bsd-3-clause", "True"]
    assert set(Hub.tokens) == {"Bearer a-token"}
    assert any("/revision/v1" in path for path in Hub.paths)
    # The connection broke in the middle of the weights.
    assert Hub.ranges == [None, "bytes=10485760-"]
    Hub.paths.clear()
    assert ask(hub, tmp_path, "owner/tiny", "v1").returncode == 0
    assert not any(WEIGHTS in path for path in Hub.paths)  # they are there


@pytest.mark.slow
@pytest.mark.parametrize("name", ["owner/none", "no name at all", "owner/away"])
def test_a_model_that_is_not_there(hub: str, tmp_path: Path, name: str) -> None:
    done = ask("http://127.0.0.1:9" if name == "owner/away" else hub, tmp_path, name)
    assert done.returncode == 1
    assert f"{name} could not be fetched from the hub" in done.stderr
    assert "Traceback" not in done.stderr
