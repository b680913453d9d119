"""The configuration of a training run: one frozen dataclass, its presets and its command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from handler.options import MAX_BEAM_SIZE, MAX_LENGTH
from training.common.errors import OptionError
from training.model.decoders import DECODERS
from training.model.encoders import ENCODERS, has_classifier

PRECISIONS = ("auto", "float32", "bfloat16")
SCHEDULES = ("constant", "cosine")


def option(default: Any, text: str, low: float | None = None, high: float | None = None) -> Any:
    """A field with its help text and, for numbers, its accepted range (ends included)."""
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result; the defaults suit two cores."""

    # Data
    freq_threshold: int = option(5, "occurrences that a word needs to enter the vocabulary", 1)
    max_tokens: int = option(20, "words of a training caption that are used", 1, MAX_LENGTH)
    text_threshold: int = option(8, "occurrences in --text that a word needs to enter it", 1)
    text_batch: int = option(256, "captions of --text beside each batch of pictures", 1)
    text_weight: float = option(1.0, "weight of their loss beside that of the pictures", 0)
    # Model
    encoder: str = option("efficientnet_lite2", "encoder: a registered or timm model name")
    image_size: int = option(0, "side of the input in pixels; 0: the encoder's default", 0)
    decoder: str = option("attention", f"decoder: {' or '.join(DECODERS)}")
    insistence: float = option(3.0, "what naming a sure tag adds to a sentence's score", 0)
    insist_above: float = option(0.27, "how probable a tag must be to be sure", 0, 1)
    tags: int = option(5, "tags that the decoder reads (decoder attention); 0: none", 0, 20)
    embed_size: int = option(512, "width of a word's embedding", 1)
    hidden_size: int = option(512, "width of the LSTM state", 1)
    num_layers: int = option(1, "layers of the LSTM (decoder lstm)", 1)
    heads: int = option(8, "attention heads (decoder attention)", 1)
    dropout: float = option(0.3, "dropout before and after the output layer", 0, 1)
    embed_dropout: float = option(0.2, "dropout of the embeddings (decoder attention)", 0, 1)
    # Cross-entropy
    epochs: int = option(4, "epochs of cross-entropy", 0)
    batch_size: int = option(32, "pictures in a batch, each with all its captions", 1)
    lr: float = option(1.2e-3, "learning rate of the decoder", 0)
    schedule: str = option("cosine", f"learning rate over a phase: {' or '.join(SCHEDULES)}")
    init_share: float = option(0.0, "share of the weights of --init in the final ones", 0, 1)
    weight_decay: float = option(0.01, "decoupled weight decay (0: plain Adam)", 0)
    clip: float = option(1.0, "largest norm of the gradient; 0 does not clip", 0)
    label_smoothing: float = option(0.1, "label smoothing (Szegedy et al., 2016)", 0, 1)
    sampling: float = option(0.0, "highest share of input words that the model chose itself", 0, 1)
    sampling_step: float = option(0.05, "growth of that share every --sampling-every epochs", 0, 1)
    sampling_every: int = option(5, "epochs between two growths of that share", 1)
    ema: float = option(0.998, "decay of the weights' moving average; 0 keeps none", 0, 1)
    train_encoder: bool = option(False, "train the whole encoder from the first epoch")
    flips: bool = option(True, "also train on mirrored pictures")
    crop: float = option(0.6, "smallest share of a picture that a random crop keeps", 0.05, 1)
    views: int = option(2, "views, mirrored or cropped, of a picture with cached features", 1)
    # Fine-tuning of the encoder, after the epochs above
    finetune_epochs: int = option(10, "epochs of cross-entropy with the encoder's end released", 0)
    finetune_stages: int = option(6, "stages of the encoder, from its end, that are released", 1)
    finetune_lr: float = option(5e-4, "learning rate of the decoder while fine-tuning", 0)
    encoder_lr: float = option(1e-4, "learning rate of the encoder when it is trained", 0)
    # Self-critical training (Rennie et al., CVPR 2017), last
    scst_epochs: int = option(0, "epochs of self-critical training on CIDEr-D", 0)
    scst_lr: float = option(1e-4, "learning rate of self-critical training", 0)
    scst_share: float = option(0.5, "share of its weights in the final ones; 1: all", 0, 1)
    scst_samples: int = option(5, "sentences drawn for a picture", 2)
    scst_bleu: float = option(1.0, "weight of BLEU-4 (0 to 1) in the reward beside CIDEr-D", 0)
    scst_mix: float = option(0.1, "weight of cross-entropy beside the reward (Wu et al., 2016)", 0)
    scst_beside: float = option(0.5, "weight of --text and --also beside the reward", 0)
    # Evaluation and bookkeeping
    beam_size: int = option(3, "beam for evaluation", 1, MAX_BEAM_SIZE)
    max_length: int = option(20, "most words of a generated caption", 1, MAX_LENGTH)
    length_penalty: float = option(0.7, "exponent of the length by which scores are divided", 0)
    patience: int = option(4, "epochs without a better CIDEr before a phase ends; 0: never", 0)
    examples_every: int = option(200, "steps between example captions in TensorBoard", 1)
    seed: int = option(1, "seed of everything random", 0)
    precision: str = option("auto", f"arithmetic while training: {', '.join(PRECISIONS)}")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check_range(item, getattr(self, item.name))
        _check_choice("--decoder", self.decoder, tuple(DECODERS))
        _check_choice("--schedule", self.schedule, SCHEDULES)
        _check_choice("--precision", self.precision, PRECISIONS)
        if self.decoder == "attention" and self.hidden_size % self.heads:
            raise OptionError(
                f"--hidden-size must be a multiple of --heads, but {self.hidden_size} is not "
                f"one of {self.heads}."
            )
        if self.tag_count and not has_classifier(self.encoder):
            known = ", ".join(filter(has_classifier, ENCODERS))
            raise OptionError(
                f"--tags must be 0 with --encoder {self.encoder}, but is {self.tags}: classifiers "
                f"that tell them are known for {known} alone."
            )

    @property
    def tag_count(self) -> int:
        """Tags of a picture: none for a decoder that reads none."""
        return self.tags if self.decoder == "attention" else 0

    def decoder_options(self) -> dict[str, Any]:
        """The options of ``build_decoder`` that this configuration names."""
        shared = {
            "embed_size": self.embed_size,
            "hidden_size": self.hidden_size,
            "dropout": self.dropout,
        }
        if self.decoder == "lstm":
            return {**shared, "num_layers": self.num_layers}
        reading = {"heads": self.heads, "embed_dropout": self.embed_dropout}
        return {**shared, **reading, "tags": self.tags > 0}

    def command_line(self) -> str:
        """The command that trains with this configuration, apart from the places of files."""
        words = ["python -m training.train --data DATA"]
        useless = self.without_effect()
        for item in dataclasses.fields(self):
            value, flag = getattr(self, item.name), _flag(item.name)
            if value == item.default or item.name in useless:
                continue
            if isinstance(value, bool):
                words.append(flag if value else flag.replace("--", "--no-", 1))
            else:
                words.append(f"{flag} {value}")
        return " ".join(words)

    def without_effect(self) -> dict[str, str]:
        """The fields that change nothing in this configuration, and the option each one lacks."""
        return {
            name: lacking
            for lacking, holds, names in NEEDS
            if not holds(self)
            for name in names.split()
        }

    def save(self, path: Path) -> None:
        """Write the resolved configuration as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


# Each row: an option, whether a configuration has it, and the fields that have no effect without.
NEEDS: tuple[tuple[str, Callable[[TrainConfig], bool], str], ...] = (
    ("--decoder attention", lambda c: c.decoder == "attention", "heads embed_dropout tags"),
    ("--decoder lstm", lambda c: c.decoder == "lstm", "num_layers"),
    ("--epochs", lambda c: c.epochs > 0, "lr train_encoder"),
    ("--flips or a --crop below 1", lambda c: c.flips or c.crop < 1, "views"),
    ("--sampling", lambda c: c.sampling > 0, "sampling_step sampling_every"),
    (
        "--epochs or --finetune-epochs",
        lambda c: c.epochs > 0 or c.finetune_epochs > 0,
        "schedule label_smoothing sampling sampling_step sampling_every",
    ),
    ("--finetune-epochs", lambda c: c.finetune_epochs > 0, "finetune_stages finetune_lr"),
    (
        "--finetune-epochs or --train-encoder",
        lambda c: c.finetune_epochs > 0 or (c.train_encoder and c.epochs > 0),
        "encoder_lr",
    ),
    (
        "--scst-epochs",
        lambda c: c.scst_epochs > 0,
        "scst_lr scst_share scst_samples scst_bleu scst_mix scst_beside",
    ),
)

# 'best': the shipped model. 'original': the hyper-parameters of the design that this project
# started from, to the letter.
# 'adapt': from a trained captioner to other pictures, of which there may be a hundred.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "best": {"views": 4, "scst_epochs": 6, "patience": 0},
    "adapt": {
        "freq_threshold": 2,
        "batch_size": 8,
        "epochs": 10,
        "lr": 3e-4,
        "finetune_epochs": 0,
        "scst_epochs": 0,
        "ema": 0.95,
    },
    "original": {
        "encoder": "inception_v3",
        "decoder": "lstm",
        "embed_size": 256,
        "hidden_size": 256,
        "num_layers": 1,
        "dropout": 0.5,
        "lr": 3e-4,
        "epochs": 150,
        "batch_size": 32,
        "schedule": "constant",
        "weight_decay": 0.0,
        "clip": 0.0,
        "label_smoothing": 0.0,
        "ema": 0.0,
        "flips": False,
        "crop": 1.0,
        "finetune_epochs": 0,
        "scst_epochs": 0,
        "length_penalty": 0.0,
        "patience": 0,
        "precision": "float32",
    },
}


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``parser`` ``--preset`` and an option for every field of ``TrainConfig``."""
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="a named set of options to start from (default: default)",
    )
    hints = get_type_hints(TrainConfig)
    group = parser.add_argument_group("configuration")
    for item in dataclasses.fields(TrainConfig):
        text = f"{item.metadata['help']} (default: {item.default})"
        if hints[item.name] is bool:
            kind: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        else:
            kind = {"type": hints[item.name], "metavar": hints[item.name].__name__.upper()}
        group.add_argument(_flag(item.name), default=None, help=text, **kind)


