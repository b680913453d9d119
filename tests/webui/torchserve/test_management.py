"""The management client over the fake TorchServe: the contract, and answers that are not fine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from tests.webui import management_contract as contract
from tests.webui.fake_torchserve import FakeTorchServe
from webui.torchserve.errors import Away
from webui.torchserve.management import Known, Management
from webui.web.problem import ServiceError


@pytest.fixture
def management(make_app: Callable[..., Flask]) -> Management:
    return make_app().extensions["management"]  # type: ignore[no-any-return]


def test_the_life_of_a_version(management: Management, torchserve: FakeTorchServe) -> None:
    contract.check_life_of_a_version(management, torchserve.models.store, "1.0")


def test_a_model_of_its_own(management: Management, torchserve: FakeTorchServe) -> None:
    contract.check_a_model_of_its_own(management, torchserve.models.store)


def test_what_is_not_there(management: Management) -> None:
    contract.check_what_is_not_there(management)


def test_nothing_is_asked_to_be_waited_for(
    management: Management, torchserve: FakeTorchServe
) -> None:
    # TorchServe would do its waiting in a thread that takes captions too.
    contract.check_life_of_a_version(management, torchserve.models.store, "1.0")
    changes = [s.path for s in torchserve.seen if s.method in ("POST", "PUT")]
    long = [path for path in changes if "set-default" not in path]
    assert long
    assert all("synchronous=false" in path for path in long)
    assert all("initial_workers=0" in path for path in long if path.startswith("/models?"))


@pytest.mark.parametrize(
    ("status", "code", "type_", "message"),
    [
        (405, 405, "ModelApiOff", "enable_model_api=true"),
        (503, 503, "Busy", "too busy"),
        (400, 400, "InvalidOption", "(In Java's words)"),
        (500, 502, "ManagementFailed", "answered 500"),
        (507, 502, "ManagementFailed", "answered 507"),
    ],
)
@pytest.mark.parametrize("action", ["scale", "register"])
def test_every_status_becomes_a_sentence(
    management: Management,
    torchserve: FakeTorchServe,
    action: str,
    status: int,
    code: int,
    type_: str,
    message: str,
) -> None:
    body = {"code": status, "type": "SomeException", "message": "In Java's words"}
    torchserve.models.replies = [(status, body)]
    calls: dict[str, Callable[[], object]] = {
        "scale": lambda: management.scale("captioner", "1.0", 2),
        "register": lambda: management.register("second.mar"),
    }
    with pytest.raises(ServiceError) as caught:
        calls[action]()
    assert (caught.value.code, caught.value.type) == (code, type_)
    assert message in caught.value.message


@pytest.mark.parametrize("body", [None, [], {}, {"status": "Registered it."}, "text"])
def test_an_answer_of_another_shape_is_an_error(
    management: Management, torchserve: FakeTorchServe, body: object
) -> None:
    torchserve.models.replies = [(200, body)]
    with pytest.raises(ServiceError, match="could not be understood"):
        management.register("second.mar")


def test_versions_come_in_the_order_of_their_numbers(
    management: Management, torchserve: FakeTorchServe
) -> None:
    versions = torchserve.models.versions["captioner"]
    for name in ("1.10", "1.9", "1.9-beta", "2"):
        versions[name] = versions["1.0"]
    found = [one.version for one in management.versions("captioner")]
    assert found == ["1.0", "1.9-beta", "1.9", "1.10", "2"]


def test_what_is_known_is_asked_for_once_in_a_while(
    management: Management, torchserve: FakeTorchServe, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Known(management, "captioner")
    assert known.last() == []
    first = known.versions()
    asked = len(torchserve.seen)
    assert known.versions() is first
    assert len(torchserve.seen) == asked
    known.forget()
    assert known.versions() is not first
    asked = 0

    def away(model: str) -> None:
        nonlocal asked
        asked += 1
        raise Away("It cannot be reached.")

    monkeypatch.setattr(management, "versions", away)
    known.forget()
    for _ in range(2):
        with pytest.raises(Away):
            known.versions()
    assert asked == 1, "who waits for the answer of a TorchServe that is away waits once"
    assert [one.version for one in known.last()] == ["1.0"]
