"""What can keep TorchServe from captioning."""

from __future__ import annotations

from webui.web.problem import ServiceError


class TorchServeError(ServiceError):
    """Whatever kept TorchServe from captioning. The tree, with what a client is answered:

    TorchServeError       502  an answer that is none of the following
    ├── HandlerRefused    400, 413, 415, 422 in the handler's words: the request is at fault
    ├── UnknownVersion    404  the requested version is not registered
    ├── NotReady          503  no worker is ready or the queue is full; has a Retry-After
    │   └── Restarting    503  the launcher starts TorchServe again; has a Retry-After
    ├── TooSlow           504  no answer within CAPTIONIZE_TIMEOUT_S
    └── Away              502  no connection, or it broke
        └── NoKey         502  the key file has no key, or none that TorchServe accepts
    """

    code = 502
    type = "CaptioningFailed"


class HandlerRefused(TorchServeError):
    """The handler refused the picture or an option."""


class UnknownVersion(TorchServeError):
    """There is no such version of the model."""

    code = 404
    type = "UnknownVersion"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"Expected a version of the model that is registered, got {version!r}. "
            "GET /api/versions lists them; leave it out for the default."
        )


class NotReady(TorchServeError):
    """Nothing can caption just now, but soon again."""

    code = 503
    type = "Busy"
    retry_after_s = 3


class Restarting(NotReady):
    """TorchServe has ended, and the launcher starts it again."""

    type = "Restarting"


class TooSlow(TorchServeError):
    """The time-out passed."""

    code = 504
    type = "TooSlow"


class Away(TorchServeError):
    """TorchServe cannot be reached."""

    type = "CaptioningAway"


class NoKey(Away):
    """The key file has no key that TorchServe accepts."""
