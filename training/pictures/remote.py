"""Captions of picture files from a running service, so that one machine's model serves others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from training.common.errors import UserError
from training.pictures.results import Caption, Result

AT_ONCE = 4  # pictures on their way
TIMEOUT_S = 60.0
PATIENCE_S = 120.0  # with a service that is starting or has too much to do
PAUSE_S = 2.0  # where it does not say how long to wait


class ServerError(UserError):
    """The service cannot be used; the message says why."""


def caption_pictures(
    paths: Sequence[Path], server: str, options: Mapping[str, int | str]
) -> Iterator[Result]:
    """Caption picture files, in order; one that the service refuses fails alone.

    Raises:
        ServerError: there is no Captionize at this address, or it stays unable to caption.
    """
    pool = ThreadPoolExecutor(AT_ONCE, "caption")
    waiting: deque[Future[Result]] = deque()
    try:
        with requests.Session() as session:
            for path in paths:
                waiting.append(pool.submit(_caption, session, path, server, options))
                if len(waiting) > AT_ONCE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _caption(
    session: requests.Session, path: Path, server: str, options: Mapping[str, int | str]
) -> Result:
    try:
        picture = path.read_bytes()
    except OSError as error:
        return Result(path, [], f"The file cannot be read ({error.strerror}).")
    response = _post(session, f"{server.rstrip('/')}/api/captions", picture, options)
    body = _json(response)
    if response.ok and "captions" in body:
        captions = [
            Caption(one["caption"], one["log_probability"], one["confidence"], one.get("trust"))
            for one in body["captions"]
        ]
        return Result(path, captions, tags=body.get("tags", []))
    if _about_picture(response.status_code, body):
        return Result(path, [], body["message"])
    said = body.get("message") or f"it answered {response.status_code}"
    raise ServerError(f"{server} cannot caption: {said}")


def _post(
    session: requests.Session, url: str, picture: bytes, options: Mapping[str, int | str]
) -> requests.Response:
    """Send a picture, again and again while the service asks to wait."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            response = session.post(
                url, data=dict(options), files={"image": ("picture", picture)}, timeout=TIMEOUT_S
            )
        except requests.RequestException as error:
            raise ServerError(
                f"There is no answer from {url}. Give --server the address that captionize serve "
                "prints, such as http://127.0.0.1:8000."
            ) from error
        later = response.status_code in (429, 503)
        if not later or _about_picture(response.status_code, _json(response)):
            return response
        if time.monotonic() >= give_up:
            return response
        wait = response.headers.get("Retry-After", "")
        time.sleep(float(wait) if wait.isdecimal() else PAUSE_S)


def _about_picture(code: int, body: dict[str, Any]) -> bool:
    """Whether a refusal is this picture's fault: to send it again would not help."""
    return code in (400, 413, 415, 422) or body.get("type") == "DecodingStopped"


def _json(response: requests.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
