"""Models from the hub: the files that adopting needs, of one revision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.adoption.weights import PICKLED, AdoptionError

UNKNOWN = "not stated; ask the model's authors before you use it"


@dataclass(frozen=True)
class Source:
    """Where a model comes from, for its card."""

    name: str  # of the repository or the folder
    revision: str | None = None  # the commit
    licence: str = UNKNOWN


def download(name: str, revision: str | None) -> tuple[Path, Source]:
    """The folder of a model of the hub, fetched or in the cache, and what the hub says of it.

    A connection that breaks is resumed where it broke, and files that are whole are not fetched
    again. The token is HF_TOKEN's, or that of ``hf auth login``.

    Raises:
        AdoptionError: the package is not installed, there is no such model, or no way to it.
    """
    try:
        import huggingface_hub as hub
    except ModuleNotFoundError as error:
        raise AdoptionError(
            f"The hub needs the package {error.name}. In the folder of Captionize's source, run: "
            "pip install '.[adopt]'"
        ) from error
    try:
        found = hub.HfApi().model_info(name, revision=revision)
        files = [one.rfilename for one in found.siblings or []]
        safe = any(file.endswith(".safetensors") for file in files)
        weights = ["model*.safetensors*"] if safe else [f"{PICKLED.removesuffix('.bin')}*.bin*"]
        folder = hub.snapshot_download(
            name, revision=found.sha, allow_patterns=["*.json", "*.txt", *weights]
        )
    except Exception as error:  # what its client and the network raise has no common kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AdoptionError(
            f"{name} could not be fetched from the hub: {reason} Name a model such as "
            "Salesforce/blip-image-captioning-base, or adopt a folder with --from."
        ) from error
    stated = found.card_data.license if found.card_data else None
    return Path(folder), Source(name, found.sha, str(stated) if stated else UNKNOWN)
