"""Several pages, each with a TorchServe of its own: what is changed at one is served by all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests import redis_server
from tests.redis_server import RedisServer
from tests.webui.administration import WAIT_S, check
from tests.webui.fake_management import FakeModels, write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from tests.webui.versions.test_restoring import Page
from webui.versions import lost, restoring, workers
from webui.versions.deployment import Deployment
from webui.versions.jobs import Jobs
from webui.web import shared
from webui.web.problem import ServiceError
from webui.web.shared import Redis

STAYS = 1000.0  # seconds: versions that are lost are not looked for, so news alone has effect


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server.running() as server:
        yield server


class OneOfMany(Page):
    """A page in a folder of its own, over a TorchServe of its own."""

    def __init__(
        self, make_app: Callable[..., Flask], folder: Path, torchserve: FakeTorchServe, url: str
    ) -> None:
        self.torchserve = torchserve

        def make(**config: object) -> Flask:
            config |= {"INFERENCE_URL": torchserve.url, "MANAGEMENT_URL": torchserve.url}
            config |= {"KEY_FILE": torchserve.key_file, "MODEL_STORE": torchserve.models.store}
            return make_app(**config, SHARED_STORE=url, SECRET_KEY="a secret of all pages")

        super().__init__(make, folder)

    def methods(self) -> set[str]:
        """Of the requests since the last call."""
        found = {seen.method for seen in self.torchserve.seen}
        self.torchserve.seen.clear()
        return found


@pytest.fixture
def pages(
    make_app: Callable[..., Flask],
    tmp_path: Path,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[OneOfMany]]:
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    monkeypatch.setattr(restoring, "LOST_S", STAYS)
    monkeypatch.setattr(shared, "AGAIN_S", 0.0)
    fakes, found = [], []
    for number in (1, 2):
        folder = tmp_path / str(number)
        write_archive(folder / "store" / "second.mar")
        fake = FakeTorchServe(folder / "key_file.json", models=FakeModels(folder / "store"))
        fake.starts = 10 * number  # each started at a time of its own
        fake.write_keys()
        fakes.append(fake)
        found.append(OneOfMany(make_app, folder / "state", fake, server.url))
    yield found
    for fake in fakes:
        fake.stop()


def test_the_first_start_of_each_changes_nothing(pages: list[OneOfMany]) -> None:
    one, two = pages
    assert one.methods() == two.methods() == {"GET"}
    assert one.restored() == []
    assert one.served() == two.served() == {"1.0": ("captioner.mar", 1, True)}


def test_what_one_changes_the_other_does(pages: list[OneOfMany]) -> None:
    one, two = pages
    one.register("second.mar", workers=2)
    assert one("PUT", "/models/captioner/2.0/default").status_code == 200
    two.check()
    both = {"1.0": ("captioner.mar", 1, False), "2.0": ("second.mar", 2, True)}
    assert two.served() == one.served() == both
    assert two("POST", "/models/captioner/rollback").status_code == 200
    assert two.job("PUT", "/models/captioner/2.0/workers", {"workers": 1})["state"] == "done"
    one.check()
    both = {"1.0": ("captioner.mar", 1, True), "2.0": ("second.mar", 1, False)}
    assert one.served() == both
    assert one("DELETE", "/models/captioner/2.0").status_code == 204
    two.check()
    assert two.served() == one.served() == {"1.0": ("captioner.mar", 1, True)}
    for page in pages:
        page.methods()
        page.check()
        page.check()
        assert page.methods() <= {"GET"}


def test_what_is_undone_elsewhere_is_undone_here(pages: list[OneOfMany]) -> None:
    one, two = pages
    one.register("second.mar")
    two.check()
    assert two("PUT", "/models/captioner/2.0/default").status_code == 200
    one.check()
    assert one("POST", "/models/captioner/rollback").status_code == 200
    two.check()
    assert two.served() == one.served()
    assert two.served()["1.0"][2], "although what is wanted is as it was when it looked last"


def test_the_audit_log_and_the_jobs_are_those_of_both(pages: list[OneOfMany]) -> None:
    one, two = pages
    one.register("second.mar")
    two.check()
    for page in pages:
        found = [(e["actor"], e["action"], e["outcome"]) for e in page.audit()]
        assert found == [("service", "restore", "done"), ("token", "register", "done")]
        jobs = page("GET", "/jobs").get_json()["jobs"]
        assert [(job["action"], job["state"]) for job in jobs] == [
            ("restore", "done"),
            ("register", "done"),
        ]


def test_a_torchserve_that_starts_later_gets_the_same(pages: list[OneOfMany]) -> None:
    one, two = pages
    one.register("second.mar")
    one("PUT", "/models/captioner/2.0/default")
    one("DELETE", "/models/captioner/1.0")
    two.torchserve.restart()
    two.check()
    assert two.served() == one.served() == {"2.0": ("second.mar", 1, True)}
    assert two.again().served() == one.served(), "nor does a page that starts again change anything"


def test_a_canary_that_one_lacks_stays_on(pages: list[OneOfMany]) -> None:
    one, two = pages
    (two.torchserve.models.store / "second.mar").unlink()
    one.register("second.mar")
    one("PUT", "/canary", {"version": "2.0", "share": 1})
    two.check()
    assert [row["version"] for row in two.lost()] == ["2.0"]
    assert one("GET", "/canary").get_json()["version"] == "2.0"
    write_archive(two.torchserve.models.store / "second.mar")
    assert one.job("PUT", "/models/captioner/2.0/workers", {"workers": 2})["state"] == "done"
    two.check()
    assert two.served() == one.served(), "tried again when something was changed"


def test_what_cannot_be_kept_is_not_done(pages: list[OneOfMany], server: RedisServer) -> None:
    one, _ = pages
    one.register("second.mar")
    before = one.served()
    deployment: Deployment = one.app.extensions["deployment"]
    change = deployment.state.change
    for method, path, body in (
        ("PUT", "/models/captioner/2.0/default", None),
        ("DELETE", "/models/captioner/2.0", None),
        ("PUT", "/canary", {"version": "2.0", "share": 1}),
        ("POST", "/models", {"archive": "second.mar"}),
    ):
        server.stop()
        check(one(method, path, body), 503, "SharedStoreAway")
        server.start()
    assert one.served() == before

    def go_away() -> object:
        server.stop()
        return change()

    deployment.state.change = go_away  # type: ignore[method-assign, assignment]
    job = one("PUT", "/models/captioner/2.0/workers", {"workers": 3}).get_json()["id"]
    give_up = time.monotonic() + WAIT_S
    while one.app.extensions["jobs"].get(job).state == "running":
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert one.served() == before, "undone at its end"


def test_what_is_lost_elsewhere_is_told(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "EVERY_S", 0.0)
    gone, whole = {("m", "2.0"): "No such archive."}, dict[tuple[str, str], str]()
    here, there = (
        lost.Lost(f"page {name}", of, Redis(server.url)) for name, of in (("1", gone), ("2", whole))
    )
    for one in (here, there, here):
        one.tell()
    row = {"model": "m", "version": "2.0", "message": "No such archive."}
    assert here.everywhere() == [row]
    assert there.everywhere() == [{**row, "message": "At page 1: No such archive."}]
    with monkeypatch.context() as patched:
        patched.setattr(lost, "LIFE_S", 0.0)
        assert there.everywhere() == [], "a page that ended"
    gone.clear()
    here.tell()
    assert there.everywhere() == []


def test_a_subject_has_one_job_in_all_pages(server: RedisServer) -> None:
    one, two, go = Jobs(Redis(server.url)), Jobs(Redis(server.url)), threading.Event()

    def work(progress: Callable[[str], None]) -> str:
        progress("Half of it.")
        assert go.wait(10)
        return "All of it."

    job = one.start("scale", "m 1", work)
    assert two.busy("m 1")
    with pytest.raises(ServiceError, match="m 1 is still running"):
        two.start("scale", "m 1", work)
    two.restore("m", "1", lambda progress: "At the other TorchServe.")
    go.set()
    while two.busy("m 1"):
        time.sleep(0.01)
    assert two.get(job.id) == one.get(job.id)
    found = [(one.action, one.message) for one in two.all()]
    assert found == [("restore", "At the other TorchServe."), ("scale", "All of it.")]


def test_a_job_goes_with_its_page_and_outlives_redis(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webui.versions.jobs.ALIVE_S", 0.2)
    monkeypatch.setattr(shared, "AGAIN_S", 0.0)
    one, two, go = Jobs(Redis(server.url)), Jobs(Redis(server.url)), threading.Event()
    job = one.start("scale", "m 1", lambda progress: str(go.wait(10)))
    time.sleep(0.5)
    assert two.busy("m 1"), "it shows that it lives"
    server.stop()
    go.set()
    time.sleep(0.3)
    server.start()
    time.sleep(0.3)
    ended = two.get(job.id)
    assert ended
    assert (ended.state, ended.message) == ("done", "True"), "told when Redis was back"
    monkeypatch.setattr(one, "_tell", lambda key: None)  # as a page that ended does
    one._add(job, [])
    time.sleep(0.3)
    assert not two.busy("m 1")
