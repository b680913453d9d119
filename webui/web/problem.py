"""The errors that the web application answers with."""

from __future__ import annotations

from typing import Any

from webui.web.settings import MEBIBYTE


class ServiceError(Exception):
    """An error with a status, a type and a sentence that helps; safe to show to anybody."""

    code = 500
    type = "InternalError"
    retry_after_s: int | None = None

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        type: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.type = type or self.type
        self.retry_after_s = retry_after_s or self.retry_after_s

    @property
    def title(self) -> str:
        """The heading over the message on a page."""
        return TITLES.get(self.type) or TITLES.get(self.code, OTHER_TITLE)

    def to_json(self) -> dict[str, Any]:
        """The error in the form that every part of the service answers."""
        return {"code": self.code, "type": self.type, "message": self.message}


class BadUpload(ServiceError):
    """The request carries no usable picture, or an option that is not a number."""

    code = 400
    type = "BadUpload"


TITLES: dict[int | str, str] = {  # the heading over an error on the page, by status or type
    "Restarting": "The captioning service is being started again",
    "SharedStoreAway": "This cannot be done just now",
    400: "That did not work",
    404: "Not found",
    408: "This took too long",
    413: "This picture is too large",
    415: "This is not a picture we can read",
    422: "This picture cannot be used",
    429: "A little too fast",
    502: "The captioning service is away",
    503: "All busy",
    504: "This took too long",
}
OTHER_TITLE = "Something went wrong"


def too_large(limit_bytes: int) -> ServiceError:
    """The 413 of the error table, with the limit in megabytes."""
    return ServiceError(
        f"Expected a picture of at most {limit_bytes / MEBIBYTE:g} MB, got a larger one. "
        "Save it smaller or as a JPEG and send it again.",
        code=413,
        type="ImageTooLarge",
    )
