"""The store that pages share: Redis and the memory of one page answer alike, and Redis may go."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests import redis_server
from tests.redis_server import RedisServer
from tests.webui.administration import BEARER, HASH, TOKEN, check, log_in
from tests.webui.captions.uploading import post
from webui.administrator import auth
from webui.web import shared as module
from webui.web.extensions import limiter
from webui.web.keys import digest
from webui.web.settings import Settings
from webui.web.shared import Memory, Redis, Shared, StoreAway, open_store
from webui.web.state import State, Wanted, WantedModel

SECRET = "a secret of all pages"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server.running() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Shared:
    if request.param == "memory":
        return open_store("")
    server: RedisServer = request.getfixturevalue("server")
    return open_store(server.url)


def test_texts_have_a_life(store: Shared) -> None:
    store.put("a", "é\n", 0.2)
    store.put("a", "not new", new=True)
    store.put("b", "new", new=True)
    assert store.texts("a", "nothing", "b") == ["é\n", None, "new"]
    assert store.texts() == []
    time.sleep(0.25)
    assert store.texts("a", "b") == [None, "new"]
    store.put("a", "again", new=True)
    store.drop("b", "nothing")
    assert store.texts("a", "b") == ["again", None]


def test_lists_are_bounded(store: Shared) -> None:
    assert [store.push("list", text, 2) for text in "abcd"] == [[], [], ["a"], ["b"]]
    assert store.listed("list") == ["d", "c"]
    assert store.push("list", "e", 1) == ["d", "c"]
    store.drop("list")
    assert store.listed("list") == []


def test_numbers_are_added_up(store: Shared) -> None:
    assert store.add("numbers", {}) == {}
    assert store.add("numbers", {"a b": 2, "c": 0}) == {"a b": 2, "c": 0}
    assert store.add("numbers", {"a b": 3}) == {"a b": 5, "c": 0}


def test_one_at_a_time(store: Shared) -> None:
    seen: list[str] = []

    def second() -> None:
        with store.locked("it"):
            seen.append("second")

    with store.locked("it"), store.locked("other"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        seen.append("first")
    thread.join(10)
    assert seen == ["first", "second"]


def test_a_lock_is_not_waited_for_for_ever(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURN_S", 0.1)
    with (
        Redis(server.url).locked("it"),
        pytest.raises(StoreAway, match="Another page"),
        Redis(server.url).locked("it"),
    ):
        pass


def test_while_redis_is_away_nobody_waits(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Redis(server.url)
    store.put("a", "b")
    server.stop()
    for _ in range(3):
        with pytest.raises(StoreAway):
            store.texts("a")
    assert "does not answer" in (store.problem or "")
    server.start()
    with pytest.raises(StoreAway):  # not asked yet
        store.texts("a")
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    store._not_before = 0.0
    assert store.texts("a") == [None]
    assert store.problem is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_redis_that_hangs_is_away(server: RedisServer) -> None:
    store = Redis(server.url)
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreAway):
        store.texts("a")
    assert store.problem


def test_a_restart_between_two_questions_is_not_noticed(server: RedisServer) -> None:
    store = Redis(server.url)
    store.put("a", "b")
    server.stop()
    server.start()
    assert store.texts("a") == [None]
    assert store.problem is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"SHARED_STORE": "http://host", "SECRET_KEY": SECRET}, "redis://host:6379/0"),
        ({"SHARED_STORE": "redis://:hunter2@host"}, "CAPTIONIZE_SECRET_KEY: expected the same"),
    ],
)
def test_what_cannot_be_shared_is_refused(config: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Settings.from_config(config)
    assert "hunter2" not in str(caught.value)


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ValueError, match=r"pip install 'captionize\[fleet\]'"):
        open_store("redis://host")
    assert isinstance(open_store(""), Memory)


# --- What is kept in it ---


def test_pages_want_the_same(server: RedisServer, tmp_path: Path) -> None:
    one, two = (State(tmp_path / name / "desired.json", Redis(server.url)) for name in "ab")
    with one.change() as wanted:
        wanted.models["captioner"] = WantedModel("2.0")
    assert two.get() == one.get() != Wanted()
    with two.change() as wanted:
        wanted.canary = {"version": "1.0", "share": 0.5}
    assert (one.get().canary or {})["share"] == 0.5
    server.stop()
    assert one.get() == two.get(), "what was wanted last"
    with pytest.raises(StoreAway), one.change():
        pytest.fail("nothing may be changed")
    server.start()  # empty
    for store in (one, two):
        store._shared._not_before = 0.0  # type: ignore[union-attr]
    assert two.get().models
    assert State(None, Redis(server.url)).get() == two.get(), "a page wrote it again"


def test_what_cannot_be_read_is_not_overwritten(server: RedisServer) -> None:
    Redis(server.url).put("wanted", '{"format": 2}')
    state = State(None, Redis(server.url))
    assert state.get() == Wanted()
    with pytest.raises(StoreAway, match="expected format 1, got 2"), state.change():
        pytest.fail("nothing may be changed")


def test_figures_are_those_of_both(server: RedisServer, make_app: Callable[..., Flask]) -> None:
    given = {"SHARED_STORE": server.url, "SECRET_KEY": SECRET, "ADMIN_TOKEN": TOKEN}
    given["API_KEYS"] = f"album:{digest('open')}"
    one, two = (make_app(**given).test_client() for _ in "12")
    for page in (one, two):
        page.environ_base["HTTP_AUTHORIZATION"] = "Bearer open"

    def operations(page: FlaskClient) -> dict[str, Any]:
        found: dict[str, Any] = page.get("/api/operations", headers=BEARER).get_json()
        return found

    assert operations(two)["now"]["captions"] == 0
    assert [post(page).status_code for page in (one, one, two)] == [200] * 3
    operations(one)
    found = operations(two)
    assert found["now"]["captions"] == 3
    assert [(use["name"], use["answered"]) for use in found["keys"]][0] == ("album", 3)
    assert found["health"]["state"] == "good"
    server.stop()
    post(one)
    found = operations(one)
    assert found["health"]["state"] == "warning"
    assert "does not answer" in found["health"]["cause"]
    assert found["keys"] == []
    server.start()
    for page in (one, two):
        page.application.extensions["watch"]._shared._not_before = 0.0
        found = operations(page)
    assert found["health"]["state"] == "good"
    assert found["now"]["captions"] == 0, "counted anew, and nothing below it"


def test_limits_and_sessions_of_two_pages(
    server: RedisServer, make_app: Callable[..., Flask]
) -> None:
    """Both within one process, where Flask-Limiter is one; test_fleet.py has two processes."""
    given = {"SHARED_STORE": server.url, "SECRET_KEY": SECRET, "RATE_LIMIT": "3 per minute"}
    one, two = (
        make_app(**given, ADMIN_PASSWORD_HASH=HASH, ADMIN_TOKEN=TOKEN).test_client() for _ in "12"
    )
    assert [post(page).status_code for page in (one, two, one, two)] == [200, 200, 200, 429]
    refused = post(one)
    check(refused, 429, "TooManyRequests")
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert log_in(one).status_code == 303
    cookie = one.get_cookie("captionize")
    assert cookie
    two.set_cookie("captionize", cookie.value)
    assert two.get("/api/models").status_code == 200
    server.stop()
    assert post(two).status_code == 200, "counted by the page alone"
    check(two.get("/api/models"), 503, "SharedStoreAway", "Captions go on")
    stranger = one.application.test_client()
    assert log_in(stranger).status_code == 503
    most = auth.GUESSES[0].amount
    codes = [log_in(stranger, "wrong").status_code for _ in range(most + 1)]
    assert codes == [401] * most + [429], "the page counts alone"
    limiter.reset()
