"""Decoding in a process that can be killed, for formats whose cost cannot be counted beforehand.

HEIC and AVIF are pictures of video codecs: a few bytes may ask for any number of hidden frames, and
the decoders are large libraries with a history of holes. A helper process, started when the first
such picture comes and kept, decodes them within a limit of time and memory. One that breaks it, or
crashes, costs its own picture a 503 and nothing else. Other formats stay where they are: what
`structure` counts bounds them, and they need no copies.
"""

import atexit
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NamedTuple

from handler import errors
from handler.pictures import damaged, load_rgb, open_picture, orientation
from handler.structure import Limits

# Seconds that a picture may take: five times what a plain one takes on an idle core.
SECONDS, SECONDS_A_MEGAPIXEL = 2.0, 0.15
MEMORY = 2 * 2**30  # bytes of address space; a plain picture at the limit of pixels needs 0.8
_HEAD = struct.Struct("<II")  # bytes of JSON, then bytes of a picture


class Raster(NamedTuple):
    """Decoded pixels, not yet turned upright."""

    rgb: bytearray  # rows x columns x 3
    rows: int
    columns: int
    width: int  # of the original
    height: int
    orientation: int


def read(data: bytes | bytearray, name: str, size: int, limits: Limits) -> Raster:
    """Decode a picture of the format `name` in a helper process.

    Raises:
        DecodingStopped: it took too much time or memory, or crashed the decoder.
        PictureError: what `open_picture` raises, and damage.
    """
    helper = _take()
    try:
        request: dict[str, Any] = {"name": name, "size": size, "limits": asdict(limits)}
        request["seconds"] = SECONDS, SECONDS_A_MEGAPIXEL
        _send(helper, request, data)
        answer, rgb = _receive(helper)
    except (EOFError, OSError) as error:
        _stop(helper)
        raise errors.DecodingStopped(
            f"The {name} picture took more time or memory than one of its size may. "
            "Save it again, as a JPEG or smaller, and send that."
        ) from error
    except BaseException:
        _stop(helper)
        raise
    _idle.append(helper)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return Raster(rgb, **answer)


_Helper = subprocess.Popen[bytes]
_idle: list[_Helper] = []
# A forked process (a loader of training data) must not talk to its parent's helpers.
os.register_at_fork(after_in_child=_idle.clear)


def _take() -> _Helper:
    """Return a helper that nobody uses: there will be as many as threads that decode."""
    while True:
        try:
            helper = _idle.pop()
        except IndexError:
            break
        if helper.poll() is None:
            return helper
        _stop(helper)
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join((root, *filter(None, sys.path)))  # it imports what we would
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(MEMORY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def _stop(helper: _Helper) -> None:
    helper.kill()
    for pipe in (helper.stdin, helper.stdout):
        with suppress(OSError):  # what could not be sent to it
            if pipe:
                pipe.close()
    helper.wait()


@atexit.register
def _stop_all() -> None:
    while _idle:
        _stop(_idle.pop())


def _send(helper: _Helper, request: dict[str, Any], data: bytes | bytearray) -> None:
    assert helper.stdin
    _write(helper.stdin, request, data)


def _receive(helper: _Helper) -> tuple[dict[str, Any], bytearray]:
    assert helper.stdout
    return _read(helper.stdout)


def _write(pipe: IO[bytes], head: dict[str, Any], body: bytes | bytearray = b"") -> None:
    text = json.dumps(head).encode()
    pipe.write(_HEAD.pack(len(text), len(body)) + text)
    pipe.write(body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> tuple[dict[str, Any], bytearray]:
    """Raises EOFError where the other side has gone."""
    text_length, length = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    return json.loads(_exactly(pipe, text_length)), _exactly(pipe, length)


def _exactly(pipe: IO[bytes], length: int) -> bytearray:
    body = bytearray(length)
    view = memoryview(body)
    while view:
        got = pipe.readinto(view)  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        view = view[got:]
    return body


def _serve() -> None:
    """Decode what comes by standard input, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; its end is ours
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with suppress(EOFError, BrokenPipeError):
        while True:
            request, data = _read(source)
            try:
                answer, rgb = _decode(request, data)
            except errors.PictureError as error:
                answer, rgb = {"error": error.type, "message": error.message}, b""
            signal.setitimer(signal.ITIMER_REAL, 0)
            _write(answers, answer, rgb)


def _decode(request: dict[str, Any], data: bytearray) -> tuple[dict[str, Any], bytes]:
    """Decode one picture. Whatever the decoder is doing, the kernel ends it by an alarm."""
    name, (seconds, more) = request["name"], request["seconds"]
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        image = open_picture(data, name, Limits(**request["limits"]))
        width, height = image.size
        signal.setitimer(signal.ITIMER_REAL, seconds + more * width * height / 1e6)
        rgb = load_rgb(image, request["size"])
        turned = orientation(image)
    except errors.PictureError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            os.kill(os.getpid(), signal.SIGKILL)  # nothing that is left in this process is sure
        raise damaged(name) from error
    answer = {"rows": rgb.height, "columns": rgb.width, "orientation": turned}
    return {**answer, "width": width, "height": height}, rgb.tobytes()


if __name__ == "__main__":
    _serve()
