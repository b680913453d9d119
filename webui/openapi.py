"""The specification of the whole API (OpenAPI 3.1), put together from the files in webui/spec."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "spec"
BASE = "base.yaml"  # info, security schemes, tags; the other files add paths and components


@cache
def specification() -> dict[str, Any]:
    """The whole document. It is shared: read it, do not change it.

    Raises ValueError when two files say the same thing.
    """
    whole = _load(FOLDER / BASE)
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != BASE:
            _merge(whole, _load(path), path.name)
    return whole


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _merge(whole: dict[str, Any], part: dict[str, Any], where: str) -> None:
    """Add the members of `part`, going down into objects that both have."""
    for name, value in part.items():
        if name not in whole:
            whole[name] = value
        elif isinstance(whole[name], dict) and isinstance(value, dict):
            _merge(whole[name], value, f"{where}: {name}")
        else:
            raise ValueError(f"{where}: {name} stands in another file already")
