"""The rounds of torture: each does one thing to a service under clients, by a seed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.shipped import VERSION
from tests.torture.clients import PICTURE, Request
from tests.torture.pictures import draw, mutate, options
from tests.torture.slow import HEAD, SlowClients
from tests.torture.stage import BUSY_S, FAKETIME, SECOND, SECOND_VERSION, OwnStage
from tests.torture.torture import Torture

# libfaketime 0.9.10 refuses time.sleep() where it leaves the monotonic clock alone (its issue 426).
SLEEP = """
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""


def pictures(torture: Torture, rng: random.Random) -> None:
    """Mutated pictures, and a sound one for every three of them."""
    seeds = [rng.randrange(2**32) for _ in range(6)]
    give_up = time.monotonic() + torture.pictures_s

    def requests(client: int) -> Iterator[Request]:
        own = random.Random(seeds[client])
        while time.monotonic() < give_up:
            picture = draw(own) if own.random() < 0.25 else mutate(own)
            yield Request(picture, options(own), own.random() < 0.1)

    with torture.clients(len(seeds), requests) as clients:
        for thread in clients.threads:
            thread.join()


def worker(torture: Torture, rng: random.Random) -> None:
    """Kill the worker a few times, in the middle of batches."""
    with torture.load(rng):
        for _ in range(rng.randint(1, torture.kills_at_once)):
            torture.kill("worker")
            time.sleep(rng.uniform(0, 2))


def java(torture: Torture, rng: random.Random) -> None:
    """Kill TorchServe."""
    with torture.load(rng):
        torture.kill("TorchServe")


def page(torture: Torture, rng: random.Random) -> None:
    """Kill the page; only then may a connection break."""
    with torture.load(rng, breaking=True):
        torture.kill("page")


def slow(torture: Torture, rng: random.Random) -> None:
    """Clients that stall, that trickle, and that go away in the middle of a request or answer."""
    address = urlsplit(torture.stage.url)
    photo = PICTURE.read_bytes()
    head = HEAD.replace(b"100000", str(len(photo) + 200).encode())
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n'
    whole = head + part + photo + b"\r\n--b--\r\n"
    whole += b" " * (len(photo) + 200 - (len(whole) - len(head)))
    half = torture.slow // 2
    with SlowClients(torture.stage.url, half, half) as crowd, torture.load(rng, 2):
        crowd.connected.wait(60)
        for _ in range(torture.slow):
            with socket.create_connection((address.hostname, address.port), timeout=10) as one:
                one.sendall(whole[: rng.choice((rng.randrange(len(whole)), len(whole)))])
                time.sleep(rng.uniform(0, 0.05))
                if rng.random() < 0.5:  # a reset instead of an end
                    linger = struct.pack("ii", 1, 0)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    torture.counts["connections that stalled or trickled"] += torture.slow
    torture.counts["connections cut off"] += torture.slow


def versions(torture: Torture, rng: random.Random) -> None:
    """Register, scale, make the default, roll back and unregister, in any order."""
    acts: list[tuple[str, str, Any]] = [
        ("PUT", f"/models/captioner/{SECOND_VERSION}/default", None),
        ("PUT", f"/models/captioner/{VERSION}/default", None),
        ("POST", "/models/captioner/rollback", None),
        ("PUT", "/canary", {"version": SECOND_VERSION, "share": 0.5}),
        ("DELETE", "/canary", None),
        ("PUT", f"/models/captioner/{SECOND_VERSION}/workers", {"workers": 2}),
        ("PUT", f"/models/captioner/{SECOND_VERSION}/workers", {"workers": 1}),
        ("POST", "/models", {"archive": SECOND}),
        ("DELETE", f"/models/captioner/{SECOND_VERSION}", None),
    ]
    stage = torture.stage
    with torture.load(rng, 3):
        change(torture, ("POST", "/models", {"archive": SECOND}), expected=True)
        for act in rng.choices(acts, k=4):
            change(torture, act)
        change(torture, ("PUT", f"/models/captioner/{VERSION}/default", None), expected=True)
        change(torture, ("DELETE", f"/models/captioner/{SECOND_VERSION}", None))
    [model] = stage.admin("GET", "/models")[1]["models"]
    known = [(one["version"], one["default"]) for one in model["versions"]]
    assert known == [(VERSION, True)], known


def change(torture: Torture, act: tuple[str, str, Any], *, expected: bool = False) -> None:
    """Do one thing as the administrator, once no job is in its way, and wait for its own job."""
    give_up = time.monotonic() + BUSY_S
    status, answer = torture.stage.admin(*act)
    while status == 503 or (status == 409 and answer["type"] == "JobUnderWay"):
        if time.monotonic() > give_up:
            raise TimeoutError(f"{act}: {answer}")
        time.sleep(0.2)
        status, answer = torture.stage.admin(*act)
    torture.counts["changes of versions"] += 1
    if status == 202:
        answer = torture.stage.finished(answer)
        status = 200 if answer["state"] == "done" else 409
    if expected and status >= 300:
        raise ValueError(f"{act}: {answer}")


def disk(torture: Torture, rng: random.Random) -> None:
    """Fill the file system of logs and state; what is changed meanwhile is kept afterwards."""
    stage = torture.stage
    assert isinstance(stage, OwnStage)
    filler = stage.small / "filler"
    with torture.load(rng, 2):
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        try:
            share = {"share": rng.random() or 1, "version": SECOND_VERSION}
            change(torture, ("POST", "/models", {"archive": SECOND}), expected=True)
            change(torture, ("PUT", "/canary", share), expected=True)
            assert stage.admin("GET", "/models")[1]["unsaved"], "nobody is told of the full disk"
            torture.kill(rng.choice(("worker", "TorchServe")))
        finally:
            filler.unlink()
        change(torture, ("DELETE", "/canary", None), expected=True)
        change(torture, ("DELETE", f"/models/captioner/{SECOND_VERSION}", None), expected=True)
    assert stage.admin("GET", "/models")[1]["unsaved"] is None
    wanted = json.loads((stage.small / "state/desired.json").read_text())
    assert list(wanted["models"]["captioner"]["versions"]) == [VERSION], wanted


def clock(torture: Torture, rng: random.Random) -> None:
    """Set the clock of a service of its own forward, a day and a year."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        now = Path(folder, "clock")
        now.write_text("+0")
        Path(folder, "sitecustomize.py").write_text(SLEEP)
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        faked = {"FAKETIME_TIMESTAMP_FILE": str(now), "FAKETIME_CACHE_DURATION": "1"}
        faked |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        faked["PYTHONPATH"] = path
        stage = OwnStage(Path(folder, "stage"), **faked)
        own = Torture(stage, torture.kept)
        try:
            stage.start()
            with own.load(rng, 2):
                for forward in ("+1d", "+400d"):
                    now.write_text(forward)
                    time.sleep(rng.uniform(2, 4))
                own.kill("worker")
                change(own, ("PUT", "/models/captioner/" + VERSION + "/workers", {"workers": 2}))
            stage.quiet()
            own.breaches += stage.stop()
        finally:
            stage.close()
        torture.answers.update(own.answers)
        torture.breaches += own.breaches
        torture.counts["days the clock was set forward"] += 400


ROUNDS: dict[str, Callable[[Torture, random.Random], None]] = {
    one.__name__: one for one in (pictures, worker, java, page, slow, versions, disk, clock)
}
