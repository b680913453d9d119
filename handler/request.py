"""One slot of TorchServe's batch, read: the picture's bytes and what is asked about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from handler.decode import FORMATS, Picture
from handler.errors import MissingImage
from handler.options import Options


@dataclass(frozen=True, slots=True)
class Job:
    """A readable picture that waits for its captions."""

    picture: Picture
    options: Options
    with_attention: bool

    @property
    def group(self) -> tuple[int, int, bool]:
        """What the jobs of one call of the captioner have in common."""
        return self.options.beam_size, self.options.max_length, self.with_attention


def picture_bytes(fields: Mapping[str, object]) -> bytes:
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
        return bytes(value)
    # TorchServe may have decoded a body called text or JSON: no picture, but worth a proper error.
    return str(value).encode("utf-8")


def asks_for(what: str, headers: Mapping[str, str]) -> bool:
    """Tell whether TorchServe marked the request: 'explain' or 'describe'.

    Each request is asked by itself: `BaseHandler` looks at the first one of a batch only.
    """
    return headers.get(what) == "True"
