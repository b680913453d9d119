"""The administrator's command line, as far as it needs no running service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import click
import pytest
from click.testing import CliRunner, Result
from werkzeug.security import check_password_hash

from tests.webui.administration import TOKEN
from webui import admin
from webui.web.settings import HASH

PASSWORD = "quiet harbour"


@contextlib.contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """The address of a server that answers everything with this."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing on the tests' own output."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        thread.join()


def run(*arguments: str, stdin: str = "", **environ: str | None) -> Result:
    return CliRunner(env=environ).invoke(admin.cli, arguments, stdin)


def test_a_password_is_hashed() -> None:
    result = run("hash-password", stdin=f"{PASSWORD}\n")
    assert result.exit_code == 0
    printed = result.stdout.strip()
    assert HASH.fullmatch(printed)
    assert printed.startswith("scrypt:")
    assert check_password_hash(printed, PASSWORD)


def test_a_hash_can_be_made_while_the_one_that_is_set_is_wrong() -> None:
    result = run("hash-password", stdin=PASSWORD, CAPTIONIZE_ADMIN_PASSWORD_HASH="cut short")
    assert result.exit_code == 0


def test_a_short_password() -> None:
    result = run("hash-password", stdin="short\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "10 characters" in result.stderr


def test_on_a_terminal_the_password_is_asked_for_until_it_is_the_same_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [PASSWORD, "quiet harbor", PASSWORD, PASSWORD]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda _: answers.pop(0))
    with pytest.raises(SystemExit) as caught:
        admin.main(["hash-password"])
    assert caught.value.code == 0
    assert answers == []
    printed = capsys.readouterr()
    assert check_password_hash(printed.out.strip(), PASSWORD)  # nothing else: for $(...) in shells
    assert PASSWORD not in printed.err


def test_it_requires_the_token() -> None:
    result = run("models", CAPTIONIZE_ADMIN_TOKEN=None)
    assert result.exit_code == 1
    assert "CAPTIONIZE_ADMIN_TOKEN" in result.stderr
    assert run("models", "--help", CAPTIONIZE_ADMIN_TOKEN=None).exit_code == 0


def test_where_it_could_not_reach_the_page() -> None:
    result = run("--url", "http://127.0.0.1:1/", "models", CAPTIONIZE_ADMIN_TOKEN=TOKEN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "http://127.0.0.1:1 " in result.stderr
    assert TOKEN not in result.stderr


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, '{"message": "captioner 9.0 is not registered."}', "captioner 9.0 is not"),
        (502, "<html>", "answered 502"),
        (500, "", "answered 500"),
        (200, "<html>", "answered 200"),
    ],
)
def test_what_the_page_refuses_is_printed(status: int, body: str, message: str) -> None:
    with answering(status, body.encode()) as url:
        result = run("--url", url, "rollback", "captioner", CAPTIONIZE_ADMIN_TOKEN=TOKEN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_without_an_address_it_is_the_port_that_the_page_listens_at() -> None:
    result = run("models", CAPTIONIZE_ADMIN_TOKEN=TOKEN, CAPTIONIZE_PORT="2")
    assert "http://127.0.0.1:2 " in result.stderr


@pytest.mark.parametrize("arguments", [[], ["conquer"], ["scale", "captioner", "1.0", "many"]])
def test_a_wrong_command_is_explained(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        admin.main(arguments)
    assert caught.value.code == 2
    assert "Usage: python -m webui.admin" in capsys.readouterr().err


def test_the_help_shows_defaults() -> None:
    assert "8000" in run("--help").stdout
    assert "[default: 0.1]" in run("canary", "--help").stdout
