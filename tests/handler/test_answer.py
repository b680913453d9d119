"""What an answer says beside its sentences: tags, and how far each sentence can be trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ts.context import Context

from handler.caption_handler import CaptionHandler
from handler.captioner import Trust
from tests.handler.conftest import CARD, ToyCaptioner

TRUST = {"trust": {"right": 0.85, "check": 0.75}}  # the toy's confidences are 0.9, 0.8 and 0.7
ORANGE = "#cc4d19"  # 0.8 red, 0.3 green and 0.098 blue

Answer = Callable[[torch.nn.Module, dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]


class Calibration(torch.nn.Module):
    """As much of the real one as the handler looks at."""

    def __init__(self, fitted: bool) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(float(fitted)))


class ModernCaptioner(torch.nn.Module):
    """The toy with a calibration and with tags: the colours by their strength, then <PAD>."""

    def __init__(self, fitted: bool = True) -> None:
        super().__init__()
        self.toy = ToyCaptioner()
        self.calibration = Calibration(fitted)
        self.image_size = self.toy.image_size
        self.grid_rows = self.toy.grid_rows
        self.grid_columns = self.toy.grid_columns
        self.vocab_size = self.toy.vocab_size

    def forward(
        self,
        images: torch.Tensor,
        beam_size: int,
        max_length: int,
        with_attention: bool,
        num_captions: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        tokens, log_probs, attention, confidence = self.toy(
            images, beam_size, max_length, with_attention, num_captions
        )
        strength, colours = images.float().div(255).mean(dim=[2, 3]).topk(3)
        pad = torch.zeros(len(images), 1)
        tags, probabilities = (
            torch.cat([6 + colours, pad.long()], 1),
            torch.cat([strength, pad + 1], 1),
        )
        return tokens, log_probs, attention, confidence, tags, probabilities


@pytest.fixture
def answer(
    make_context: Callable[..., Context],
    model_dir: Path,
    draw: Callable[..., bytes],
    tmp_path: Path,
) -> Answer:
    """The answer to an orange picture by a module with this in its card, and the description."""

    def ask(module: torch.nn.Module, card: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        folder = shutil.copytree(model_dir, tmp_path / "archive")
        torch.jit.script(module.eval()).save(str(folder / "captioner.pt"))
        (folder / "model_card.json").write_text(json.dumps({**CARD, **card}))
        context = make_context()
        context.system_properties["model_dir"] = str(folder)
        handler = CaptionHandler()
        handler.initialize(context)
        [found] = handler.predict([handler.decode({"data": draw(ORANGE)}, {})])
        assert isinstance(found, dict)
        return found, handler.description

    return ask


def trusts(answer: dict[str, Any]) -> list[str | None]:
    return [caption.get("trust") for caption in answer["captions"]]


def test_tags_and_trust(answer: Answer) -> None:
    found, description = answer(ModernCaptioner(), TRUST)
    assert found["tags"] == [
        {"word": "red", "probability": pytest.approx(0.8, abs=1e-3)},
        {"word": "green", "probability": pytest.approx(0.302, abs=1e-3)},
    ]
    assert trusts(found) == ["right", "check", "unknown"]
    assert list(found) == ["caption", "captions", "image", "tags", "model"]
    assert description["trust"] == TRUST["trust"]
    assert description["calibrated"] is True


def test_a_confidence_without_thresholds_has_no_trust(answer: Answer) -> None:
    found, _ = answer(ModernCaptioner(), {})
    assert trusts(found) == [None] * 3
    assert "calibrated" not in found


def test_a_confidence_that_was_never_fitted_has_no_trust(answer: Answer) -> None:
    found, description = answer(ModernCaptioner(fitted=False), TRUST)
    assert trusts(found) == [None] * 3
    assert found["calibrated"] is False
    assert found["tags"]
    assert description["calibrated"] is False


def test_a_module_without_tags_and_calibration(answer: Answer) -> None:
    found, _ = answer(ToyCaptioner(), TRUST)
    assert found["tags"] == []
    assert found["calibrated"] is False
    assert trusts(found) == [None] * 3


@pytest.mark.parametrize(
    ("confidence", "level"),
    [(1.0, "right"), (0.62, "right"), (0.61, "check"), (0.05, "check"), (0.04, "unknown")],
)
def test_trust_begins_at_its_thresholds(confidence: float, level: str) -> None:
    assert Trust(right=0.62, check=0.05).level(confidence) == level
