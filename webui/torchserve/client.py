"""The only module that talks to TorchServe.

It knows no Flask: the application hands it the headers to send along, and a place for its notes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from webui.torchserve.answer import Inference, parse
from webui.torchserve.tokens import KeysUnreadable, Kind, read_key
from webui.web.problem import ServiceError, too_large
from webui.web.settings import Settings

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Query = dict[str, str | int | None]

MANAGEMENT_TIMEOUT_S = 3.0
CONNECTIONS = 32  # kept open to each address; more threads than this open their own
KEY_REFUSED = "InvalidKeyException"
NO_SUCH_VERSION = "ModelVersionNotFoundException"
DECODING_STOPPED = "DecodingStopped"  # a 503 about the picture: to send it again would not help
PASSED_ON = (400, 413, 415, 422)  # the handler's answers about the picture or an option


class TorchServeError(ServiceError):
    """Whatever kept TorchServe from captioning. The tree, with what a client is answered:

    TorchServeError       502  an answer that is none of the following
    ├── HandlerRefused    400, 413, 415, 422 in the handler's words: the request is at fault
    ├── UnknownVersion    404  the requested version is not registered
    ├── NotReady          503  no worker is ready or the queue is full; has a Retry-After
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


class TooSlow(TorchServeError):
    """The time-out passed."""

    code = 504
    type = "TooSlow"


class Away(TorchServeError):
    """TorchServe cannot be reached."""

    type = "CaptioningAway"


class NoKey(Away):
    """The key file has no key that TorchServe accepts."""


class TorchServe:
    """A client of one TorchServe, shared by all threads.

    Args:
        settings: where TorchServe is, its key file, and how long to wait.
        headers: gives the headers that a call sends along.
        note: takes what is worth a member of the current request's log line, by name.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        note: Callable[[str, object], None] = lambda name, value: None,
    ) -> None:
        self._settings = settings
        self._headers = headers
        self._note = note
        self._session = requests.Session()
        # Proxies and .netrc of the environment must not see or replace the keys.
        self._session.trust_env = False
        # A GET is sent once more when its connection breaks. Nothing else is: a caption is work
        # worth doing once, and a change may have been made already.
        retry = Retry(1, connect=0, redirect=0, allowed_methods=["GET"])
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=retry))

    def predict(
        self,
        picture: bytes,
        options: Mapping[str, int],
        version: str | None = None,
        *,
        explain: bool = False,
    ) -> Inference:
        """Caption one encoded picture; `options` are beam_size, num_captions, max_length.

        Without a `version` TorchServe's default answers. `explain` adds each word's attention.
        The raw body with X- headers spares TorchServe a multipart body. Raises TorchServeError.
        """
        headers = {f"X-{name.replace('_', '-').title()}": str(n) for name, n in options.items()}
        headers["Content-Type"] = "application/octet-stream"
        verb = "explanations" if explain else "predictions"
        url = f"{self._settings.inference_url}/{verb}/{self._settings.model_name}"
        url += f"/{version}" if version else ""
        timeout_s = self._settings.timeout_s
        response = self._send("inference", "POST", url, timeout_s, headers, picture)
        if response.status_code != 200:
            raise self._error(response, version)
        try:
            return Inference(response.content, parse(response.content, explained=explain))
        except (ValueError, KeyError, TypeError) as error:
            log.error("TorchServe's answer is not a caption: %r", error)
            raise _failed() from error

    def check_reachable(self) -> None:
        """Raise TorchServeError unless the inference address answers and accepts our key.

        The answer of /ping does not matter: it is Healthy while a model loads.
        """
        url = f"{self._settings.inference_url}/ping"
        self._send("inference", "GET", url, MANAGEMENT_TIMEOUT_S)

    def manage(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        timeout_s: float = MANAGEMENT_TIMEOUT_S,
    ) -> tuple[int, Any]:
        """Status and JSON (None where the body is none) of a call of the management API.

        `path` begins with /models and is made of checked names; of `query` goes out what is not
        None. Raises TorchServeError when there is no answer; the caller judges the status.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self._settings.management_url}{path}?{urlencode(given)}".rstrip("?")
        response = self._send("management", method, url, timeout_s)
        return response.status_code, _json(response)

    def _send(
        self,
        kind: Kind,
        method: str,
        url: str,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> requests.Response:
        """Send with a key; once more when TorchServe refuses it and the file has another by then.

        That is so when TorchServe was restarted in between.
        """
        refused = None
        while (key := _translated(read_key, self._settings.key_file, kind)) != refused:
            response = _translated(
                self._session.request,
                method,
                url,
                headers={**(headers or {}), **self._headers(), "Authorization": f"Bearer {key}"},
                data=data,
                timeout=(self._settings.connect_timeout_s, timeout_s),
                allow_redirects=False,
            )
            if not _key_refused(response):
                # TorchServe gives each request an id of its own, known to its log and handler.
                if theirs := response.headers.get("X-Request-ID"):
                    self._note("torchserve_request_id", theirs[:64])
                return response
            refused = key
        log.error(
            "TorchServe refuses the %s key in %s. Where token_expiration_min is over, restart it.",
            kind,
            self._settings.key_file,
        )
        raise NoKey("The captioning service did not accept this page's key. Try again.")

    def _error(self, response: requests.Response, version: str | None) -> ServiceError:
        """The error for an answer about a picture that is not 200."""
        status = response.status_code
        body = _json(response)
        type_, message = text(body, "type"), text(body, "message")
        if version and status == 404 and type_ == NO_SUCH_VERSION:
            return UnknownVersion(version)
        # What our handler words is for users; TorchServe's own errors, named as in Java, are not.
        ours = type_.isidentifier() and not type_.endswith("Exception")
        if (status in PASSED_ON or type_ == DECODING_STOPPED) and ours and message:
            return HandlerRefused(message, code=status, type=type_)
        if status == 413:
            return too_large(self._settings.max_upload_bytes)
        # 404 is a model that is not loaded yet: TorchServe answers while it still loads. A worker
        # that died is started again at once.
        died = status == 500 and message.startswith("Worker died")
        if status in (404, 503) or died:
            return NotReady("No worker is free to caption just now. Try again in a few seconds.")
        log.error("TorchServe answered %d: %.500s", status, response.text)
        return _failed()


def _failed() -> TorchServeError:
    return TorchServeError(
        "The captioning service could not caption this picture. "
        "Try again; if it happens again, try another picture."
    )


def _translated(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call, and turn what requests and the key file raise into our own errors."""
    try:
        return call(*args, **kwargs)
    except OSError as error:  # every exception of requests is one
        if _timed_out(error):
            raise TooSlow(
                "The captioning service took too long. Try again, or try a smaller beam size."
            ) from error
        log.warning("TorchServe is away: %s", error)
        kind = NoKey if isinstance(error, KeysUnreadable) else Away
        raise kind("The captioning service cannot be reached. Try again in a minute.") from error


def _timed_out(error: BaseException) -> bool:
    """Whether a time-out after connecting is among the reasons that requests wrapped."""
    return isinstance(error, ReadTimeoutError | TimeoutError) or any(
        _timed_out(reason) for reason in error.args if isinstance(reason, BaseException)
    )


def _key_refused(response: requests.Response) -> bool:
    return response.status_code == 400 and text(_json(response), "type") == KEY_REFUSED


def _json(response: requests.Response) -> Any:
    """The body as JSON, None when it is something else."""
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def text(body: Any, member: str) -> str:
    """A member of a JSON answer, empty where it is no text."""
    value = body.get(member) if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""
