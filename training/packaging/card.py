"""The model card: what a model is, where it comes from, how good it is and what it cannot do."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from training.model.encoders import encoder_spec
from training.packaging.label import Label
from training.trainer.checkpoint import Checkpoint

LIMITS = [
    "It describes photographs of everyday scenes in English; drawings, screenshots, charts and "
    "scanned text are outside what it has seen, and it will describe them wrongly.",
    "It counts badly, names no people or places, and reads no text in pictures.",
    "It repeats the habits and biases of the people who wrote its training captions, for instance "
    "in guessing gender or age. Have a person check what matters.",
]
TAGS = (
    "The things that the encoder's ImageNet classifier sees, by plain words: of its thousand "
    "classes alone, without people, and as parts of 1 (two things in a picture share it)."
)
UNCALIBRATED = "the geometric mean of the probabilities of a caption's words and of its end"


def build_card(trained: Checkpoint, label: Label, scores: dict[str, Any] | None) -> dict[str, Any]:
    """The card of a trained model, which travels in its archive as ``model_card.json``.

    Args:
        scores: what ``training.evaluate`` wrote, if it was run.
    """
    config = trained.config
    captioner = trained.captioner
    position = trained.training["position"]
    confidence = trained.training.get("calibration", {"meaning": UNCALIBRATED})
    return {
        "name": label.name,
        "version": label.version,
        "description": "Describes a photo in one English sentence.",
        "encoder": config.encoder,
        "encoder_weights": encoder_spec(config.encoder).weights,
        "decoder": config.decoder,
        "parameters": sum(p.numel() for p in captioner.parameters()),
        "vocabulary_size": len(trained.vocabulary),
        "image_size": captioner.image_size,
        "training_data": label.data_name,
        "pictures": trained.training["pictures"],
        "command": config.command_line(),
        "epochs": position["total_epochs"],
        "training_seconds": round(position["seconds"]),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "scores": scores,
        "confidence": confidence,
        **({"trust": confidence["trust"]} if "trust" in confidence else {}),
        **({"tags": TAGS} if captioner.tagger.count else {}),
        "limits": LIMITS,
        "licence": "Apache-2.0; the training pictures and captions are not included",
        "configuration": dataclasses.asdict(config),
    }
