"""One slot of TorchServe's batch: the picture's bytes and what the request asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from handler.decode import FORMATS, Picture
from handler.errors import MissingImage
from handler.options import Options

NO_ID = "-"


@dataclass(frozen=True, slots=True)
class Job:
    """A decoded picture that waits for its captions."""

    picture: Picture
    options: Options
    with_attention: bool
    id: str = NO_ID  # the client's name for the request, for the log

    @property
    def group(self) -> tuple[int, int, bool]:
        """What jobs must have in common to share one call of the captioner."""
        return self.options.width, self.options.max_length, self.with_attention


def picture_bytes(fields: Mapping[str, object]) -> bytes | bytearray:
    """Return the picture of a request: the form field `data`, else the raw body.

    Raises:
        MissingImage: the request has neither.
    """
    value = fields.get("data", fields.get("body"))
    if value is None:
        raise MissingImage(
            "A picture is expected as the request's body, sent with its content type such as "
            "'Content-Type: image/jpeg', or in the multipart form field 'data'; neither came. "
            f"Send a {FORMATS} file in one of these ways."
        )
    if isinstance(value, bytes | bytearray):
        return value
    # TorchServe may have decoded a body labelled text or JSON: not a picture, but it deserves a
    # proper error.
    return str(value).encode("utf-8")


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that a client sent as `X-Request-ID`, if it is safe to log."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else NO_ID


def asks_for(what: str, headers: Mapping[str, str]) -> bool:
    """Return whether TorchServe marked the request as 'explain' or 'describe'.

    Every request is checked: `BaseHandler` looks only at the first one of a batch.
    """
    return headers.get(what) == "True"
