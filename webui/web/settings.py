"""What an operator can change: the one reader of the CAPTIONIZE_* variables, for every program.

The launcher, the page, its server and `webui.admin` all read them here, so that a
variable means the same to each, and so that a default stands in one place.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flask import Config
from limits import parse_many

from basics import home
from webui.web import keys
from webui.web.names import RULE, is_name

ROOT = home.home()  # what is read lies in
PREFIX = "CAPTIONIZE"
MEBIBYTE = 1024 * 1024
LOOPBACK = ("localhost", "127.0.0.1")
# What a request may hold beside its picture. Werkzeug also holds each chunk of a file, 64 KiB and a
# few bytes that could be a boundary, against it: with 64 KiB some pictures would be refused.
FORM_BYTES = 128 * 1024
HASH = re.compile(r"(scrypt|pbkdf2):[0-9a-z:]+\$[^$\s]+\$[0-9a-f]+")
TOKEN = re.compile(r"[!-~]{32,}")
URL = re.compile(r"https?://([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")
SERVICE = re.compile(r"(tcp|udp|sctp)://")
REDIS = re.compile(r"rediss?://[^\s/]+(/\S*)?|unix:///\S+")
# Where TorchServe listens, by its configuration key, unless a variable or config.properties says
# otherwise. The page's *_URL settings are the same addresses.
TORCHSERVE_LISTENERS = {
    "inference_address": "http://127.0.0.1:8080",
    "management_address": "http://127.0.0.1:8081",
    "metrics_address": "http://127.0.0.1:8082",
    "grpc_inference_port": "7070",
    "grpc_management_port": "7071",
}


def _setting(default: Any, read: Callable[[Any], Any], accepted: str, **more: Any) -> Any:
    """A field whose value `read` makes of what was given, or refuses with a ValueError."""
    return field(default=default, metadata={"read": read, "accepted": accepted}, **more)


def _number(default: float | None, low: float, high: float) -> Any:
    """A field for a number from `low` to `high`, whole where these are."""

    def read(value: Any) -> float:
        number = type(low)(str(value))
        if not low <= number <= high:
            raise ValueError(number)
        return number

    whole = "whole " if isinstance(low, int) else ""
    return _setting(default, read, f"a {whole}number from {low} to {high:g}")


def _port(default: int | None = None) -> Any:
    return _number(default, 1, 65535)


def _text(
    default: str, accepts: Callable[[str], object], accepted: str, *, strip: str = "", **more: Any
) -> Any:
    """A field for a text that `accepts` takes, without the characters `strip` at its end."""

    def read(value: Any) -> str:
        text = str(value).rstrip(strip)
        if not accepts(text):
            raise ValueError(text)
        return text

    return _setting(default, read, accepted, **more)


def _url(key: str) -> Any:
    """A field for the address of one of TorchServe's listeners."""
    default = TORCHSERVE_LISTENERS[key]
    return _text(default, URL.fullmatch, f"an address such as {default}, without a path", strip="/")


def _path(default: Path) -> Any:
    return _setting(default, lambda value: Path(value).absolute(), "a path")


def _address(value: Any) -> str:
    """An address to listen at; one of version 6 may come in the brackets of a URL."""
    return str(value).removeprefix("[").removesuffix("]")


def _names(value: Any) -> tuple[str, ...]:
    """Names from a list, or from a text with commas between them. Raises ValueError for none."""
    names = value.split(",") if isinstance(value, str) else value
    if found := tuple(str(name).strip() for name in names if str(name).strip()):
        return found
    raise ValueError(value)


def _hosts(value: Any) -> tuple[str, ...]:
    """Names of hosts, which ignore case. Raises ValueError for none."""
    return tuple(name.lower() for name in _names(value))


def _origins(value: Any) -> tuple[str, ...]:
    """Origins as browsers send them. Raises ValueError for anything else."""
    found = _hosts(value)
    if not all(map(URL.fullmatch, found)):
        raise ValueError(value)
    return found


