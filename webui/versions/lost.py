"""Wanted versions that could not be brought back: at this page's TorchServe, and at the others'."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from webui.web.shared import Redis, Shared, StoreAway

EVERY_S = 5.0
LIFE_S = 30.0  # after which a page's last word is no news
KEY, MOST = "lost", 200  # what pages say, the newest first


class Lost:
    """Tells the other pages what is lost here, and knows what is lost there.

    Args:
        page: this page's name, which others show.
        here: by model and version, why it is lost; whoever brings versions back fills it.
    """

    def __init__(self, page: str, here: Mapping[tuple[str, str], str], shared: Shared) -> None:
        self._page, self._here, self._shared = page, here, shared
        self._not_before = 0.0
        self._told = False

    def tell(self) -> None:
        """Let other pages know, where there may be some; to be called as often as one likes."""
        if not isinstance(self._shared, Redis) or time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + EVERY_S
        if self._here or self._told:
            said = {"page": self._page, "time": time.time(), "lost": self._rows()}
            with suppress(StoreAway):
                self._shared.push(KEY, json.dumps(said), MOST)
                self._told = bool(self._here)

    def everywhere(self) -> list[dict[str, Any]]:
        """Model, version and message of each, those of this page first."""
        newest: dict[str, Any] = {self._page: None}
        with suppress(StoreAway):
            for text in self._shared.listed(KEY):
                said = json.loads(text)
                fresh = said["time"] > time.time() - LIFE_S
                newest.setdefault(said["page"], said if fresh else None)
        others = [
            {**row, "message": f"At {page}: {row['message']}"}
            for page, said in sorted(newest.items())
            for row in (said["lost"] if said else ())
        ]
        return [*self._rows(), *others]

    def _rows(self) -> list[dict[str, Any]]:
        found = sorted(dict(self._here).items())
        return [{"model": m, "version": v, "message": message} for (m, v), message in found]
