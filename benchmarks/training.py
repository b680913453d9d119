"""How fast training is: this project's trainer beside a plain loop, on pictures drawn here.

The plain loop is the usual one: a batch of 32 pairs of a picture and one of its captions, the
picture decoded and sent through the frozen encoder anew for each of them, an LSTM that takes its
mean feature as the first word, float32, Adam. The trainer computes features once, and a batch holds
pictures with all their captions. A picture counts once when all its captions were trained on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from benchmarks.measuring import Task, alternate, machine, ratios, spread, table
from benchmarks.pictures import CAPTIONS, WORDS, draw_examples
from handler.text import PAD
from training.common.cli import whole_number
from training.common.memory import keep_memory
from training.data.augment import Augmentation
from training.data.batches import CaptionDataset, get_loader
from training.data.splits import Example
from training.data.store import FeatureStore
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.model.encoders import EncoderError, has_classifier
from training.trainer.checkpoint import build_captioner
from training.trainer.config import PRESETS, TrainConfig
from training.trainer.epochs import CrossEntropy, cross_entropy_step, shift_right, train_one_epoch
from training.trainer.features import feature_store
from training.trainer.optimisation import autocast_for, build_optimisation

CPU = torch.device("cpu")
TARGET = 20  # times the plain loop
# What a plain loop sends through its encoder: the original design's, and this project's default.
PLAIN_ENCODERS = ("inception_v3", TrainConfig().encoder)


def vocabulary() -> Vocabulary:
    """All words that the captions are made of."""
    words = Vocabulary()
    words.extend(WORDS)
    return words


def plain_loop(config: TrainConfig, examples: Sequence[Example]) -> Callable[[], None]:
    """An epoch over the pairs of ``examples``, written without any of the trainer's means."""
    captioner = build_captioner(config, len(vocabulary()), pretrained=False).train()
    encoder, decoder = captioner.encoder, captioner.decoder
    pictures = CaptionDataset(
        examples, vocabulary(), image_size=captioner.image_size, max_tokens=config.max_tokens
    )
    pairs = [(index, caption) for index in range(len(pictures)) for caption in range(CAPTIONS)]
    loader: DataLoader[Any] = DataLoader(
        cast(Dataset[tuple[int, int]], pairs),
        batch_size=config.batch_size,
        shuffle=True,
        collate_fn=partial(_pairs, pictures),
    )
    optimizer = torch.optim.Adam(decoder.parameters(), lr=config.lr)

    def epoch() -> None:
        for images, captions in loader:
            with torch.no_grad():
                features = encoder(images)  # (B, G, D)
            tags = captioner.see(features)
            hidden = decoder(features, tags, shift_right(captions).unsqueeze(1))  # (B, 1, T, E)
            logits = decoder.logits(hidden).flatten(0, 2)  # (B*T, V)
            loss = F.cross_entropy(logits, captions.flatten(), ignore_index=PAD)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def _pairs(pictures: CaptionDataset, pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Decode the picture of each pair: uint8 ``[B, 3, S, S]``; its caption, padded: ``[B, T]``."""
    images, captions = [], []
    for index, number in pairs:
        image, rows, *_ = pictures[index]
        images.append(image)
        captions.append(torch.tensor(rows[number]))
    padded = torch.nn.utils.rnn.pad_sequence(captions, batch_first=True, padding_value=PAD)
    return torch.stack(images), padded


def compute_features(
    captioner: Captioner, config: TrainConfig, examples: Sequence[Example], folder: Path
) -> FeatureStore:
    """The features of all views of ``examples``, as a run with ``config`` computes them."""
    return feature_store(
        captioner.encoder,
        config.encoder,
        examples,
        folder,
        views=config.views,
        augmentation=Augmentation(config.flips, config.crop),
        autocast=autocast_for(config.precision, CPU),
    )


def cached_epoch(
    captioner: Captioner, config: TrainConfig, examples: Sequence[Example], store: FeatureStore
) -> Callable[[], None]:
    """An epoch of cross-entropy over cached features, as a run with ``config`` trains it."""
    captioner.encoder.release(0)
    dataset = CaptionDataset(
        examples,
        vocabulary(),
        features=store,
        augmentation=Augmentation(config.flips, config.crop),
        max_tokens=config.max_tokens,
    )
    loader = get_loader(dataset, batch_size=config.batch_size, shuffle=True)
    optimisation = build_optimisation(
        captioner,
        [(captioner.decoder.parameters(), config.lr)],
        config,
        CPU,
        steps=10_000 * len(loader),  # more than are ever taken
    )
    objective = CrossEntropy(captioner, config.label_smoothing)
    step = partial(
        cross_entropy_step, captioner=captioner, objective=objective, optimisation=optimisation
    )

    def epoch() -> None:
        train_one_epoch(captioner, loader, step)

    return epoch


@dataclass(frozen=True)
class Result:
    """Pictures per second, a number a round."""

    plain: dict[str, list[float]]  # by the name of the encoder
    cached: list[float]
    features: list[float]

    def whole(self, epochs: int) -> list[float]:
        """Of the trainer, when ``epochs`` share the time that the features took."""
        pairs = zip(self.cached, self.features, strict=True)
        return [1 / (1 / cached + 1 / (epochs * features)) for cached, features in pairs]


def measure(
    config: TrainConfig,
    plain_configs: Sequence[TrainConfig],
    *,
    pictures: int,
    plain_pictures: int,
    rounds: int,
) -> Result:
    """Time ``config``'s training beside plain loops, the first ``plain_pictures`` in those."""
    torch.manual_seed(0)
    with TemporaryDirectory() as name:
        folder = Path(name)
        examples = draw_examples(folder, pictures)
        captioner = build_captioner(config, len(vocabulary()), pretrained=False)
        store = compute_features(captioner, config, examples, folder / "cache")

        def features() -> None:
            with TemporaryDirectory(dir=folder) as empty:  # elsewhere they would be found
                compute_features(captioner, config, examples, Path(empty))

        some = examples[:plain_pictures]
        plain = [
            Task(f"plain {each.encoder}", len(some), plain_loop(each, some))
            for each in plain_configs
        ]
        cached = cached_epoch(captioner, config, examples, store)
        rates = alternate(
            [*plain, Task("trainer", pictures, cached), Task("features", pictures, features)],
            rounds,
        )
    found = {each.encoder: rates[f"plain {each.encoder}"] for each in plain_configs}
    return Result(found, rates["trainer"], rates["features"])


def report(result: Result, config: TrainConfig) -> str:
    """The result as Markdown: the machine, the table and whether the target was met."""
    (reference, base), *_ = result.plain.items()
    epochs = max(1, config.epochs)
    with autocast_for(config.precision, CPU)():
        precision = "bfloat16" if torch.is_autocast_enabled("cpu") else "float32"
    whole = f"the same, and the features' cost over {epochs} epochs"
    rows = {
        **{f"plain loop, {encoder}": rates for encoder, rates in result.plain.items()},
        f"trainer, {config.encoder}, cached features, {precision}": result.cached,
        whole: result.whole(epochs),
    }
    cells = [[name, spread(rates), spread(ratios(rates, base))] for name, rates in rows.items()]
    header = ["training", "pictures/s: median (range)", f"times the plain loop, {reference}"]
    factor = statistics.median(ratios(rows[whole], base))
    return "\n".join(
        [
            f"{machine()}; {len(base)} rounds.",
            "",
            table(header, cells),
            "",
            f"Features of {config.views} views of a picture: {spread(result.features)} pictures/s.",
            f"Target, the features' cost included: {TARGET} times the plain loop. "
            f"{'Met' if factor >= TARGET else 'Not met'}: {factor:.1f} times.",
        ]
    )


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number = whole_number(1, 1_000_000)
    options: list[tuple[str, int, str]] = [
        ("--pictures", 192, "pictures that the trainer trains on"),
        ("--plain-pictures", 32, "how many of these the plain loops train on, to save time"),
        ("--rounds", 4, "rounds that are counted"),
    ]
    for flag, default, text in options:
        parser.add_argument(
            flag, type=number, default=default, metavar="N", help=f"{text} (default: {default})"
        )
    default_encoder = TrainConfig().encoder
    parser.add_argument(
        "--encoder", default=default_encoder, help=f"of the trainer (default: {default_encoder})"
    )
    parser.add_argument(
        "--plain-encoders",
        nargs="+",
        default=PLAIN_ENCODERS,
        metavar="ENCODER",
        help="of the plain loops; the target is against the first (default: "
        f"{' '.join(PLAIN_ENCODERS)})",
    )
    parser.add_argument(
        "--image-size", type=number, help="pixels a side (default: each encoder's own)", metavar="N"
    )
    parser.add_argument("--threads", type=number, help="CPU threads (default: all)", metavar="N")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    keep_memory()  # as training.train does; the plain loop gains as well
    if arguments.plain_pictures > arguments.pictures:
        parser.error(
            f"--plain-pictures must be at most --pictures, {arguments.pictures}, "
            f"but is {arguments.plain_pictures}."
        )
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    size = arguments.image_size or 0
    tags = TrainConfig.tags if has_classifier(arguments.encoder) else 0
    config = TrainConfig(encoder=arguments.encoder, image_size=size, tags=tags)
    plain = [
        TrainConfig(**{**PRESETS["original"], "encoder": encoder, "image_size": size})
        for encoder in dict.fromkeys(arguments.plain_encoders)
    ]
    try:
        result = measure(
            config,
            plain,
            pictures=arguments.pictures,
            plain_pictures=arguments.plain_pictures,
            rounds=arguments.rounds,
        )
    except EncoderError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report(result, config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
