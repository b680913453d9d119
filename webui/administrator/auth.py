"""The administrator: a password for people, a bearer token for scripts."""

from __future__ import annotations

import hmac
import logging
import math
import secrets
import time
from typing import NoReturn

from flask import (
    Blueprint,
    Flask,
    Response,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_wtf.csrf import ValidationError, validate_csrf  # type: ignore[import-untyped]
from limits import parse_many
from werkzeug.security import check_password_hash

from webui.administrator.audit import Actor, Audit
from webui.web.extensions import bearer, limiter, service
from webui.web.problem import ServiceError
from webui.web.proxies import address, network
from webui.web.settings import Settings
from webui.web.shared import Shared

log = logging.getLogger(__name__)

bp = Blueprint("auth", __name__)

SESSION_S = 12 * 3600.0
SESSIONS = 100  # at a time; one more ends the oldest
GUESSES = parse_many("5 per minute; 30 per hour")  # wrong passwords and tokens from one address
SAFE = ("GET", "HEAD", "OPTIONS")
# Where a login may lead, by the name in its address: never to another site.
PAGES = {"versions": "versions.show", "operations": "operations.show"}
HOW = (
    "The administrator is off. Set CAPTIONIZE_ADMIN_PASSWORD_HASH to what `python -m webui.admin "
    "hash-password` prints, or CAPTIONIZE_ADMIN_TOKEN to at least 32 random characters, and start "
    "Captionize again."
)


class Sessions:
    """The administrator's sessions. The cookie holds only a number, so that a logout ends one.

    All methods raise StoreAway.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def begin(self) -> str:
        """The number of a new session."""
        number = secrets.token_urlsafe(24)
        self._shared.put(f"session:{number}", "", SESSION_S)
        for oldest in self._shared.push("sessions", number, SESSIONS):
            self.end(oldest)
        return number

    def lives(self, number: object) -> bool:
        """Whether this is the number of a session that has not ended."""
        return isinstance(number, str) and self._shared.texts(f"session:{number}") != [None]

    def end(self, number: object) -> None:
        """End a session."""
        self._shared.drop(f"session:{number}")


def init_app(app: Flask) -> None:
    """Name the scheme of credentials wherever some are missing."""
    app.after_request(_name_scheme)


def logged_in() -> bool:
    """Whether the request's cookie is the administrator's."""
    return service(Sessions).lives(session.get("administrator"))


def required() -> None:
    """Let only the administrator pass; the before_request hook of a blueprint.

    Raises ServiceError: 403 where there is no administrator, 401 without credentials or with wrong
    ones, 429 after too many wrong ones, 400 for a change by cookie without its CSRF token.
    """
    if not service(Settings).administrator:
        raise ServiceError(HOW, code=403, type="AdministratorOff")
    token = bearer()
    if token is not None and _is_token(token):
        g.credential = "token"
    elif logged_in():  # a proxy may send a token of its own along
        if request.method not in SAFE:
            _check_csrf()
        g.credential = "password"
    elif token is not None:
        _refuse_token()
    else:
        raise ServiceError(
            "This is for the administrator. Log in on the page /login, or send the header "
            "'Authorization: Bearer' with the token of CAPTIONIZE_ADMIN_TOKEN.",
            code=401,
            type="NotAuthenticated",
        )


def actor() -> Actor:
    """Who makes this request, after `required` has let it pass."""
    return Actor(g.credential, address())


def _is_token(given: str) -> bool:
    """Whether this is the token, however many wrong ones came before: it is too long to guess."""
    expected = service(Settings).admin_token
    right = hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
    return bool(expected) and right


def _refuse_token() -> NoReturn:
    _count_guess("token")
    log.warning("A wrong bearer token")
    service(Audit).record(Actor("unknown", address()), "login", "refused", "Wrong token.")
    raise ServiceError(
        "Expected 'Bearer' and the token of CAPTIONIZE_ADMIN_TOKEN in the header Authorization; a "
        "different token was sent.",
        code=401,
        type="WrongToken",
    )


def _check_csrf() -> None:
    # Only the header: looking for a form's field would read a whole upload into memory.
    try:
        validate_csrf(request.headers.get("X-CSRFToken"))
    except ValidationError as error:
        raise ServiceError(
            "This change did not come from an open page of this session. Load the page again.",
            code=400,
            type="FormExpired",
        ) from error


@bp.get("/login")
def login_form() -> Response:
    """The login page; whoever is logged in goes on to the page that `back` names."""
    return _onwards() if logged_in() else _login_page()


@bp.post("/login")
def login() -> Response:
    """Begin a session for the right password."""
    settings = service(Settings)
    if not settings.admin_password_hash:
        return _login_page(ServiceError(HOW, code=403, type="AdministratorOff"))
    try:
        _count_guess("password")
    except ServiceError as error:
        return _login_page(error)
    if not check_password_hash(settings.admin_password_hash, request.form.get("password", "")):
        log.warning("A wrong password")
        service(Audit).record(Actor("unknown", address()), "login", "refused", "Wrong password.")
        message = "This is not the administrator's password. Try again."
        return _login_page(ServiceError(message, code=401, type="WrongPassword"))
    _forgive_guesses()
    draw = session.get("draw")
    session.clear()  # nothing of the session before, its CSRF token included, lives on
    session["administrator"] = service(Sessions).begin()
    if draw is not None:
        session["draw"] = draw
    service(Audit).record(Actor("password", address()), "login", "done", "Logged in.")
    return _onwards()


@bp.post("/logout")
def logout() -> Response:
    """End the session, in the cookie and here."""
    if logged_in():
        actor = Actor("password", address())
        service(Audit).record(actor, "logout", "done", "Logged out.")
    service(Sessions).end(session.pop("administrator", None))
    return redirect(url_for("versions.show"), 303)  # type: ignore[return-value]


def _onwards() -> Response:
    """To the page that required the login."""
    page = PAGES.get(request.values.get("back", ""), "versions.show")
    return redirect(url_for(page), 303)  # type: ignore[return-value]


def _login_page(error: ServiceError | None = None) -> Response:
    possible = bool(service(Settings).admin_password_hash)
    back = request.values.get("back", "")
    response = Response(render_template("login.html", error=error, possible=possible, back=back))
    if error is not None:
        response.status_code = error.code
        if error.retry_after_s:
            response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def _name_scheme(response: Response) -> Response:
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _count_guess(what: str) -> None:
    """Count one guess before it is checked; a 429 where there were too many.

    Before, because many at a time would all be checked otherwise.
    """
    for limit in GUESSES:
        if not limiter.limiter.hit(limit, what, network()):
            end = limiter.limiter.get_window_stats(limit, what, network()).reset_time
            wait = max(1, math.ceil(end - time.time()))
            log.warning("Too many guesses of the %s from one address", what)
            raise ServiceError(
                "Too many wrong passwords or tokens came from this address. "
                f"Wait {wait} s and try again.",
                code=429,
                type="TooManyGuesses",
                retry_after_s=wait,
            )


def _forgive_guesses() -> None:
    """Forget the passwords guessed from this address: the last one was right."""
    for limit in GUESSES:
        limiter.limiter.clear(limit, "password", network())
