"""Pictures as serving decodes them, and cached features of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handler.decode import decode


def read_picture(path: Path, image_size: int) -> Tensor:
    """Decode a file to uint8 ``[3, S, S]`` exactly as serving does; raises ``PictureError``."""
    return decode(path.read_bytes(), image_size).pixels


class FeatureStore:
    """Features of many pictures by file name: float16 ``[G, D]`` for each of ``views`` views."""

    def __init__(self, path: Path) -> None:
        self.array = np.load(path, mmap_mode="r")  # (N, views, G, D)
        index = json.loads(index_path(path).read_text(encoding="utf-8"))
        self.rows: dict[str, int] = {name: row for row, name in enumerate(index["names"])}
        self.unreadable: dict[str, str] = index["unreadable"]
        self.views: int = self.array.shape[1]

    def get(self, name: str, view: int = 0) -> Tensor:
        """Features of the picture ``name``, float16 ``[G, D]``; ``KeyError`` if it has none."""
        return torch.from_numpy(np.array(self.array[self.rows[name], view]))


def index_path(path: Path) -> Path:
    return path.with_suffix(".json")
