"""The administrator's command line: what it needs no service for, and what it says without one."""

from __future__ import annotations

import io

import pytest
from werkzeug.security import check_password_hash

from tests.webui.administration import TOKEN
from webui import admin
from webui.web.settings import HASH


def test_a_password_is_hashed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("quiet harbour\n"))
    assert admin.main(["hash-password"]) == 0
    printed = capsys.readouterr().out.strip()
    assert HASH.fullmatch(printed)
    assert printed.startswith("scrypt:")
    assert check_password_hash(printed, "quiet harbour")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (["short", "short"], "at least 10 characters, got 5"),
        (["quiet harbour", "quiet harbor"], "differ"),
    ],
)
def test_a_password_that_will_not_do(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(admin.getpass, "getpass", lambda _: answers.pop(0))
    assert admin.main(["hash-password"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


def test_it_wants_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CAPTIONIZE_ADMIN_TOKEN", raising=False)
    assert admin.main(["models"]) == 1
    assert "CAPTIONIZE_ADMIN_TOKEN" in capsys.readouterr().err


def test_it_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPTIONIZE_ADMIN_TOKEN", TOKEN)
    assert admin.main(["--url", "http://127.0.0.1:1/", "models"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "cannot be reached at http://127.0.0.1:1 " in printed.err
    assert TOKEN not in printed.err


@pytest.mark.parametrize("arguments", [[], ["conquer"], ["scale", "captioner", "1.0", "many"]])
def test_a_wrong_command_is_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        admin.main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m webui.admin" in capsys.readouterr().err
