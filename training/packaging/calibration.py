"""Fitting a captioner's confidence.

A sample of the training pictures, beside drawn ones, teaches what a photo is; the captions of the
dev pictures, beside what people wrote, teach how much of a caption is confirmed. The result is
written into the checkpoint.
"""

from __future__ import annotations

import logging
import math
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from handler.text import SPECIALS
from training.common.progress import progress
from training.data.batches import drop_unreadable
from training.data.splits import DataError, Example, Split
from training.data.store import read_picture
from training.metrics.agreement import calibration_error, confirmed_share, content_words
from training.model.captioner import Captioner
from training.packaging.drawings import outliers
from training.trainer import checkpoint
from training.trainer.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

PHOTOS = 2000  # of the training pictures
DRAWINGS = 500
BATCH_SIZE = 32
DECAY = 1e-3  # of the squared weights that separate photos from drawings
# Where they are separated: one in a hundred dev pictures may seem less of a photo than SURE.
DOUBTED, SURE = 0.01, 0.9
MEANING = (
    "the expected share of a caption's content words (all but articles, prepositions, "
    "conjunctions, auxiliaries and pronouns) that at least one of {people} people who describe the "
    "same picture would use too; near 0 for what is not a photo"
)


def calibrate(
    trained: Checkpoint, splits: dict[Split, list[Example]], *, strict: bool = False
) -> dict[str, Any]:
    """Fit the calibration of ``trained.captioner``; returns what the model card says about it.

    ``error_cross_fitted`` is the expected calibration error on the dev split when each half of it
    is judged by a fit on the other half. Equal arguments give an equal result, rounded to half
    precision, in which it is stored.

    Raises:
        DataError: the train or the dev split has no picture that can be read.
    """
    captioner, calibration = trained.captioner.eval(), trained.captioner.calibration
    size = captioner.image_size
    train = random.Random(0).sample(splits["train"], min(PHOTOS, len(splits["train"])))
    train = drop_unreadable(train, size, strict=strict)
    dev = drop_unreadable(splits["dev"], size, strict=strict)
    if not train or not dev:
        raise DataError("Calibration needs readable pictures in the train and the dev split.")

    photos = _mean_features(captioner, _pictures(train, size), len(train), "photos")
    drawn = _mean_features(captioner, outliers(DRAWINGS, size), DRAWINGS, "drawings")
    calibration.photo.copy_(_rounded(fit_photo(photos, drawn)))
    calibration.content.copy_(_content(trained.vocabulary.itos))
    calibration.photo_bias.zero_()
    scores, certainty, captions = _caption(trained, dev)
    bias = _rounded(math.log(SURE / (1 - SURE)) - scores.quantile(DOUBTED))
    calibration.photo_bias.copy_(bias)

    photo = (scores + bias).sigmoid()
    references = [example.captions for example in dev]
    shares = torch.tensor(list(map(confirmed_share, captions, references)))
    judged = _cross_fit(certainty, photo, shares)
    calibration.words.copy_(_rounded(fit_words(certainty, photo, shares)))
    calibration.fitted.fill_(1)
    return {
        "meaning": MEANING.format(people=statistics.mode(map(len, references))),
        "error_cross_fitted": round(calibration_error(judged.tolist(), shares.tolist()), 4),
        "words_confirmed": round(float(shares.mean()), 4),
        "pictures": len(dev),
    }


def fit_photo(photos: Tensor, drawn: Tensor) -> Tensor:
    """The weights ``[D]`` of features that separate photos ``[N, D]`` from drawings ``[M, D]``.

    Logistic regression in which either side has half of the weight.
    """
    centre = photos.double().mean(0)
    scale = (photos - centre).square().mean().sqrt().clamp(min=1e-6)
    ours, others = (photos - centre) / scale, (drawn - centre) / scale
    weights = torch.zeros(len(centre), dtype=torch.double, requires_grad=True)
    bias = torch.zeros((), dtype=torch.double, requires_grad=True)

    def loss() -> Tensor:
        missed = F.softplus(-(ours @ weights + bias)).mean()
        taken = F.softplus(others @ weights + bias).mean()
        return (missed + taken) / 2 + DECAY * weights.square().sum()

    _minimise(loss, weights, bias)
    return weights.detach() / scale


