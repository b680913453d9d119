"""The archive that this repository ships, and what it says of itself."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

ARCHIVE = Path(__file__).resolve().parents[1] / "model_store" / "captioner.mar"

with zipfile.ZipFile(ARCHIVE) as _file:
    VERSION: str = json.loads(_file.read("MAR-INF/MANIFEST.json"))["model"]["modelVersion"]
