"""What TorchServe's management API refuses, in sentences that help."""

from __future__ import annotations

import json
import logging
from typing import Any

from webui.torchserve.client import text
from webui.torchserve.errors import NotReady, TorchServeError

log = logging.getLogger(__name__)

Refusals = dict[int, tuple[str, str]]  # status -> type and message

VERSION: Refusals = {
    404: (
        "NoSuchVersion",
        "TorchServe has no {subject}. It may have been unregistered, or TorchServe restarted; see "
        "the list of versions.",
    ),
    403: (
        "DefaultVersion",
        "{subject} is the default version, which TorchServe does not unregister. Make another "
        "version the default first.",
    ),
}
ARCHIVE: Refusals = {
    404: (
        "NoSuchArchive",
        "TorchServe found no {subject} in its model store. Upload it, or see the list of archives "
        "for its name.",
    ),
    409: (
        "AlreadyRegistered",
        "The version in {subject} is registered already. Unregister it first, or pack the archive "
        "with another version.",
    ),
}
EITHER: Refusals = {
    405: (
        "ModelApiOff",
        "TorchServe accepts no changes to its models. Set enable_model_api=true in "
        "config.properties and restart it.",
    ),
}


class ManagementError(TorchServeError):
    """TorchServe answered a management call with an error; has the code and our own sentence."""

    type = "ManagementFailed"


def unreadable() -> ManagementError:
    """The error for an answer of another shape."""
    return ManagementError("TorchServe gave an answer that could not be understood; see the log.")


def refused(status: int, body: Any, subject: str, refusals: Refusals = VERSION) -> TorchServeError:
    """The error for an answer of this status about `subject`."""
    if known := {**EITHER, **refusals}.get(status):
        type_, message = known
        return ManagementError(message.format(subject=subject), code=status, type=type_)
    if status == 503:
        return NotReady("TorchServe is too busy for this just now. Try again in a few seconds.")
    log.error("TorchServe answered %d: %.500s", status, json.dumps(body))
    if status == 400:
        return ManagementError(
            f"TorchServe did not accept the values for {subject} "
            f"({text(body, 'message')[:200]}). Correct them.",
            code=400,
            type="InvalidOption",
        )
    return ManagementError(
        f"{subject}: TorchServe answered {status}. See its log (torchserve.log)."
    )
