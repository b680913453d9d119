"""What can be wrong with one request, each with the HTTP code that answers it."""

from http import HTTPStatus
from typing import ClassVar, TypedDict


class ErrorBody(TypedDict):
    """The JSON that every error is answered with."""

    code: int
    type: str
    message: str


class RequestError(Exception):
    """One request failed; the others of its batch are not affected.

    RequestError
    |-- InvalidOption          400  an option that is not a number, out of range or contradictory
    |-- CaptioningFailed       500  the model failed; only the log has the reason
    `-- PictureError
        |-- MissingImage       400  no picture, or an empty one
        |-- ImageTooLarge      413  more bytes than the limit
        |-- UnsupportedImage   415  not a picture, or of a format not listed
        |-- TooManyPixels      422  more pixels than the limit, or a longer side
        |-- TooComplex         422  made of more pieces than can be decoded in time
        |-- CorruptImage       422  truncated or damaged
        `-- DecodingStopped    503  took more time or memory than a picture of its size may
    """

    code: ClassVar[HTTPStatus]

    @property
    def type(self) -> str:
        """The error's name in JSON."""
        return type(self).__name__

    @property
    def message(self) -> str:
        """What was expected, what came and what to do, for the client to read."""
        return str(self)

    @property
    def phrase(self) -> str:
        """HTTP's own ASCII phrase for the code: TorchServe packs nothing else safely."""
        return self.code.phrase

    def to_json(self) -> ErrorBody:
        """Return the body of the answer."""
        return {"code": int(self.code), "type": self.type, "message": self.message}


class InvalidOption(RequestError):
    """An option is not a whole number, is out of range, or contradicts another one."""

    code = HTTPStatus.BAD_REQUEST


class CaptioningFailed(RequestError):
    """The model failed on a readable picture. The message never reveals more than that."""

    code = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self) -> None:
        super().__init__(
            "The captioner failed on this picture. Try again; if it fails again, tell whoever runs "
            "this server: the reason is in its log."
        )


class PictureError(RequestError):
    """The picture cannot be used."""

    code = HTTPStatus.UNPROCESSABLE_ENTITY


class MissingImage(PictureError):
    """The request carries no picture, or an empty one."""

    code = HTTPStatus.BAD_REQUEST


class ImageTooLarge(PictureError):
    """The picture has more bytes than the limit."""

    code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedImage(PictureError):
    """The bytes are not a picture of an accepted format."""

    code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class TooManyPixels(PictureError):
    """The picture has more pixels than the limit, or is longer or wider than it."""


class TooComplex(PictureError):
    """The file has more segments, scans, chunks or strips than an honest one."""


class CorruptImage(PictureError):
    """The picture begins as one of an accepted format, but is truncated or damaged."""


class DecodingStopped(PictureError):
    """The picture took more time or memory than one of its size may, and was given up."""

    code = HTTPStatus.SERVICE_UNAVAILABLE
