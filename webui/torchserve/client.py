"""The only module that talks to TorchServe.

It knows no Flask: the application hands it the headers to send along, and a place for its notes.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from webui.torchserve.answer import Inference, parse
from webui.torchserve.errors import (
    Away,
    HandlerRefused,
    NoKey,
    NotReady,
    Restarting,
    TooSlow,
    TorchServeError,
    UnknownVersion,
)
from webui.torchserve.gate import Gate
from webui.torchserve.report import Report
from webui.torchserve.tokens import KeysUnreadable, Kind, read_key
from webui.web.problem import ServiceError, too_large
from webui.web.settings import Settings

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Query = dict[str, str | int | None]

MANAGEMENT_TIMEOUT_S = 3.0
CONNECTIONS = 32  # kept open to each address; more threads than this open their own
TRIES = 3  # of a picture under which the worker dies
AGAIN_S = 1.0  # left of the time-out, for another try to be worth it
KEY_REFUSED = "InvalidKeyException"
NO_SUCH_VERSION = "ModelVersionNotFoundException"
DECODING_STOPPED = "DecodingStopped"  # a 503 about the picture: to send it again would not help
PASSED_ON = (400, 413, 415, 422)  # the handler's answers about the picture or an option


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
        self.gate = Gate()
        self.answered = -math.inf  # when a worker answered last, on the monotonic clock
        self._session = requests.Session()
        # Proxies and .netrc of the environment must not see or replace the keys.
        self._session.trust_env = False
        # A GET is sent once more when its connection breaks. Nothing else is: a caption is work,
        # and a change may have been made already.
        retry = Retry(1, connect=0, redirect=0, allowed_methods=["GET"])
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=retry))

    def predict(
        self,
        picture: bytes,
        options: Mapping[str, int | str],
        version: str | None = None,
        *,
        explain: bool = False,
    ) -> Inference:
        """Caption one encoded picture; `options` are those of the API, by their names.

        Without a `version` TorchServe's default answers. `explain` adds each word's attention.
        The raw body with X- headers spares TorchServe a multipart body. Raises TorchServeError.
        """
        headers = {f"X-{name.replace('_', '-').title()}": str(n) for name, n in options.items()}
        headers["Content-Type"] = "application/octet-stream"
        verb = "explanations" if explain else "predictions"
        url = f"{self._settings.inference_url}/{verb}/{self._settings.model_name}"
        url += f"/{version}" if version else ""
        response = self._caption(url, headers, picture)
        if response.status_code != 200:
            error = self._error(response, version)
            if isinstance(error, HandlerRefused):
                self.answered = time.monotonic()
            raise error
        self.answered = time.monotonic()
        try:
            return Inference(response.content, parse(response.content, explained=explain))
        except (ValueError, KeyError, TypeError) as error:
            log.error("TorchServe's answer is not a caption: %r", error)
            raise _failed() from error

    def _caption(self, url: str, headers: Mapping[str, str], picture: bytes) -> requests.Response:
        """Send a picture; again where the worker died under it, within the request's own time.

        A caption changes nothing, so it may be made twice; TorchServe keeps what it is sent in
        its queue until the next worker is up. A few times only: the picture may be why it died.
        """
        give_up = time.monotonic() + self._settings.timeout_s
        for left in reversed(range(TRIES)):
            try:
                with self.gate.passing(give_up) as wait_s:
                    response = self._send("inference", "POST", url, wait_s, headers, picture)
            except TooSlow as error:
                if left + 1 < TRIES or self._still(give_up - self._settings.timeout_s):
                    raise _not_ready() from error
                raise
            if not _died(response) or left == 0 or time.monotonic() + AGAIN_S > give_up:
                break
            self._note("tries", TRIES - left + 1)
        return response

    def _still(self, since: float) -> bool:
        """Whether no worker is READY, or was for long enough to answer anybody since then."""
        try:
            _, body = self.manage("GET", f"/models/{self._settings.model_name}")
            states = [worker["status"] for version in body for worker in version["workers"]]
        except (TorchServeError, LookupError, TypeError):
            states = []
        return -math.inf < self.answered < since or (bool(states) and "READY" not in states)

    def check_reachable(self) -> None:
        """Raise TorchServeError unless the inference address answers and accepts our key.

        The answer of /ping does not matter: it is Healthy while a model loads.
        """
        self._send("inference", "GET", f"{self._settings.inference_url}/ping", MANAGEMENT_TIMEOUT_S)

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
        """Send with a key. Raises Restarting in place of Away where the launcher is at work."""
        try:
            return self._send_with_key(kind, method, url, timeout_s, headers, data)
        except Away as error:
            report = Report.read(self._settings.key_file)
            # What the launcher has not noticed yet it will in a moment; a key is not its business.
            if report and (report.state != "running" or type(error) is Away):
                raise Restarting(report.sentence, retry_after_s=report.wait_s) from error
            raise

    def _send_with_key(
        self,
        kind: Kind,
        method: str,
        url: str,
        timeout_s: float,
        headers: Mapping[str, str] | None,
        data: bytes | None,
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
        if status in (404, 503) or _died(response):
            return _not_ready()
        log.error("TorchServe answered %d: %.500s", status, response.text)
        return _failed()


def _died(response: requests.Response) -> bool:
    """Whether the worker ended while it had the picture: 500, or 507 where it was killed."""
    return response.status_code in (500, 507) and text(_json(response), "message").startswith(
        "Worker died"
    )


def _not_ready() -> NotReady:
    return NotReady("No worker is free to caption just now. Try again in a few seconds.")


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
    reasons = (*error.args, getattr(error, "reason", None))  # urllib3's, after its last try
    return isinstance(error, ReadTimeoutError | TimeoutError) or any(
        _timed_out(reason) for reason in reasons if isinstance(reason, BaseException)
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