@dataclass(frozen=True)
class Settings:
    """What can be set. Each field is the environment variable CAPTIONIZE_<NAME>.

    Raises ValueError with the variable's name, what came and what is accepted. Secrets are the
    fields that do not appear in its text (`repr=False`).
    """

    host: str = _setting("127.0.0.1", _address, "an address")  # where the page listens
    port: int = _port(8000)
    # Where TorchServe listens, and its workers for each model; None: as config.properties says.
    inference_port: int | None = _port()
    management_port: int | None = _port()
    metrics_port: int | None = _port()
    grpc_inference_port: int | None = _port()
    grpc_management_port: int | None = _port()
    workers: int | None = _number(None, 1, 64)
    run_dir: Path = _path(home.writable() / "run")  # logs, keys and temporary files
    model_store: Path = _path(ROOT / home.STORE)  # the folder that TorchServe loads archives from

    inference_url: str = _url("inference_address")  # as the page sees it
    management_url: str = _url("management_address")
    key_file: Path = _path(
        home.writable() / "run/key_file.json"
    )  # TorchServe writes it in its working directory
    model_name: str = _text("captioner", is_name, RULE)  # the model that captions
    connect_timeout_s: float = _number(2.0, 0.001, 3600.0)  # to open a connection to TorchServe
    timeout_s: float = _number(30.0, 0.001, 3600.0)  # for a caption; TorchServe then drops the job
    max_upload_mb: float = _number(16.0, 0.001, 3600.0)  # largest picture, in MiB
    max_archive_mb: float = _number(1024.0, 0.001, 65536.0)  # largest archive to upload, in MiB
    max_zip_mb: float = _number(256.0, 0.001, 4096.0)  # pictures to write captions into, in MiB
    rate_limit: str = _text("600 per minute", parse_many, "a rate such as '600 per minute'")
    trusted_hosts: tuple[str, ...] = _setting(  # names it answers to, beside the machine's own
        LOOPBACK, _hosts, "at least one host name"
    )
    admin_password_hash: str = _text(  # werkzeug's; empty: no password
        "",
        HASH.fullmatch,
        "what `python -m webui.admin hash-password` prints (in single quotes, for its $ signs)",
        repr=False,
    )
    admin_token: str = _text(  # for scripts; empty: none
        "", TOKEN.fullmatch, "at least 32 characters, printable ASCII without spaces", repr=False
    )
    # Of programs; none: everybody may ask for captions.
    api_keys: tuple[keys.Key, ...] = _setting((), keys.parse, keys.ACCEPTED, repr=False)
    cors_origins: tuple[str, ...] = _setting(  # sites whose scripts may ask for captions
        (), _origins, "origins such as https://photos.example, with commas between them"
    )
    picture_hosts: tuple[str, ...] = _setting(  # that pictures are fetched from
        (), _hosts, "at least one host name"
    )
    state_dir: str = ""  # a folder for what must last; empty: that of the audit log
    audit_log: str = ""  # a file, one JSON object a line; empty: in state_dir
    model_log: str = ""  # where TorchServe writes the workers' output; empty: nowhere
    log_format: str = _text("json", ("json", "text").__contains__, "json or text")
    proxies: int = _number(0, 0, 10)  # reverse proxies in front whose X-Forwarded-* are believed
    # Signs cookies; empty: a new one at every start.
    secret_key: str = _text("", lambda key: len(key) >= 16, "at least 16 characters", repr=False)
    # Of several pages; empty: this page is the only one. It may hold a password.
    shared_store: str = _text(
        "", REDIS.fullmatch, "an address such as redis://host:6379/0", repr=False
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value, read = getattr(self, option.name), option.metadata.get("read", str)
            try:
                value = value if value == option.default else read(value)
            except (TypeError, ValueError):
                accepted = option.metadata["accepted"]
                came = repr(value) if option.repr else f"{len(str(value))} characters"
                message = f"{variable(option.name)}: expected {accepted}, got {came}"
                raise ValueError(message) from None
            object.__setattr__(self, option.name, value)
        if self.shared_store and not self.secret_key:
            raise ValueError(
                f"{variable('secret_key')}: expected the same secret of at least 16 characters at "
                f"every page, because {variable('shared_store')} is set, got none"
            )
        if not self.secret_key:
            object.__setattr__(self, "secret_key", secrets.token_hex(32))

    @property
    def max_upload_bytes(self) -> int:
        """Largest picture in bytes."""
        return int(self.max_upload_mb * MEBIBYTE)

    @property
    def max_body_bytes(self) -> int:
        """Largest request in bytes that has pictures in base64, and some text around them."""
        return self.max_upload_bytes * 4 // 3 + FORM_BYTES

    @property
    def max_archive_bytes(self) -> int:
        """Largest archive in bytes."""
        return int(self.max_archive_mb * MEBIBYTE)

    @property
    def audit_file(self) -> Path | None:
        """The audit log's file; None: the process's log alone."""
        if self.audit_log or self.state_dir:
            return Path(self.audit_log or Path(self.state_dir, "audit.jsonl")).absolute()
        return None

    @property
    def state_file(self) -> Path | None:
        """Where what is to be served is kept; None: in memory alone."""
        file = self.audit_file
        return Path(self.state_dir or file.parent, "desired.json").absolute() if file else None

    @property
    def open_to_all(self) -> str:
        """What to warn of where anybody in a network may ask for captions; else empty."""
        local = self.host in (*LOOPBACK, "::1") or self.host.startswith("127.")
        if local or self.api_keys:
            return ""
        return (
            f"The page listens at {self.host}, and whoever reaches it may ask for captions. To let "
            "in programs by key alone, set CAPTIONIZE_API_KEYS: captionize admin make-key NAME."
        )

    @property
    def administrator(self) -> bool:
        """Whether anybody can be the administrator."""
        return bool(self.admin_password_hash or self.admin_token)

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the CAPTIONIZE_* variables, as the application does."""
        config = Config(".")
        config.from_prefixed_env(PREFIX)
        return cls.from_config(config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Take this class's fields out of a Flask configuration (upper-case keys).

        An empty value counts as not set: that is what compose.yaml passes on for `${NAME:-}`. So
        does the address of a Service, which Kubernetes puts into CAPTIONIZE_PORT and the like.
        """
        given = {option.name: config.get(option.name.upper()) for option in fields(cls)}
        for name, value in given.items():
            if name.endswith("port") and SERVICE.match(str(value)):
                given[name] = None
        return cls(**{name: value for name, value in given.items() if value not in (None, "")})


def variable(name: str) -> str:
    """The environment variable of the field `name`."""
    return f"{PREFIX}_{name.upper()}"
