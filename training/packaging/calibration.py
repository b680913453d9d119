"""Fitting a captioner's confidence, and how far it insists on tags: see ``training.calibrate``."""

from __future__ import annotations

import logging
import math
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from handler.text import SPECIALS
from training.common.progress import progress
from training.data.batches import drop_unreadable
from training.data.splits import DataError, Example, Split
from training.data.store import read_picture
from training.metrics.agreement import (
    best_threshold,
    calibration_error,
    confirmed_share,
    content_words,
)
from training.model.captioner import Captioner
from training.packaging.drawings import outliers
from training.packaging.insistence import fit_worth
from training.trainer import checkpoint
from training.trainer.checkpoint import Checkpoint

logger = logging.getLogger(__name__)
T = TypeVar("T")

PHOTOS = 2000  # of the training pictures
DRAWINGS = 500
BATCH_SIZE = 32
DECAY = 1e-3  # of the squared weights that separate photos from drawings
# Where they are separated: one in a hundred dev pictures may seem less of a photo than SURE.
DOUBTED, SURE = 0.01, 0.9
# Of what tells pictures unlike the captioned ones: both kinds are photos, so that it is learnt with
# care, and then sharpened; rather too many count as unlike than too few.
DECAY_ELSEWHERE, SHARPNESS, SHIFT = 0.1, 4.0, 3.0
MOST = 5.0  # times that a picture of another data set counts, so that the sets weigh the same
GOOD = 0.5  # share of a caption's content words that are confirmed, if it is to be called right
UNKNOWN = 0.05  # confidence below which a picture is not like those that the model knows
# Of ``Calibration.signs``: what speaks for a caption, and what against it.
FOR_OR_AGAINST = torch.tensor([1.0, 1.0, 1.0, -1.0]).double()
MEANING = (
    "the expected share of a caption's content words (all but articles, prepositions, "
    "conjunctions, auxiliaries and pronouns) that at least one of {people} people who describe the "
    "same picture would use too"
)
NO_PHOTO = "near 0 for what is not a photo"


