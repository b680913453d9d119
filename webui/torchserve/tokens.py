"""TorchServe's keys, as its key_file.json holds them.

TorchServe makes new keys at each of its starts and rewrites the file in place, so that a reader may
meet half of it. The file is small and is read for every call: then it is never out of date, and
nothing has to be shared among threads.

The keys expire `token_expiration_min` (config.properties) after TorchServe's start. It accepts any
number of minutes up to Java's last moment, some 5e14; above that it does not start. A hundred years
are set: no process lives to see their end, not even one that starts on a machine whose clock stands
at 1970 until the network sets it. Where a configuration says less and the time is over, TorchServe
refuses the key that the file still holds: captions fail with `NoKey` and /readyz answers 503 until
TorchServe is restarted.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

Kind = Literal["inference", "management"]

READ_FOR_S = 1.0  # how long a half-written file is read again
READ_EVERY_S = 0.02


class KeysUnreadable(OSError):
    """The key file is absent, unreadable or stays broken."""


def read_key(path: Path, kind: Kind) -> str:
    """The key of this kind that the file at `path` holds now. Raises KeysUnreadable."""
    return _read(path, kind, "key")


def read_start(path: Path) -> str:
    """What tells one start of TorchServe from another. Raises KeysUnreadable.

    That is when the keys expire, to the nanosecond: always equally long after the start.
    """
    return _read(path, "management", "expiration time")


def _read(path: Path, kind: Kind, member: str) -> str:
    give_up = time.monotonic() + READ_FOR_S
    while True:
        try:
            return str(json.loads(path.read_bytes())[kind][member])
        except OSError as error:
            raise KeysUnreadable(f"{path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            if time.monotonic() >= give_up:
                raise KeysUnreadable(f"{path} holds no {kind} {member}: {error!r}") from error
        time.sleep(READ_EVERY_S)
