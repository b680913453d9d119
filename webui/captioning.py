"""From an upload to its answer: the one place that decides which version captions it."""

from __future__ import annotations

from webui import torchserve
from webui.answer import Answer
from webui.uploads import Upload


def answer_to(upload: Upload, *, explain: bool = False) -> Answer:
    """Have the upload captioned. Raises ServiceError."""
    return torchserve.current().caption(
        upload.picture, upload.options, choose_version(upload), explain=explain
    )


def choose_version(upload: Upload) -> str | None:
    """The version that captions this upload; None leaves it to TorchServe's default."""
    return upload.version
