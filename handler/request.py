"""One slot of TorchServe's batch, read: the picture's bytes and what is asked about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from handler.decode import FORMATS, Picture
from handler.errors import MissingImage
from handler.options import Options

NO_ID = "-"


@dataclass(frozen=True, slots=True)
class Job:
    """A readable picture that waits for its captions."""

    picture: Picture
    options: Options
    with_attention: bool
    id: str = NO_ID  # the client's name for the request, for the log

    @property
    def group(self) -> tuple[int, int, bool]:
        """What the jobs of one call of the captioner have in common."""
        return self.options.beam_size, self.options.max_length, self.with_attention


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
    # TorchServe may have decoded a body called text or JSON: no picture, but worth a proper error.
    return str(value).encode("utf-8")


def request_id(headers: Mapping[str, str]) -> str:
    """Return the id that a client gave in `X-Request-ID`, if it is fit for a line of the log."""
    given = headers.get("x-request-id", "")
    return given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else NO_ID


def asks_for(what: str, headers: Mapping[str, str]) -> bool:
    """Tell whether TorchServe marked the request: 'explain' or 'describe'.

    Each request is asked by itself: `BaseHandler` looks at the first one of a batch only.
    """
    return headers.get(what) == "True"
