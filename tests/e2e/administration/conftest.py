"""Archives for the shared service, small ones that start fast."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.client import COFFEE
from tests.e2e.conftest import Service
from tests.webui.fake_management import write_archive
from tests.webui.fake_torchserve import ANSWER

CARD = json.dumps(
    {
        "description": "Says the same of every picture.",
        "encoder": "drawn",
        "decoder": "none",
        "date": "2026-01-01",
        "scores": {"cider": 0.5, "bleu_4": 0.25},
    }
)
# A worker of this starts faster than a captioner, and shows what it sees of the environment.
HANDLER = """
import json, os
ANSWER = json.loads({answer!r})
ANSWER["model"]["version"] = {version!r}
ANSWER["caption"] = " ".join(sorted(name for name in os.environ if name.startswith("CAPTIONIZE_")))
def handle(data, context): return data and [json.dumps(ANSWER)] * len(data)
"""
BROKEN = "raise OSError('no weights')\n"


def archive(path: Path, version: str) -> Path:
    code = HANDLER.format(answer=json.dumps(ANSWER), version=version)
    return write_archive(path, version=version, code=code, model_card__json=CARD)


@pytest.fixture(scope="module")
def archives(store: Path) -> Iterator[None]:
    """In the model store: a second version, and one that cannot start."""
    archive(store / "second.mar", "5.0")
    write_archive(store / "broken.mar", version="4.0", code=BROKEN)
    yield
    for name in ("second.mar", "broken.mar"):
        (store / name).unlink()


def caption(service: Service) -> requests.Response:
    files = {"image": ("p.jpg", COFFEE)}
    return requests.post(f"{service.page_url}/api/captions", files=files, timeout=60)