def config_from_arguments(
    arguments: argparse.Namespace, architecture: Mapping[str, Any] | None = None
) -> TrainConfig:
    """The preset with the given options on top.

    Args:
        architecture: of the weights to start from, if there are any: options that are decided.

    Raises:
        OptionError: an option is out of range, contradicts ``architecture`` or has no effect.
    """
    given = {
        item.name: getattr(arguments, item.name)
        for item in dataclasses.fields(TrainConfig)
        if getattr(arguments, item.name) is not None
    }
    preset = PRESETS[arguments.preset or ("default" if architecture is None else "adapt")]
    chosen, decided = {**preset, **given}, architecture or {}
    for name, value in decided.items():
        if chosen.get(name, value) != value:
            raise OptionError(
                f"{_flag(name)} is {value} in the weights that --init names, and cannot be "
                f"{chosen[name]}."
            )
    config = TrainConfig(**{**chosen, **decided})
    for name, lacking in config.without_effect().items():
        if name in given:
            raise OptionError(f"{_flag(name)} has no effect without {lacking}. Leave it out.")
    return config


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _check_range(item: dataclasses.Field[Any], value: Any) -> None:
    low, high = item.metadata["low"], item.metadata["high"]
    # "not at least" and not "below": that way NaN is out of range too.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        accepted = f"at least {low}" if high is None else f"between {low} and {high}"
        raise OptionError(f"{_flag(item.name)} must be {accepted}, but is {value}.")


def _check_choice(flag: str, value: str, accepted: Sequence[str]) -> None:
    if value not in accepted:
        raise OptionError(f"{flag} must be one of {', '.join(accepted)}, but is {value!r}.")
