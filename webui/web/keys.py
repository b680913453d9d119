"""The keys that programs bear: their names, and the hashes that stand for them in the settings.

A key is 32 random bytes, which nobody finds by trying. So one round of SHA-256 keeps it as well as
a slow hash keeps a password, and costs a request nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from limits import parse_many

from webui.web.names import is_name

DIGEST = re.compile(r"[0-9a-f]{64}")
ACCEPTED = "NAME:HASH, as `captionize admin make-key NAME` prints it, and more after commas"


@dataclass(frozen=True)
class Key:
    """One key: its name, its SHA-256 in hexadecimal, and its own rate; "" is everybody's."""

    name: str
    digest: str
    rate: str = ""


def digest(key: str) -> str:
    """What stands for a key in the settings."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def make() -> str:
    """A new key."""
    return f"cap_{secrets.token_urlsafe(32)}"


def parse(value: Any) -> tuple[Key, ...]:
    """NAME:HASH[:RATE], with commas between them. Raises ValueError."""
    entries = value.split(",") if isinstance(value, str) else value
    found = tuple(_key(entry.strip()) for entry in entries)
    if len({one.name for one in found}) < len(found):
        raise ValueError(value)
    return found


def _key(entry: str) -> Key:
    name, hashed, rate = (*entry.split(":", 2), "", "")[:3]
    if not is_name(name) or not DIGEST.fullmatch(hashed):
        raise ValueError(entry)
    if rate:
        parse_many(rate)
    return Key(name, hashed, rate)


def find(keys: Iterable[Key], given: str) -> Key | None:
    """The key that was given; all are compared, so that the time tells nothing."""
    hashed = digest(given)
    matching = [one for one in keys if hmac.compare_digest(one.digest, hashed)]
    return matching[0] if matching else None
