"""What an operator can change, read once from the environment and checked at the start."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Config
from limits import parse_many

PREFIX = "CAPTIONIZE"
MEBIBYTE = 1024 * 1024
TOKEN_LENGTH = 32
TOKEN = re.compile(rf"[!-~]{{{TOKEN_LENGTH},}}")
HASH = re.compile(r"(scrypt|pbkdf2):[0-9a-z:]+\$[^$\s]+\$[0-9a-f]+")
LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Settings:
    """The page's settings. Each is the environment variable CAPTIONIZE_<NAME>.

    Raises ValueError with the variable's name, what came and what is accepted.
    """

    inference_url: str = "http://127.0.0.1:8080"  # TorchServe's inference address
    management_url: str = "http://127.0.0.1:8081"  # TorchServe's management address
    metrics_url: str = "http://127.0.0.1:8082"  # TorchServe's metrics address
    key_file: Path = Path("run/key_file.json")  # written by TorchServe in its working directory
    model_name: str = "captioner"  # the model that captions
    connect_timeout_s: float = 2.0  # seconds to open a connection to TorchServe
    timeout_s: float = 30.0  # seconds to wait for a caption; TorchServe drops the job soon after
    max_upload_mb: float = 16.0  # largest picture, in MiB
    rate_limit: str = "600 per minute"  # uploads per client address
    trusted_hosts: tuple[str, ...] = LOOPBACK  # names it answers to, beside the machine's own
    model_store: Path = Path("model_store")  # the folder that TorchServe loads archives from
    max_archive_mb: float = 512.0  # largest archive that may be uploaded, in MiB
    admin_password_hash: str = field(default="", repr=False)  # werkzeug's; empty: no password
    admin_token: str = field(default="", repr=False)  # for scripts; empty: none
    audit_log: str = ""  # a file, one JSON object a line; empty: the process's log alone
    model_log: str = ""  # where TorchServe writes what the workers say; empty: not to be had
    log_format: str = "json"  # how gunicorn's process logs: json or text
    proxies: int = 0  # reverse proxies in front whose X-Forwarded-* headers are believed
    secret_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)

    def __post_init__(self) -> None:
        for name in ("inference_url", "management_url", "metrics_url"):
            self._check_url(name, getattr(self, name))
        # TorchServe routes any management path that contains "/token" to its token API.
        if not re.fullmatch(r"(?!token)[A-Za-z0-9][A-Za-z0-9._-]*", self.model_name):
            raise _problem(
                "model_name",
                self.model_name,
                "letters, digits, '.', '_' and '-', not beginning with 'token'",
            )
        for name in ("connect_timeout_s", "timeout_s", "max_upload_mb"):
            if not 0 < getattr(self, name) <= 3600:
                raise _problem(name, getattr(self, name), "a number above 0 and at most 3600")
        if not 0 < self.max_archive_mb <= 65536:
            raise _problem("max_archive_mb", self.max_archive_mb, "a number above 0, up to 65536")
        if self.admin_password_hash and not HASH.fullmatch(self.admin_password_hash):
            raise _problem(
                "admin_password_hash",
                "something else (a shell may have taken its $ signs: use single quotes)",
                "what `python -m webui.admin hash-password` prints",
            )
        if self.admin_token and not TOKEN.fullmatch(self.admin_token):
            raise _problem(
                "admin_token",
                f"{len(self.admin_token)} characters",
                f"at least {TOKEN_LENGTH} characters, printable ASCII without spaces",
            )
        if not 0 <= self.proxies <= 10:
            raise _problem("proxies", self.proxies, "a whole number from 0 to 10")
        if self.log_format not in ("json", "text"):
            raise _problem("log_format", self.log_format, "json or text")
        if not self.trusted_hosts:
            raise _problem("trusted_hosts", "nothing", "at least one host name")
        if len(self.secret_key) < 16:
            raise _problem("secret_key", "a shorter one", "at least 16 characters")
        try:
            parse_many(self.rate_limit)
        except ValueError as error:
            raise _problem("rate_limit", self.rate_limit, "such as '600 per minute'") from error

    @property
    def max_upload_bytes(self) -> int:
        """Largest picture in bytes."""
        return int(self.max_upload_mb * MEBIBYTE)

    @property
    def max_archive_bytes(self) -> int:
        """Largest archive in bytes."""
        return int(self.max_archive_mb * MEBIBYTE)

    @property
    def administrator(self) -> bool:
        """Whether anybody can be the administrator."""
        return bool(self.admin_password_hash or self.admin_token)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the CAPTIONIZE_* variables as the application does."""
        config = Config(".")
        config.from_prefixed_env(PREFIX)
        return cls.from_config(config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Take this class's fields out of a Flask configuration (upper-case keys)."""
        known = {name: config.get(name.upper()) for name in (f.name for f in fields(cls))}
        return cls(**{name: _convert(name, v) for name, v in known.items() if v is not None})

    @staticmethod
    def _check_url(name: str, value: str) -> None:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise _problem(name, value, "an address such as http://127.0.0.1:8080, without a path")


def _convert(name: str, value: Any) -> Any:
    """Turn a configuration value into the type of the field `name`."""
    kind = type(_DEFAULTS[name])
    try:
        if kind is tuple:
            names = value.split(",") if isinstance(value, str) else value
            return tuple(str(host).strip() for host in names if str(host).strip())
        converted = kind(value)
    except (TypeError, ValueError) as error:
        raise _problem(name, value, f"a value of type {kind.__name__}") from error
    return converted.rstrip("/") if name.endswith("_url") else converted


def _problem(name: str, came: object, accepted: str) -> ValueError:
    return ValueError(f"{PREFIX}_{name.upper()}: expected {accepted}, got {came!r}")


_DEFAULTS: dict[str, Any] = vars(Settings())