def calibrate(
    trained: Checkpoint,
    splits: Mapping[Split, Sequence[Example]],
    others: Sequence[Example] = (),
    *,
    unlabelled: Sequence[Path] | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Fit the calibration of ``trained.captioner``; returns what the model card says about it.

    ``error_cross_fitted`` is the expected calibration error on the dev split (and the ``others``)
    when each half of it is judged by a fit on the other half; ``trust`` says from which confidence
    on a caption is taken for right, and from which one for worth a look. Equal arguments give an
    equal result, rounded to half precision, in which it is stored.

    Raises:
        DataError: the train or the dev split has no picture that can be read.
    """
    captioner, calibration = trained.captioner.eval(), trained.captioner.calibration
    size = captioner.image_size
    train = drop_unreadable(_some(splits["train"]), size, strict=strict)
    dev = drop_unreadable(splits["dev"], size, strict=strict)
    if not train or not dev:
        raise DataError("Calibration needs readable pictures in the train and the dev split.")
    beside = drop_unreadable(others, size, strict=strict)
    weights = torch.ones(len(dev) + len(beside)).double()
    weights[len(dev) :] = min(MOST, len(dev) / max(len(beside), 1))
    dev = [*dev, *beside]

    photos = _mean_features(captioner, _pictures(train, size), len(train), "photos")
    drawn = _mean_features(captioner, outliers(DRAWINGS, size), DRAWINGS, "drawings")
    worth = fit_worth(captioner, trained.vocabulary, train, photos, trained.config.insistence)
    captioner.rules.worth.copy_(_rounded(worth))
    if unlabelled is not None:
        found = [Example(path, (), str(path)) for path in _some(unlabelled)]
        rest = drop_unreadable(found, size, strict=strict)
        if not rest:
            raise DataError("--unlabelled must be a folder with pictures, but none can be read.")
        pictures = _pictures(rest, size)
        others_seen = _mean_features(captioner, pictures, len(rest), "unlabelled")
        _fit_elsewhere(captioner, photos, others_seen)
    calibration.photo.copy_(_rounded(fit_photo(photos, drawn)))
    calibration.content.copy_(_content(trained.vocabulary.itos))
    calibration.photo_bias.zero_()
    scores, signs, captions = _caption(trained, dev)
    bias = _rounded(math.log(SURE / (1 - SURE)) - scores.quantile(DOUBTED))
    calibration.photo_bias.copy_(bias)

    photo = (scores + bias).sigmoid()
    references = [example.captions for example in dev]
    shares = torch.tensor(list(map(confirmed_share, captions, references)))
    calibration.words.copy_(_rounded(fit_words(signs, photo, shares, weights)))
    calibration.fitted.fill_(1)
    return {
        "meaning": f"{MEANING.format(people=statistics.mode(map(len, references)))}; {NO_PHOTO}",
        **judge(signs, photo, shares, weights),
    }


def judge(signs: Tensor, photo: Tensor, shares: Tensor, weights: Tensor) -> dict[str, Any]:
    """What a fit on other pictures is worth, for the model card; see ``fit_words``."""
    judged = cross_fit(signs, photo, shares, weights)
    right = max(best_threshold(judged, shares >= GOOD), UNKNOWN)
    return {
        "error_cross_fitted": round(calibration_error(judged.tolist(), shares.tolist()), 4),
        "words_confirmed": round(float(shares.mean()), 4),
        "trust": {"right": round(right, 4), "check": UNKNOWN},
        "pictures": len(shares),
    }


def _fit_elsewhere(captioner: Captioner, captioned: Tensor, unlabelled: Tensor) -> None:
    """Learn to tell pictures unlike those with captions, ``[N, D]`` each: see ``Rules``."""
    rules = captioner.rules
    weights = SHARPNESS * fit_photo(unlabelled, captioned, decay=DECAY_ELSEWHERE)
    middle = ((captioned @ weights).median() + (unlabelled @ weights).median()) / 2
    rules.elsewhere.copy_(_rounded(weights))
    rules.elsewhere_bias.copy_(_rounded(SHIFT - middle))


def fit_photo(photos: Tensor, drawn: Tensor, decay: float = DECAY) -> Tensor:
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
        return (missed + taken) / 2 + decay * weights.square().sum()

    _minimise(loss, weights, bias)
    return weights.detach() / scale


def fit_words(signs: Tensor, photo: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Intercept and slopes, ``[1 + signs]``, of the share of words that is confirmed.

    By cross-entropy, with the shares ``[N]`` as probabilities. As Platt (1999) advises, they are
    drawn together a little, by half a caption on either side: a few pictures prove nothing. What
    speaks for a caption has a slope above 0, what speaks against it one below.

    Args:
        signs: ``Calibration.signs``, or the first of them, of a caption of each picture.
        photo: the probability of each picture's being a photo, ``[N]``, which is multiplied in.
        weights: how much each picture counts, ``[N]``.
    """
    signs, photo = signs.double(), photo.double()
    sense = FOR_OR_AGAINST[: signs.shape[-1]]
    targets = (shares.double() * len(shares) + 0.5) / (len(shares) + 1)
    intercept = torch.zeros((), dtype=torch.double, requires_grad=True)
    log_slopes = torch.zeros(signs.shape[-1], dtype=torch.double, requires_grad=True)

    def loss() -> Tensor:
        confidence = (intercept + signs @ (log_slopes.exp() * sense)).sigmoid() * photo
        missed = F.binary_cross_entropy(confidence, targets, weights.double())
        # The second term decides where all captions are alike in a sign.
        return missed + 1e-4 * log_slopes.square().sum()

    _minimise(loss, intercept, log_slopes)
    return torch.cat([intercept.detach().view(1), log_slopes.detach().exp() * sense])


def cross_fit(signs: Tensor, photo: Tensor, shares: Tensor, weights: Tensor) -> Tensor:
    """Confidences ``[N]`` of each half of the pictures by a fit on the other half."""
    confidence = torch.zeros_like(photo)
    for start in (0, 1):
        mine, other = slice(start, None, 2), slice(1 - start, None, 2)
        if len(signs[other]):
            words = fit_words(signs[other], photo[other], shares[other], weights[other])
            score = words[0] + (signs[mine].double() * words[1:]).sum(-1)
            confidence[mine] = (score.sigmoid() * photo[mine]).float()
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


def _some(items: Sequence[T]) -> list[T]:
    """At most PHOTOS of them, the same ones every time."""
    chance = random.Random(0)  # nosec B311 # drawn, not secret
    return chance.sample(items, min(PHOTOS, len(items)))


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
    """Caption pictures: their photo scores ``[N]``, the signs of their first captions' truth
    ``[N, SIGNS]``, and these captions."""
    captioner, config = trained.captioner, trained.config
    calibration = captioner.calibration
    scores, signs, captions = [], [], []
    batches = _batches(captioner, _pictures(examples, captioner.image_size))
    for features in progress(batches, "caption", -(-len(examples) // BATCH_SIZE)):
        tags = captioner.see(features)
        tokens, log_probs, _ = captioner.generate(
            features, tags, config.beam_size, config.max_length, False, 1
        )
        scores.append(calibration.photo_score(features).cpu())
        found = calibration.signs(tags, captioner.tagger.means, tokens, log_probs)
        signs.append(found[:, 0].cpu())
        captions += [trained.vocabulary.decode(words) for words in tokens[:, 0].tolist()]
    return torch.cat(scores), torch.cat(signs), captions


def calibrate_checkpoint(
    path: Path,
    splits: Mapping[Split, Sequence[Example]],
    others: Sequence[Example] = (),
    *,
    unlabelled: Sequence[Path] | None = None,
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
    report = calibrate(trained, splits, others, unlabelled=unlabelled, strict=strict)
    fitted = ("calibration.", "rules.")
    for name, value in trained.captioner.state_dict().items():
        if name.startswith(fitted):
            content["model"][name] = value.cpu()
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
