"""What was set stays set: after a start of TorchServe, of the page, and when a version is lost."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.webui.administration import TOKEN, Admin
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import FakeTorchServe
from webui.versions import restoring, workers

STATE = "desired.json"


class Page(Admin):
    """A page that keeps its state in a folder; `again` is another one after a restart."""

    def __init__(self, make_app: Callable[..., Flask], folder: Path) -> None:
        self.make_app, self.folder = make_app, folder
        self.app = make_app(ADMIN_TOKEN=TOKEN, STATE_DIR=str(folder))
        super().__init__(self.app.test_client())
        self.check()

    def again(self) -> Page:
        return Page(self.make_app, self.folder)

    def check(self) -> None:
        """What the page's thread does every second."""
        self.app.extensions["known"].forget()
        self.app.extensions["restoring"].check()

    def register(self, archive: str, **more: int) -> None:
        job = self.job("POST", "/models", {"archive": archive, **more})
        assert job["state"] == "done", job

    def served(self) -> dict[str, tuple[str, int, bool]]:
        """Version -> archive, workers, whether it is the default."""
        versions = self.model()["versions"]
        return {v["version"]: (v["archive"], len(v["workers"]), v["default"]) for v in versions}

    def lost(self) -> list[dict[str, str]]:
        return list(self("GET", "/models").get_json()["lost"])

    def restored(self) -> list[tuple[str, str, str]]:
        """What the page did by itself: action, outcome, message."""
        by_itself = [one for one in reversed(self.audit()) if one["actor"] == "service"]
        return [(one["action"], one["outcome"], one["message"]) for one in by_itself]


