"""The models that TorchServe will load at the start."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path


def loaded(named: Sequence[str], archives: Sequence[Path]) -> list[str]:
    """The names under which these archives are served, given or their own, sorted."""
    return sorted({*named, *map(_model_in, archives)}) if archives else []


def _model_in(archive: Path) -> str:
    """The name that an archive gives its model; TorchServe takes the file's where it gives none."""
    try:
        with zipfile.ZipFile(archive) as file:
            manifest = json.loads(file.read("MAR-INF/MANIFEST.json"))
        return str(manifest["model"]["modelName"])
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile):
        return archive.stem
