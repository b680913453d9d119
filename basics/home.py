"""Where Captionize's own files are: beside the code of a clone, or where its wheel put them."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

ARCHIVE = "captioner.mar"
STORE = "model_store"
CONFIG = "config.properties"
CLONE = Path(__file__).resolve().parents[1]


def home() -> Path:
    """The folder of config.properties and model_store."""
    if (CLONE / CONFIG).is_file():
        return CLONE
    try:
        installed = importlib.metadata.files("captionize") or []
    except importlib.metadata.PackageNotFoundError:
        return CLONE
    found = (Path(str(file.locate())).resolve() for file in installed if file.name == CONFIG)
    return next((file.parent for file in found), CLONE)


def writable() -> Path:
    """The folder of what a service writes unless it is told where: home, or the user's own."""
    return CLONE if home() == CLONE else _users("XDG_STATE_HOME", ".local/state")


def shipped() -> Path:
    """The archive that captions where none is named.

    It is looked for in CAPTIONIZE_MODEL_STORE, if that is set; else in home's model_store and in
    the user's data folder.
    """
    if store := os.environ.get("CAPTIONIZE_MODEL_STORE"):
        return Path(store, ARCHIVE)
    places = (home() / STORE / ARCHIVE, _users("XDG_DATA_HOME", ".local/share") / ARCHIVE)
    return next((place for place in places if place.is_file()), places[0])


def _users(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default, "captionize")
