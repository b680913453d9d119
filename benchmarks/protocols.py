"""Captions per second through each foreign API of the page, against ``POST /api/captions``.

``python -m benchmarks.protocols`` prints a table in Markdown. All take turns in one run. Then the
package ``ollama`` captions a folder, one picture after another, as a photo library does.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ollama
import requests

from benchmarks.measuring import machine, ratios, spread, table
from benchmarks.pictures import draw_pictures
from benchmarks.services import BenchmarkError, Load, Target, captionize, multipart

CLIENTS = 16
SIZE = (500, 375)  # pixels: Flickr8k's most common size
PICTURES = 24
OWN = "POST /api/captions"
TARGET = 0.9
MODEL = "captioner"
JSON = {"Content-Type": "application/json"}
HEADER = "Inference-Header-Content-Length"

Body = Callable[[bytes], dict[str, Any]]


def ollama_body(picture: bytes) -> dict[str, Any]:
    """A picture for Ollama's API, answered as a stream."""
    return {"model": MODEL, "images": [base64.b64encode(picture).decode()]}


def chat_body(picture: bytes) -> dict[str, Any]:
    """A picture for OpenAI's chat completions."""
    address = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": address}}]
    return {"model": MODEL, "messages": [{"role": "user", "content": parts}]}


def responses_body(picture: bytes) -> dict[str, Any]:
    """A picture for OpenAI's responses."""
    address = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    parts = [{"type": "input_image", "image_url": address}]
    return {"model": MODEL, "input": [{"role": "user", "content": parts}]}


def infer_body(picture: bytes) -> dict[str, Any]:
    """A picture for the Open Inference Protocol, in JSON."""
    data = [base64.b64encode(picture).decode()]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}


JSON_BODIES: dict[str, tuple[str, Body]] = {
    "Ollama, /api/generate": ("/api/generate", ollama_body),
    "OpenAI, /v1/chat/completions": ("/v1/chat/completions", chat_body),
    "OpenAI, /v1/responses": ("/v1/responses", responses_body),
    "Open Inference Protocol, JSON": (f"/v2/models/{MODEL}/infer", infer_body),
}


def written(pictures: Sequence[Path], body: Body, folder: Path, ending: str) -> list[Path]:
    """A file for each picture with the request's body."""
    files = []
    for picture in pictures:
        file = folder / f"{picture.stem}.{ending}"
        file.write_text(json.dumps(body(picture.read_bytes())), encoding="utf-8")
        files.append(file)
    return files


def binary(target: Target, pictures: Sequence[Path], folder: Path) -> tuple[Target, list[Path]]:
    """The target and the bodies of the binary extension; heads of one length, as wrk needs them."""
    files = []
    for picture in pictures:
        content = picture.read_bytes()
        size = {"binary_data_size": len(content) + 4}
        tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": size}
        head = json.dumps({"inputs": [tensor]}).ljust(256).encode()
        file = folder / f"{picture.stem}.tensor"
        file.write_bytes(head + struct.pack("<I", len(content)) + content)
        files.append(file)
    kind = {"Content-Type": "application/octet-stream", HEADER: "256"}
    return Target(target.url, f"/v2/models/{MODEL}/infer", kind), files


def measure(
    rounds: int, seconds: float, folder_of: int
) -> tuple[dict[str, list[Load]], list[float], list[float]]:
    """The loads of each API, one a round, and what `alone` measures.

    A first, short round is not counted.
    """
    with tempfile.TemporaryDirectory() as name, captionize() as service:
        folder = Path(name)
        pictures = draw_pictures(folder / "pictures", PICTURES, SIZE)
        page = service.page
        ways = {OWN: multipart(page, pictures, folder)}
        for number, (way, (path, body)) in enumerate(JSON_BODIES.items()):
            files = written(pictures, body, folder, f"{number}.json")
            ways[way] = Target(page.url, path, JSON), files
        ways["Open Inference Protocol, binary"] = binary(page, pictures, folder)
        loads: dict[str, list[Load]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way, (target, files) in ways.items():
                load = target.load(CLIENTS, seconds if number else 1, files)
                if load.refused or load.failed:
                    raise BenchmarkError(f"{way}: {load.refused} refused, {load.failed} failed")
                print(f"round {number} of {rounds}: {way}: {load.rate:.1f}/s", file=sys.stderr)
                if number:
                    loads[way].append(load)
        return loads, *alone(page.url, pictures, folder_of)


def alone(url: str, pictures: Sequence[Path], count: int) -> tuple[list[float], list[float]]:
    """Milliseconds a picture of a lone client: the package ``ollama``, and our own API by
    ``requests``. They take turns, so that the machine is as busy for both.
    """
    theirs: list[float] = []
    own: list[float] = []
    with ollama.Client(url) as client, requests.Session() as session:
        for number in range(count):
            picture = pictures[number % len(pictures)]
            started = time.perf_counter()
            client.generate(MODEL, images=[picture])
            between = time.perf_counter()
            files = {"image": picture.read_bytes()}
            session.post(f"{url}/api/captions", files=files, timeout=60).raise_for_status()
            own.append(1000 * (time.perf_counter() - between))
            theirs.append(1000 * (between - started))
    return theirs, own


def report(loads: dict[str, list[Load]]) -> str:
    """The table: captions per second, the wait, and the ratio of each round."""
    own = [load.rate for load in loads[OWN]]
    rows = []
    for way, found in loads.items():
        rates = [load.rate for load in found]
        by_round = ratios(rates, own)
        middle = statistics.median(by_round)
        kept = "" if way == OWN else "met" if middle >= TARGET else "**not met**"
        ratio = f"{middle:.2f} ({min(by_round):.2f} to {max(by_round):.2f})"
        rows.append([way, spread(rates), spread([load.p50_ms for load in found]), ratio, kept])
    header = ["16 clients", "captions/s", "p50, ms", f"ratio to {OWN}", f"at least {TARGET}"]
    return table(header, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocols", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--seconds", type=float, default=4, help="of each load (default: 4)")
    parser.add_argument(
        "--folder-of", type=int, default=1000, help="pictures for ollama's client (default: 1000)"
    )
    arguments = parser.parse_args(argv)
    try:
        loads, *lone = measure(arguments.rounds, arguments.seconds, arguments.folder_of)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{machine()}; {arguments.rounds} rounds.\n\n{report(loads)}\n")
    theirs, own = (statistics.median(times or [0.0]) for times in lone)
    print(
        f"{arguments.folder_of} pictures one after another by the package ollama: {theirs:.0f} ms "
        f"a picture at the median, where {OWN} in turn with it takes {own:.0f} ms."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
