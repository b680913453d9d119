"""What the launcher says about TorchServe, for the page: a small file beside TorchServe's keys.

A page whose TorchServe nobody supervises finds none.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

NAME = "torchserve.json"
START_S = 10  # about what a start takes
REPEATED = 3  # failures in a row, from which on the page says that it may not come up


@dataclass(frozen=True)
class Report:
    """How TorchServe is; the log's lines may hold paths, and are for the administrator alone."""

    state: Literal["running", "starting", "stopped"]
    starts: int  # since the launcher's own
    failures: int = 0  # in a row
    reason: str = ""  # of the last failure
    again_at: float = 0.0  # of the next try, in seconds since the epoch; 0: it is under way
    log: list[str] = field(default_factory=list)  # the last lines before the last failure

    @classmethod
    def read(cls, key_file: Path) -> Report | None:
        """The report beside the keys, None where there is none."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(key_file.with_name(NAME).read_bytes()))
        return None

    def write(self, key_file: Path) -> None:
        """Put it beside the keys, as a whole. Raises OSError."""
        new = key_file.with_name(f"{NAME}.new")
        new.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(new, key_file.with_name(NAME))

    @property
    def wait_s(self) -> int:
        """Seconds after which it is worth asking again."""
        if self.state == "stopped":
            return START_S
        waiting = max(0, math.ceil(self.again_at - time.time())) if self.again_at else 0
        return waiting + (START_S if waiting else 3)

    @property
    def sentence(self) -> str:
        """What anybody may know."""
        if self.state == "stopped":
            return (
                "The captioning service was stopped. Try again in a minute; if it stays away, its "
                "operator has to start it."
            )
        if self.failures < REPEATED:
            return (
                "The captioning service stopped and is being started again, which takes about "
                f"{START_S} s. Try again then."
            )
        return (
            f"The captioning service stopped {self.failures} times in a row and is being started "
            "again. Try again in a minute; its operator finds the reason on the operations page."
        )
