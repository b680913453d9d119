"""What ``transformers`` answers about tiny models: ``python -m tests.training.adoption.golden``.

Run it, to write golden.json again, with a new version of transformers or after a change of
published.py.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.training.adoption import published
from training.adoption.families.table import build
from training.adoption.model.search import AdoptedCaptioner
from training.adoption.published import library, processing, read_processing
from training.adoption.reference import Reference
from training.adoption.weights import read_weights

FILE = Path(__file__).with_name("golden.json")
CASES = [  # beams, pictures, tokens, length penalty
    (1, 2, 12, 1.0),
    (3, 5, 12, 1.0),
    (3, 1, 12, 0.0),
    (5, 2, 12, 2.0),
    (5, 5, 4, 1.0),
]


def answers(folder: Path) -> dict[str, Any]:
    """The configuration of a model, the shapes of its weights and what it says."""
    found = library().AutoImageProcessor.from_pretrained(folder).to_dict()
    reference = Reference(folder, read_processing(folder))
    cases = []
    for beams, count, pieces, penalty in CASES:
        answer = reference.generate(published.pictures(count), beams, pieces, penalty)
        log_probs = answer.log_probs.double().round(decimals=4).tolist()
        cases.append({"tokens": answer.tokens.tolist(), "log_probs": log_probs})
    return {
        "config": {**reference.config, "_name_or_path": ""},  # else a temporary folder
        "processor": found,
        "shapes": {name: list(value.shape) for name, value in read_weights(folder).items()},
        "cases": cases,
    }


def read() -> dict[str, Any]:
    """The file, by the names of the models."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def captioner(name: str) -> AdoptedCaptioner:
    """A tiny model of ours, which transformers has no part in."""
    model = read()[name]
    nothing = torch.zeros(0, dtype=torch.bool)
    weights = published.weights(model["shapes"])
    return build(model["config"], processing(model["processor"]), weights, nothing)


def main() -> None:
    """Write the file."""
    lines = []
    for name in published.NAMES:
        with tempfile.TemporaryDirectory() as folder:
            published.make(name, Path(folder))
            lines.append(f'"{name}": {json.dumps(answers(Path(folder)))}')
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
