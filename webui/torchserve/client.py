"""The only module that talks to TorchServe."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from webui.torchserve import answer
from webui.torchserve.tokens import KeyRing, KeysUnreadable, Kind
from webui.web.problem import ServiceError, too_large
from webui.web.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

MANAGEMENT_TIMEOUT_S = 3.0
CONNECTIONS = 32  # kept open to each address; more threads than this open their own
NO_SUCH_VERSION = "ModelVersionNotFoundException"
PASSED_ON = (400, 413, 415, 422)  # the handler's answers about the picture or an option


class TorchServeError(ServiceError):
    """Whatever kept TorchServe from captioning. The tree, with what a client is answered:

    TorchServeError       502  an answer that is none of the following
    ├── Refused           400, 413, 415, 422 in the handler's own words: the request is at fault
    ├── UnknownVersion    404  the version that was asked for is not registered
    ├── NotReady          503  no worker is ready or the queue is full; has a Retry-After
    ├── TooSlow           504  no answer within CAPTIONIZE_TIMEOUT_S
    └── Away              502  no connection, or it broke
        └── NoKey         502  no key to be had, or none that TorchServe accepts
    """

    code = 502
    type = "CaptioningFailed"


class Refused(TorchServeError):
    """The picture or an option was refused."""


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
    """The page holds no valid key."""


class TorchServe:
    """A client of one TorchServe, shared by all threads.

    Args:
        headers: what a call sends along, asked for at each.
        note: told of what is worth a log line about the request under way, by name.
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
        self._keys = KeyRing(settings.key_file, self._request_key)
        self._session = requests.Session()
        # Proxies and .netrc of the environment must not see or replace the keys.
        self._session.trust_env = False
        retry = Retry(total=2, read=1, backoff_factor=0.1, allowed_methods=["GET"], redirect=0)
        once = HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=0)
        self._session.mount("http://", HTTPAdapter(max_retries=retry))
        self._session.mount("https://", HTTPAdapter(max_retries=retry))
        # A caption is work worth doing once, and each GET /token makes another key.
        for verb in ("predictions", "explanations"):
            self._session.mount(f"{settings.inference_url}/{verb}/", once)
        self._session.mount(f"{settings.management_url}/token", once)

    def caption(
        self,
        picture: bytes,
        options: Mapping[str, int],
        version: str | None = None,
        *,
        explain: bool = False,
    ) -> answer.Answer:
        """Caption one encoded picture; `options` are beam_size, num_captions, max_length.

        Without a `version` TorchServe's default answers. `explain` adds each word's attention.
        The raw body with X- headers spares TorchServe a multipart body. Raises TorchServeError.
        """
        names = {name: f"X-{name.replace('_', '-').title()}" for name in options}
        headers = {names[name]: str(value) for name, value in options.items()}
        headers["Content-Type"] = "application/octet-stream"
        verb = "explanations" if explain else "predictions"
        model = self._settings.model_name + (f"/{version}" if version else "")
        response = self._send(
            "inference",
            "POST",
            f"{self._settings.inference_url}/{verb}/{model}",
            timeout_s=self._settings.timeout_s,
            headers=headers,
            data=picture,
        )
        if response.status_code == 404 and version and _type(response) == NO_SUCH_VERSION:
            raise UnknownVersion(version)
        if response.status_code != 200:
            raise self._error(response)
        try:
            return answer.parse(response.content, explained=explain)
        except (ValueError, KeyError, TypeError) as error:
            log.error("TorchServe's answer is not a caption: %r", error)
            raise _failed() from error

    def metrics(self) -> str:
        """TorchServe's metrics in Prometheus's text format; they need no key.

        Raises TorchServeError.
        """
        response = _translated(
            lambda: self._session.get(
                f"{self._settings.metrics_url}/metrics",
                headers=self._headers(),
                timeout=(self._settings.connect_timeout_s, MANAGEMENT_TIMEOUT_S),
                allow_redirects=False,
            )
        )
        if response.status_code != 200:
            raise _failed()
        return response.text

    def reachable(self) -> None:
        """Raise TorchServeError unless the inference address answers and takes our key.

        What /ping says is not looked at: it is Healthy while a model loads.
        """
        url = f"{self._settings.inference_url}/ping"
        self._send("inference", "GET", url, timeout_s=MANAGEMENT_TIMEOUT_S)

    def ready_workers(self) -> int:
        """The number of READY workers of the model. Raises TorchServeError."""
        response = self._send(
            "management",
            "GET",
            f"{self._settings.management_url}/models/{self._settings.model_name}",
            timeout_s=MANAGEMENT_TIMEOUT_S,
        )
        if response.status_code != 200:
            raise self._error(response)
        try:
            versions = json.loads(response.content)
            return sum(w["status"] == "READY" for v in versions for w in v["workers"])
        except (ValueError, KeyError, TypeError) as error:
            raise _failed() from error

    def manage(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        timeout_s: float = MANAGEMENT_TIMEOUT_S,
    ) -> tuple[int, Any]:
        """Status and JSON (None where the body is none) of a call of the management API.

        `path` begins with /models and is made of checked names. Raises TorchServeError when there
        is no answer; what the status means is the caller's matter.
        """
        url = f"{self._settings.management_url}{path}?{urlencode(query or {})}".rstrip("?")
        response = self._send("management", method, url, timeout_s=timeout_s)
        try:
            return response.status_code, json.loads(response.content)
        except ValueError:
            return response.status_code, None

    def _send(
        self,
        kind: Kind,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> requests.Response:
        """Send with a key, and once more with another when TorchServe refuses the first."""

        def send(key: str) -> requests.Response:
            return self._session.request(
                method,
                url,
                headers={
                    **(headers or {}),
                    **self._headers(),
                    "Authorization": f"Bearer {key}",
                },
                data=data,
                timeout=(self._settings.connect_timeout_s, timeout_s),
                allow_redirects=False,
            )

        key = _translated(lambda: self._keys.key(kind))
        response = _translated(lambda: send(key))
        if _key_refused(response):
            other = _translated(lambda: self._keys.replacement(kind, key))
            response = _translated(lambda: send(other))
            if _key_refused(response):
                log.error("TorchServe accepts no %s key from %s", kind, self._settings.key_file)
                raise NoKey("The captioning service did not accept this page's key. Try again.")
        # TorchServe gives each request an id of its own, which its log and its handler know.
        if theirs := response.headers.get("X-Request-ID"):
            self._note("torchserve_request_id", theirs[:64])
        return response

    def _request_key(self, kind: Kind, api_key: str) -> None:
        """Have TorchServe write a new key of this kind into its key file; raises OSError."""
        self._session.get(
            f"{self._settings.management_url}/token",
            params={"type": kind},
            headers={**self._headers(), "Authorization": f"Bearer {api_key}"},
            timeout=(self._settings.connect_timeout_s, MANAGEMENT_TIMEOUT_S),
            allow_redirects=False,
        ).raise_for_status()

    def _error(self, response: requests.Response) -> ServiceError:
        """The error for an answer that is not 200."""
        status = response.status_code
        worded = _handler_error(response)
        if status in PASSED_ON and worded is not None:
            return Refused(worded[1], code=status, type=worded[0])
        if status == 413:
            return too_large(self._settings.max_upload_bytes)
        # 404 is a model that is not loaded yet: TorchServe answers while it still loads. A worker
        # that died is started again at once.
        died = status == 500 and str(_members(response).get("message")).startswith("Worker died")
        if status in (404, 503) or died:
            return NotReady("No worker is free to caption just now. Try again in a few seconds.")
        log.error("TorchServe answered %d: %.500s", status, response.text)
        return _failed()


def _failed() -> TorchServeError:
    return TorchServeError(
        "The captioning service could not caption this picture. "
        "Try again; if it happens again, try another picture."
    )


def _translated(call: Callable[[], T]) -> T:
    """Run `call` and turn what requests and the key ring raise into our own errors."""
    try:
        return call()
    except (KeysUnreadable, OSError) as error:
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


def _members(response: requests.Response) -> dict[str, object]:
    """The members of a JSON object, or nothing when the body is something else."""
    try:
        body = json.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _type(response: requests.Response) -> object:
    """The type of TorchServe's error, or None."""
    return _members(response).get("type")


def _key_refused(response: requests.Response) -> bool:
    return response.status_code == 400 and _type(response) == "InvalidKeyException"


def _handler_error(response: requests.Response) -> tuple[str, str] | None:
    """Type and message of an error that our handler worded; TorchServe's own are not for users."""
    body = _members(response)
    type_, message = body.get("type"), body.get("message")
    if not isinstance(type_, str) or not isinstance(message, str):
        return None
    if not type_.isidentifier() or type_.endswith("Exception"):
        return None
    return type_, message
