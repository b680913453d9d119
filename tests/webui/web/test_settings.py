"""Settings: where they come from, and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui import create_app
from webui.web.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("inference_url", "localhost:8080", "an address"),
        ("inference_url", "http://127.0.0.1:8080/predictions", "without a path"),
        ("inference_url", "http://:8080", "an address"),
        ("management_url", "ftp://127.0.0.1", "an address"),
        ("model_name", "token-thief", "'token'"),
        ("model_name", "../captioner", "letters"),
        ("timeout_s", "soon", "a number"),
        ("timeout_s", "0", "a number"),
        ("timeout_s", "nan", "a number"),
        ("max_upload_mb", -1, "a number"),
        ("port", 65536, "a whole number from 1 to 65535"),
        ("port", 8000.5, "a whole number"),
        ("proxies", 11, "from 0 to 10"),
        ("trusted_hosts", " , ", "at least one host"),
        ("trusted_hosts", 10, "at least one host"),
        ("cors_origins", "*", "origins such as"),
        ("cors_origins", "https://a.example/path", "origins such as"),
        ("picture_hosts", ",", "at least one host"),
        ("log_format", "xml", "json"),
        ("secret_key", "short", "at least 16"),
        ("rate_limit", "often", "600 per minute"),
        ("max_archive_mb", 0, "a number"),
        ("admin_token", "x" * 31, "at least 32 characters"),
        ("admin_token", "x y" * 20, "without spaces"),
        ("admin_password_hash", "secret", "hash-password"),
        ("admin_password_hash", "scrypt:32768:8:1", "hash-password"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_accepted(
    name: str, value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^CAPTIONIZE_{name.upper()}: expected .*{message}"):
        Settings.from_config({name.upper(): value})


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "INFERENCE_URL": "http://torchserve:8080/",
        "KEY_FILE": "keys/key_file.json",
        "TIMEOUT_S": "7.5",
        "TRUSTED_HOSTS": "captions.example, .example.org",
        "SECRET_KEY": "1234567890123456",  # digits: Flask reads a number
    }
    for name, value in values.items():
        monkeypatch.setenv(f"CAPTIONIZE_{name}", value)
    app = create_app({"MAX_UPLOAD_MB": 3})
    settings = app.extensions["settings"]
    assert settings.inference_url == "http://torchserve:8080"
    assert settings.key_file == Path("keys/key_file.json").absolute()
    assert settings.timeout_s == 7.5
    assert settings.trusted_hosts == ("captions.example", ".example.org")
    assert app.secret_key == "1234567890123456"
    assert settings.max_upload_bytes == 3 * 1024 * 1024


def test_an_empty_value_is_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPTIONIZE_TIMEOUT_S", "")
    monkeypatch.setenv("CAPTIONIZE_SECRET_KEY", "")
    settings = Settings.from_environment()
    assert settings.timeout_s == Settings.timeout_s
    assert len(settings.secret_key) == 64


def test_the_administrator_s_secrets_stay_out_of_texts() -> None:
    with pytest.raises(ValueError, match="single quotes") as caught:
        Settings(admin_password_hash="swordfish")
    assert "swordfish" not in str(caught.value)
    settings = Settings(admin_password_hash="scrypt:32768:8:1$salt$0123", admin_token="t" * 32)
    assert settings.administrator
    assert "salt" not in repr(settings)
    assert "ttt" not in repr(settings)


def test_a_secret_is_made_where_none_is_set_and_stays_out_of_the_text() -> None:
    first, second = Settings(), Settings()
    assert first.secret_key != second.secret_key
    assert first.secret_key not in repr(first)


@pytest.mark.parametrize("name", ["PORT", "METRICS_PORT", "INFERENCE_PORT"])
def test_addresses_of_services_that_kubernetes_sets_are_ignored(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"CAPTIONIZE_{name}", "tcp://10.96.0.12:8000")
    assert Settings.from_environment().port == 8000