@pytest.fixture
def page(
    make_app: Callable[..., Flask],
    torchserve: FakeTorchServe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Page:
    monkeypatch.setattr(workers, "POLL_S", 0.01)
    monkeypatch.setattr(restoring, "LOST_S", 0.0)
    write_archive(torchserve.models.store / "second.mar")
    return Page(make_app, tmp_path / "state")


def change_everything(page: Page) -> dict[str, tuple[str, int, bool]]:
    """Two versions, 2.0 with two workers the default, 1.0 a canary with three."""
    page.register("second.mar", workers=2, batch_size=4, max_batch_delay=20)
    assert page("PUT", "/models/captioner/2.0/default").status_code == 200
    page.job("PUT", "/models/captioner/1.0/workers", {"workers": 3})
    page("PUT", "/canary", {"version": "1.0", "share": 0.25})
    served = {"1.0": ("captioner.mar", 3, False), "2.0": ("second.mar", 2, True)}
    assert page.served() == served
    return served


def test_nothing_is_done_at_the_first_start(page: Page, torchserve: FakeTorchServe) -> None:
    assert page.restored() == []
    assert {seen.method for seen in torchserve.seen} == {"GET"}
    state = json.loads((page.folder / STATE).read_text())
    assert state["models"]["captioner"]["default"] == "1.0"
    assert state["loaded"] == {"captioner 1.0": "captioner.mar"}


def test_a_restart_of_torchserve_alone_changes_nothing(
    page: Page, torchserve: FakeTorchServe
) -> None:
    before = change_everything(page)
    torchserve.restart()
    assert page.served() == {"1.0": ("captioner.mar", 1, True)}
    page.check()
    assert page.served() == before
    version = page.model()["versions"][1]
    assert (version["batch_size"], version["max_batch_delay_ms"]) == (4, 20)
    assert page.model()["previous_default"] == "1.0"
    assert page("GET", "/canary").get_json()["share"] == 0.25
    assert page.lost() == []
    assert page.restored() == [
        ("restore", "done", "captioner 2.0 is registered again with 2 workers."),
        ("restore", "done", "captioner 2.0 is the default again."),
        ("restore", "done", "captioner 1.0 has 3 workers again."),
    ]
    calls = len(torchserve.seen)
    page.check()
    assert {seen.method for seen in torchserve.seen[calls:]} == {"GET"}


def test_a_restart_of_everything_changes_nothing(page: Page, torchserve: FakeTorchServe) -> None:
    before = change_everything(page)
    torchserve.restart()
    after = page.again()
    assert after.served() == before
    assert after("GET", "/canary").get_json()["version"] == "1.0"


def test_a_restart_of_the_page_alone_touches_nothing(
    page: Page, torchserve: FakeTorchServe
) -> None:
    before = change_everything(page)
    write_archive(torchserve.models.store / "by-hand.mar", version="7.0")
    torchserve.models.answer("POST", "/models?url=by-hand.mar")
    calls = len(torchserve.seen)
    served = page.again().served()
    assert {seen.method for seen in torchserve.seen[calls:]} == {"GET"}
    assert served == {**before, "7.0": ("by-hand.mar", 0, False)}, "not the page's to judge"


def test_what_was_unregistered_stays_so(page: Page, torchserve: FakeTorchServe) -> None:
    change_everything(page)
    assert page("DELETE", "/models/captioner/1.0").status_code == 204
    torchserve.restart()
    page.check()
    assert page.served() == {"2.0": ("second.mar", 2, True)}
    assert page.restored()[-1] == ("restore", "done", "captioner 1.0 is unregistered again.")


def test_a_model_that_was_unregistered_stays_so(page: Page, torchserve: FakeTorchServe) -> None:
    write_archive(torchserve.models.store / "other.mar", model="other", version="1.0")
    torchserve.restart("captioner.mar", "other.mar")
    page.check()
    assert page("DELETE", "/models/other/1.0").status_code == 204
    torchserve.restart("captioner.mar", "other.mar")
    page.check()
    assert torchserve.models.defaults == {"captioner": "1.0"}


def test_what_load_models_names_later_is_added(page: Page, torchserve: FakeTorchServe) -> None:
    change_everything(page)
    write_archive(torchserve.models.store / "third.mar", version="3.0")
    torchserve.restart("third.mar", "captioner.mar")
    page.check()
    assert {version: default for version, (_, _, default) in page.served().items()} == {
        "1.0": False,
        "2.0": True,
        "3.0": False,
    }
    named = "third.mar is named by load_models: captioner 3.0 is served."
    assert page.restored()[0] == ("register", "done", named)
    # It stays when it is named no more, and goes for good when the administrator says so.
    torchserve.restart()
    page.check()
    assert page.served()["3.0"] == ("third.mar", 1, False)
    page("DELETE", "/models/captioner/3.0")
    torchserve.restart()
    page.check()
    assert "3.0" not in page.served()
    torchserve.restart("captioner.mar", "third.mar")
    page.check()
    assert page.served()["3.0"] == ("third.mar", 1, False), "named anew"


def test_an_upgraded_archive_takes_the_place_of_the_old(
    page: Page, torchserve: FakeTorchServe
) -> None:
    write_archive(torchserve.models.store / "captioner.mar", version="1.1")
    torchserve.restart()
    page.check()
    assert page.served() == {"1.1": ("captioner.mar", 1, True)}
    assert page.lost() == []
    assert "captioner 1.1 is served, instead of 1.0." in page.restored()[0][2]


def test_what_cannot_be_restored_is_said(page: Page, torchserve: FakeTorchServe) -> None:
    change_everything(page)
    (torchserve.models.store / "second.mar").unlink()
    torchserve.restart()
    page.check()
    assert page.served() == {"1.0": ("captioner.mar", 3, True)}
    [lost] = page.lost()
    assert (lost["model"], lost["version"]) == ("captioner", "2.0")
    assert "second.mar cannot be registered. There is no such file" in lost["message"]
    assert [one[1] for one in page.restored()] == ["refused", "done"]
    page.check()
    assert len(page.restored()) == 2, "not tried again and again"
    # Its archive is back: so is the version, when TorchServe starts again.
    write_archive(torchserve.models.store / "second.mar")
    torchserve.restart()
    page.check()
    assert page.served()["2.0"] == ("second.mar", 2, True)
    assert page.lost() == []


def test_an_archive_of_another_version_is_not_taken_for_it(
    page: Page, torchserve: FakeTorchServe
) -> None:
    change_everything(page)
    write_archive(torchserve.models.store / "second.mar", version="9.0")
    torchserve.restart()
    page.check()
    assert list(page.served()) == ["1.0"]
    assert page.lost()[0]["message"] == "second.mar holds captioner 9.0 now."


def test_a_lost_version_can_be_forgotten(page: Page, torchserve: FakeTorchServe) -> None:
    change_everything(page)
    (torchserve.models.store / "second.mar").unlink()
    torchserve.restart()
    page.check()
    assert page("DELETE", "/models/captioner/2.0").status_code == 204
    assert page.audit()[0]["message"] == "captioner 2.0 is not wanted any more."
    assert page.lost() == []
    torchserve.restart()
    page.check()
    assert page.lost() == []
    assert page.served() == {"1.0": ("captioner.mar", 3, True)}


def test_a_canary_that_is_gone_for_good_is_off(page: Page, torchserve: FakeTorchServe) -> None:
    page.register("second.mar")
    page("PUT", "/canary", {"version": "2.0", "share": 0.5})
    torchserve.restart()
    torchserve.models.replies.append((503, {"code": 503, "message": "Busy."}))
    for served in (["1.0"], ["1.0", "2.0"]):
        page.check()
        assert list(page.served()) == served
        assert page("GET", "/canary").get_json()["version"] == "2.0"
    torchserve.models.broken = {"second.mar"}
    torchserve.restart()
    page.check()
    assert "crash while starting" in page.lost()[0]["message"]
    assert page("GET", "/canary").get_json()["version"] is None
    assert page.restored()[-1] == ("canary", "done", "The canary is off.")


def test_a_version_that_is_lost_without_a_start_comes_back(
    page: Page, torchserve: FakeTorchServe
) -> None:
    page.register("second.mar")
    torchserve.models.answer("DELETE", "/models/captioner/2.0")
    page.check()
    assert page.served()["2.0"] == ("second.mar", 1, False)


def test_it_waits_for_torchserve(page: Page, torchserve: FakeTorchServe) -> None:
    before = change_everything(page)
    torchserve.restart()
    torchserve.key_file.unlink()
    page.check()
    assert list(torchserve.models.versions["captioner"]) == ["1.0"]
    torchserve.write_keys()
    torchserve.models.replies.append((503, {"code": 503, "message": "Busy."}))
    page.check()
    assert page.lost() == [], "busy is no reason to give up"
    page.check()
    assert page.served() == before


def test_without_a_folder_it_is_kept_while_the_page_runs(
    make_app: Callable[..., Flask], page: Page, torchserve: FakeTorchServe
) -> None:
    app = make_app(ADMIN_TOKEN=TOKEN)
    admin = Admin(app.test_client())
    app.extensions["restoring"].check()
    admin.job("POST", "/models", {"archive": "second.mar"})
    torchserve.restart()
    app.extensions["restoring"].check()
    assert [one["version"] for one in admin.model()["versions"]] == ["1.0", "2.0"]


def test_a_damaged_state_stops_nothing(
    page: Page, torchserve: FakeTorchServe, caplog: pytest.LogCaptureFixture
) -> None:
    before = change_everything(page)
    (page.folder / STATE).write_text("{half")
    caplog.set_level(logging.ERROR)
    after = page.again()
    assert "set aside as desired.json.damaged" in caplog.text
    assert after.served() == before
    torchserve.restart()
    after.check()
    assert {one: default for one, (_, _, default) in after.served().items()} == {
        "1.0": False,
        "2.0": True,
    }, "what TorchServe served is wanted"
