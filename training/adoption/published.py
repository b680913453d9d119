"""What a published model's folder holds beside its weights, as ``transformers`` reads it."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handler.decode import Fit
from training.adoption.model.vision import Levels
from training.adoption.weights import AdoptionError
from training.common.torchvision_compat import prepare_torchvision

FILTERS = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
NEEDED = ("do_resize", "do_rescale", "do_normalize")


@dataclass(frozen=True)
class Processing:
    """How pictures become what a model takes."""

    size: int  # pixels of a side
    fit: Fit
    levels: Levels


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what ``transformers`` raises about a folder into an AdoptionError."""
    try:
        yield
    except AdoptionError:
        raise
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise AdoptionError(f"The folder's {what} cannot be read: {reason}") from error


def library() -> Any:
    """The package ``transformers``, which only adopting needs.

    Raises:
        AdoptionError: it is not installed.
    """
    prepare_torchvision()
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise AdoptionError(
            f"Adopting needs the package {error.name}. In the folder of Captionize's source, run: "
            "pip install '.[adopt]'"
        ) from error
    transformers.logging.set_verbosity_error()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return transformers


def read_config(folder: Path) -> dict[str, Any]:
    """The whole of ``config.json``, with the defaults of what it leaves out."""
    if not (folder / "config.json").is_file():
        raise AdoptionError(f"{folder} has no config.json: expected the folder of a model.")
    with explained("config.json"):
        config: dict[str, Any] = library().AutoConfig.from_pretrained(folder).to_dict()
    return config


def read_processing(folder: Path) -> Processing:
    """How the folder's image processor prepares pictures."""
    with explained("image processor"):
        found = library().AutoImageProcessor.from_pretrained(folder).to_dict()
        return processing(found)


def processing(found: Mapping[str, Any]) -> Processing:
    """What an image processor does, from its settings.

    Raises:
        AdoptionError: it does what is not known here.
    """
    without = [name for name in NEEDED if not found.get(name)]
    if without or found.get("do_pad") or found.get("resample") not in FILTERS:
        raise AdoptionError(
            "The image processor must resize (bilinear or bicubic), rescale and normalise, and not "
            f"pad; this one differs in {', '.join(without) or 'do_pad or resample'}."
        )
    size, crop = found["size"], found.get("crop_size") if found.get("do_center_crop") else None
    keeps_ratio = set(size) == {"shortest_edge"}
    sides = {*size.values(), *(crop or {}).values()} if keeps_ratio else set(size.values())
    whole = crop or size
    if len(set(whole.values())) != 1 or (not keeps_ratio and len(sides) != 1):
        raise AdoptionError(f"The image processor's size must be square, but is {size}, {crop}.")
    side, scale = next(iter(whole.values())), next(iter(size.values()))
    if keeps_ratio and not crop:
        raise AdoptionError("The image processor keeps the ratio of a picture and cuts nothing.")
    levels = Levels(
        tuple(mean / found["rescale_factor"] for mean in found["image_mean"]),
        tuple(std / found["rescale_factor"] for std in found["image_std"]),
    )
    assert all(map(math.isfinite, levels.mean + levels.std))
    cut = bool(crop) and (keeps_ratio or scale != side)
    fit = Fit(FILTERS[found["resample"]], scale if cut else 0, keeps_ratio)
    return Processing(side, fit, levels)
