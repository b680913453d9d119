"""Published weights by their names: all are used, or refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError  # nosec B403 # raised by torch.load(weights_only=True)

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from training.common.errors import UserError

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
INDEX = ".index.json"
SHOWN = 8  # names of an error
MAX_HALF = torch.finfo(torch.float16).max


class AdoptionError(UserError):
    """A model cannot be adopted; the message says why."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint folder: safetensors or PyTorch's, in one file or several.

    Raises:
        AdoptionError: there are none, or they cannot be read.
    """
    for name in (SAFE, PICKLED):
        index = folder / f"{name}{INDEX}"
        if not index.is_file() and not (folder / name).is_file():
            continue
        files = [name]
        if index.is_file():
            files = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        weights: dict[str, Tensor] = {}
        for file in files:
            weights |= _read_file(folder / file)
        return weights
    raise AdoptionError(
        f"{folder} has no weights: expected {SAFE} or {PICKLED}, or the {INDEX} of several files."
    )


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise AdoptionError(f"The index of the weights names {path.name}, which is not there.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise AdoptionError(f"{path.name} cannot be read: {reason}") from error
    return weights


class Published:
    """The weights of a checkpoint, each taken by its name."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights
        self._used: set[str] = set()
        self._missing: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._weights

    def __call__(self, *names: str, axis: int = 0) -> Tensor:
        """The weight of this name, in float32, or several as one along an axis."""
        self._used.update(names)
        missing = [name for name in names if name not in self._weights]
        self._missing += missing
        if missing:  # `check` names them
            return torch.zeros(1, 1)
        parts = [self._weights[name].float() for name in names]
        return parts[0] if len(parts) == 1 else torch.cat(parts, axis)

    def first(self, *names: str) -> Tensor:
        """The first of these that is there: one weight may be saved under several names."""
        found = [name for name in names if name in self._weights]
        self._used.update(found)
        return self(found[0] if found else names[0])

    def tied(self, output: str, embedding: str) -> bool:
        """Whether words come out by the weights of the embedding: saved once, or twice alike."""
        if output in self._weights and embedding in self._weights:
            return torch.equal(self._weights[output], self._weights[embedding])
        return output not in self._weights

    def pair(self, target: str, *sources: str) -> dict[str, Tensor]:
        """The weight and the bias of a layer, or those of several as one."""
        return {
            f"{target}.{kind}": self(*(f"{source}.{kind}" for source in sources))
            for kind in ("weight", "bias")
        }

    def check(self, idle: Iterable[str]) -> None:
        """Raise AdoptionError, which names them, for weights that are missing or without use.

        Args:
            idle: patterns of names that published checkpoints have and captioning does not need.
        """
        known = [re.compile(pattern) for pattern in idle]
        left = sorted(
            name
            for name in self._weights.keys() - self._used
            if not any(pattern.fullmatch(name) for pattern in known)
        )
        faults = [
            f"{what} {_listed(names)}"
            for what, names in (("missing:", self._missing), ("not known:", left))
            if names
        ]
        if faults:
            raise AdoptionError(
                f"The weights are not those of this architecture; {'; '.join(faults)}. If names "
                "were changed, the weights must be saved under the published ones."
            )


def fill(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put weights into a module, rounded to half precision, in which archives store them.

    Raises:
        AdoptionError: they do not fit, or are too large for half precision.
    """
    own = dict(module.named_parameters())
    assert own.keys() == weights.keys(), own.keys() ^ weights.keys()
    for name, weight in weights.items():
        if own[name].shape != weight.shape:
            raise AdoptionError(
                f"The weight of {name} is {list(weight.shape)}, but config.json says "
                f"{list(own[name].shape)}."
            )
        if not bool((weight.abs() <= MAX_HALF).all()):
            raise AdoptionError(f"The weight of {name} has numbers that half precision lacks.")
        own[name].data = weight.half().float().contiguous()


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