def fit_words(certainty: Tensor, photo: Tensor, shares: Tensor) -> Tensor:
    """Intercept and slope, ``[2]``, of the share of words that is confirmed; the slope is above 0.

    By cross-entropy, with the shares ``[N]`` as probabilities. As Platt (1999) advises, they are
    drawn together a little, by half a caption on either side: a few pictures prove nothing.

    Args:
        certainty: ``Calibration.certainty`` of a caption of each picture, ``[N]``.
        photo: the probability of each picture's being a photo, ``[N]``, which is multiplied in.
    """
    certainty, photo = certainty.double(), photo.double()
    targets = (shares.double() * len(shares) + 0.5) / (len(shares) + 1)
    intercept = torch.zeros((), dtype=torch.double, requires_grad=True)
    log_slope = torch.zeros((), dtype=torch.double, requires_grad=True)

    def loss() -> Tensor:
        confidence = (intercept + log_slope.exp() * certainty).sigmoid() * photo
        # The second term decides where all certainties are alike.
        return F.binary_cross_entropy(confidence, targets) + 1e-4 * log_slope.square()

    _minimise(loss, intercept, log_slope)
    return torch.stack([intercept.detach(), log_slope.detach().exp()])


def _cross_fit(certainty: Tensor, photo: Tensor, shares: Tensor) -> Tensor:
    """Confidences ``[N]`` of each half of the pictures by a fit on the other half."""
    confidence = torch.zeros_like(certainty)
    for start in (0, 1):
        mine, other = slice(start, None, 2), slice(1 - start, None, 2)
        if len(certainty[other]):
            words = fit_words(certainty[other], photo[other], shares[other])
            confidence[mine] = (words[0] + words[1] * certainty[mine]).sigmoid() * photo[mine]
    return confidence


def _minimise(loss: Callable[[], Tensor], *parameters: Tensor) -> None:
    optimizer = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimizer.step(closure)


def _rounded(values: Tensor) -> Tensor:
    return values.half().float()


def _content(itos: Sequence[str]) -> Tensor:
    """1 for the words of a vocabulary that are content words, ``[V]``."""
    words = [bool(content_words(word)) and word not in SPECIALS for word in itos]
    return torch.tensor(words).float()


def _pictures(examples: Iterable[Example], size: int) -> Iterator[Tensor]:
    return (read_picture(example.path, size) for example in examples)


def _batches(captioner: Captioner, pictures: Iterator[Tensor]) -> Iterator[Tensor]:
    """The encoder's features ``[B, G, D]`` of pictures, a batch at a time."""
    while chunk := list(islice(pictures, BATCH_SIZE)):
        yield captioner.encoder(torch.stack(chunk).to(captioner.encoder.mean.device))


@torch.no_grad()
def _mean_features(
    captioner: Captioner, pictures: Iterator[Tensor], count: int, what: str
) -> Tensor:
    """The features of pictures, averaged over the grid, ``[N, D]``, on the CPU."""
    batches = progress(_batches(captioner, pictures), what, -(-count // BATCH_SIZE))
    return torch.cat([features.float().mean(1).cpu() for features in batches]).double()


@torch.no_grad()
def _caption(trained: Checkpoint, examples: Sequence[Example]) -> tuple[Tensor, Tensor, list[str]]:
    """Caption pictures: their photo scores ``[N]``, the certainties ``[N]`` and the captions."""
    captioner, config = trained.captioner, trained.config
    calibration = captioner.calibration
    scores, certainties, captions = [], [], []
    batches = _batches(captioner, _pictures(examples, captioner.image_size))
    for features in progress(batches, "caption", -(-len(examples) // BATCH_SIZE)):
        tokens, log_probs, _ = captioner.generate(
            features, config.beam_size, config.max_length, False
        )
        scores.append(calibration.photo_score(features).cpu())
        certainties.append(calibration.certainty(tokens, log_probs)[:, 0].cpu())
        captions += [trained.vocabulary.decode(words) for words in tokens[:, 0].tolist()]
    return torch.cat(scores), torch.cat(certainties), captions


def calibrate_checkpoint(
    path: Path,
    splits: dict[Split, list[Example]],
    *,
    device: torch.device,
    strict: bool = False,
) -> dict[str, Any]:
    """Calibrate the captioner of a checkpoint, and write it again; returns what was found.

    Raises:
        CheckpointError: it is none. DataError: see ``calibrate``.
    """
    content = checkpoint.read(path)
    trained = checkpoint.rebuild(content)
    trained.captioner.to(device)
    report = calibrate(trained, splits, strict=strict)
    for name, value in trained.captioner.calibration.state_dict().items():
        content["model"][f"calibration.{name}"] = value.cpu()
    content["training"] = {**trained.training, "calibration": report}
    checkpoint.save_atomically(content, path)
    logger.info(
        "Confidence is off by %.4f (expected calibration error, cross-fitted on %d dev pictures); "
        "%.1f %% of the captions' content words are confirmed.",
        report["error_cross_fitted"],
        report["pictures"],
        100 * report["words_confirmed"],
    )
    return report
