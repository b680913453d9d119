"""What TorchServe's management API refuses, in sentences that help."""

from __future__ import annotations

import json
import logging
from typing import Any

from webui.torchserve.client import NotReady, TorchServeError

log = logging.getLogger(__name__)


class ManagementError(TorchServeError):
    """TorchServe answered a management call with an error; has the code and a sentence of ours."""

    type = "ManagementFailed"


def unreadable() -> ManagementError:
    """The error for an answer of another shape."""
    return ManagementError("TorchServe gave an answer that could not be understood; see the log.")


def message(body: Any, member: str = "message") -> str:
    """A member of a JSON answer as text, empty where there is none."""
    return str(body.get(member, "")) if isinstance(body, dict) else ""


def refused(status: int, body: Any, model: str = "", version: str = "") -> TorchServeError:
    """The error for a status about a model or a version of it."""
    what = f"{model} {version}".strip()
    if status == 404:
        return ManagementError(
            f"TorchServe has no {what}. It may have been unregistered, or TorchServe been started "
            "again; look at the list of versions.",
            code=404,
            type="NoSuchVersion",
        )
    if status == 403:
        return ManagementError(
            f"{what} is the default version, which TorchServe does not unregister. Make another "
            "version the default first.",
            code=403,
            type="DefaultVersion",
        )
    return _otherwise(status, body, f"{what} could not be changed")


def archive_refused(status: int, body: Any, archive: str) -> TorchServeError:
    """The error for a status about an archive that was to be registered."""
    if status == 404:
        return ManagementError(
            f"TorchServe found no {archive} in its model store. Upload it, or look at the list of "
            "archives for its name.",
            code=404,
            type="NoSuchArchive",
        )
    if status == 409:
        return ManagementError(
            f"The version that is in {archive} is registered already. Unregister it first, or pack "
            "the archive under another version.",
            code=409,
            type="AlreadyRegistered",
        )
    return _otherwise(status, body, f"{archive} could not be registered")


def _otherwise(status: int, body: Any, what: str) -> TorchServeError:
    if status == 405:
        return ManagementError(
            "TorchServe does not take changes of its models. Set enable_model_api=true in "
            "config.properties and start it again.",
            code=405,
            type="ModelApiOff",
        )
    if status == 503:
        return NotReady("TorchServe is too busy for this just now. Try again in a few seconds.")
    log.error("TorchServe answered %d: %.500s", status, json.dumps(body))
    if status == 400:
        return ManagementError(
            f"{what}: TorchServe did not take the values ({message(body)[:200]}). Correct them.",
            code=400,
            type="InvalidOption",
        )
    return ManagementError(
        f"{what}: TorchServe answered {status}. Its log (torchserve.log) says more."
    )
