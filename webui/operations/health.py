"""One sentence about whether captions come, and its cause: for whoever was woken at night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from webui.torchserve.management import Version

# From here on it is worth a look; deploy/observe/alerts.yml has the same.
FAILED_SHARE = 0.05
FULL_SHARE = 0.5
SLOW_S = 5.0

WHY = {  # by the status of most failures
    502: "TorchServe was away or gave an error",
    503: "no worker was free, or the queue was full",
    504: "they took longer than CAPTIONIZE_TIMEOUT_S",
}


class Health(NamedTuple):
    """`state` is good, warning or bad."""

    state: str
    sentence: str
    cause: str = ""


def judge(
    versions: Sequence[Version], now: Mapping[str, float | None], worker_error: str | None
) -> Health:
    """The worst that is known of the model's versions and of the last minute's figures.

    `worker_error` is what a worker that is not ready wrote last.
    """
    default = next((one for one in versions if one.default), None)
    if default is None:
        cause = "It may still be loading. If it is not, register an archive on the Versions page."
        return Health("bad", "No captions: TorchServe has not loaded the model.", cause)
    ready, missing = default.ready, len(default.workers) - default.ready
    cause = f"{workers(missing)} starting or stopping. If this lasts, see TorchServe's model log."
    if worker_error:
        cause = f"The last error of a worker: {worker_error}"
    if not ready:
        cause = cause if missing else "It has none: give it one on the Versions page."
        return Health("bad", f"No captions: no worker of {default.version} is ready.", cause)
    if health := _load(ready, now):
        return health
    if missing:
        what = f"only {ready} of {workers(len(default.workers))} ready"
        return Health("warning", f"Captions are coming, with {what}.", cause)
    median = now["p50_seconds"]
    if median is None:
        return Health("good", f"Captions are available: {workers(ready)} ready, none asked for.")
    sentence = f"Captions are coming: {workers(ready)} ready, {median:.2g} s at the median."
    return Health("good", sentence)


def _load(ready: int, now: Mapping[str, float | None]) -> Health | None:
    """What is wrong although a worker is ready."""
    failed, slow = now["failed_share"] or 0.0, now["p95_seconds"] or 0.0
    if failed >= FAILED_SHARE:
        why = WHY.get(int(now["failed_status"] or 0), "of errors that the page's log names")
        sentence = f"{failed:.0%} of the captions of the last minute failed."
        return Health("bad" if failed > 0.5 else "warning", sentence, f"Mostly because {why}.")
    more = f"More pictures come in than {workers(ready)} can caption: add one, or send fewer."
    waiting, places = now["waiting"] or 0.0, now["places"] or 1.0
    if waiting >= FULL_SHARE * places:
        sentence = f"Captions are slow: {waiting:g} of at most {places:g} requests wait."
        return Health("warning", sentence, more)
    if slow >= SLOW_S:
        cause = more if waiting else "The model is slow: other programs may use its processor."
        sentence = f"Captions are slow: one in twenty takes over {slow:.2g} s."
        return Health("warning", sentence, cause)
    return None


def workers(count: int) -> str:
    """Such as "2 workers"."""
    return f"{count} worker{'' if count == 1 else 's'}"
