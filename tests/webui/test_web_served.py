"""How often TorchServe is asked for its versions."""

from __future__ import annotations

import pytest

from webui.errors import ServiceError
from webui.served import Served
from webui.torchserve import Version

VERSION = Version("1.0", default=True, ready=True)


class Asked:
    """Answers one more version each time, or raises when told to."""

    def __init__(self) -> None:
        self.count = 0
        self.broken = False

    def __call__(self) -> list[Version]:
        self.count += 1
        if self.broken:
            raise ServiceError("away")
        return [VERSION] * self.count


def test_an_answer_serves_for_a_while() -> None:
    asked = Asked()
    served = Served(asked, fresh_s=3600)
    assert served.versions() == served.versions() == [VERSION]
    assert asked.count == 1


def test_what_was_changed_is_asked_for_again() -> None:
    served = Served(Asked(), fresh_s=3600)
    served.versions()
    served.forget()
    assert len(served.versions()) == 2


def test_an_old_answer_is_not_given() -> None:
    served = Served(Asked(), fresh_s=0)
    served.versions()
    assert len(served.versions()) == 2


def test_an_error_is_not_remembered() -> None:
    asked = Asked()
    asked.broken = True
    served = Served(asked, fresh_s=3600)
    with pytest.raises(ServiceError):
        served.versions()
    asked.broken = False
    assert len(served.versions()) == 2
