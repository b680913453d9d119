"""Does a caption name what is in the picture? Over photos of things, with the nouns for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

import torch

from training.common.errors import UserError
from training.data.vocabulary import tokenise

NOUNS = "nouns.json"


class ObjectsError(UserError):
    """The folder of objects cannot be used; the message says what is expected there."""


def read_objects(folder: Path) -> dict[Path, list[str]]:
    """The nouns that name each picture of ``folder``: of ``nouns.json`` and ``Images/``.

    Raises:
        ObjectsError: there is no such file, or it does not map names of pictures to nouns.
    """
    try:
        nouns = json.loads((folder / NOUNS).read_text(encoding="utf-8"))
        named = {folder / "Images" / name: [str(n).lower() for n in nouns[name]] for name in nouns}
    except (OSError, ValueError, TypeError) as error:
        raise ObjectsError(
            f'{folder} must hold {NOUNS}, {{"picture.jpg": ["cat", "kitten"], ...}}, beside a '
            f"folder Images, but {NOUNS} cannot be read as such ({type(error).__name__})."
        ) from error
    if not named:
        raise ObjectsError(f"{folder / NOUNS} names no picture.")
    return named


def names_one(caption: str, nouns: Iterable[str]) -> bool:
    """Whether a caption says one of the nouns, as whole words in the singular or the plural."""
    said = f" {' '.join(tokenise(caption))} "
    return any(f" {form} " in said for noun in nouns for form in _forms(noun))


def _forms(noun: str) -> list[str]:
    """A noun, and what its regular plural may be."""
    forms = [noun, f"{noun}s", f"{noun}es"]
    return [*forms, f"{noun[:-1]}ies"] if noun.endswith("y") else forms


def naming_report(
    captions: Mapping[Path, str],
    confidences: Mapping[Path, float],
    objects: Mapping[Path, Sequence[str]],
    right: float | None,
) -> dict[str, float | None]:
    """How many captions name their picture, and how well doubt falls on those that do not.

    Args:
        right: confidence from which a caption is not flagged as unsure; None: no threshold known.

    Returns:
        ``naming_rate`` and ``naming_rate_without_dogs``; ``auroc`` of the confidence, which tells
        captions that name from those that do not (0.5: by chance); ``flagged_unnamed`` and
        ``flagged_named``, the shares of either that are flagged, if ``right`` is given. What there
        is nothing to compute from is None.
    """
    named = torch.tensor([names_one(captions[p], objects[p]) for p in captions])
    dogs = torch.tensor(["dog" in objects[p] for p in captions])
    confidence = torch.tensor([confidences[p] for p in captions])
    report = {
        "naming_rate": _share(named),
        "naming_rate_without_dogs": _share(named[~dogs]),
        "auroc": auroc(confidence[named], confidence[~named]),
    }
    if right is not None:
        flagged = confidence < right
        report["flagged_unnamed"] = _share(flagged[~named])
        report["flagged_named"] = _share(flagged[named])
    return {name: None if isnan(value) else round(value, 4) for name, value in report.items()}


def auroc(higher: torch.Tensor, lower: torch.Tensor) -> float:
    """The probability that a value of ``higher`` is above one of ``lower``; ties count half.

    The area under the receiver operating characteristic (Hanley & McNeil, 1982); not a number
    where either is empty.
    """
    difference = higher.double().unsqueeze(1) - lower.double().unsqueeze(0)
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())


def _share(of: torch.Tensor) -> float:
    return float(of.double().mean())
