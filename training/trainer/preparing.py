"""What a captioner is given before it is trained: its words, its tagger and its rules."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from handler.options import MAX_BEAM_SIZE
from handler.text import PAD, SPECIALS, UNK
from training.data.habits import Habits
from training.data.splits import DataError, Example
from training.data.things import read_things
from training.data.vocabulary import Vocabulary
from training.model.captioner import Captioner
from training.model.encoders import ENCODERS
from training.trainer.checkpoint import build_captioner
from training.trainer.config import TrainConfig
from training.trainer.start import Start, initialise_from

ANYWHERE = 10.0  # logit by which every picture counts as unlike others, until this is learnt
CAPTIONS_READ = 5000  # about, of a large data set, for the share of unknown words
SOME_UNKNOWN, MOST_UNKNOWN = 0.2, 0.5  # shares of which training warns, and from which it refuses

logger = logging.getLogger(__name__)


def find_words(
    config: TrainConfig, examples: list[Example], text: Sequence[str], start: Start | None
) -> Vocabulary:
    """The words of the weights to start from, those of all things if there are tags, and the
    frequent ones of the training captions and of ``text``."""
    vocabulary = Vocabulary(config.freq_threshold)
    vocabulary.extend(start.itos if start else [])
    things = read_things().words if config.tag_count else []
    vocabulary.extend(things)  # before words are counted, so that phrases are counted as such
    vocabulary.build(caption for example in examples for caption in example.captions)
    vocabulary.build(text, config.text_threshold)
    words = len(set(vocabulary.itos) - {*SPECIALS, *things})
    if words < MAX_BEAM_SIZE:  # a beam needs as many first words as it is wide
        raise DataError(
            f"Only {words} words occur at least {config.freq_threshold} times in the training "
            f"captions, and a captioner needs {MAX_BEAM_SIZE}. Lower --freq-threshold, or add "
            "captions."
        )
    _check_words(config, vocabulary, examples)
    return vocabulary


def _check_words(config: TrainConfig, vocabulary: Vocabulary, examples: list[Example]) -> None:
    """Refuse captions most of whose words the vocabulary lacks, and warn of many."""
    captions = [caption for example in examples for caption in example.captions]
    some = captions[:: max(1, len(captions) // CAPTIONS_READ)]
    ids = [token for caption in some for token in vocabulary.encode(caption)[:-1]]
    unknown = ids.count(UNK) / max(1, len(ids))
    if unknown < SOME_UNKNOWN:
        return
    text = (
        f"{unknown:.0%} of the words in the training captions are unknown: they occur less than "
        f"{config.freq_threshold} times. Lower --freq-threshold or add captions. Captions in a "
        "language that puts no spaces between words need them put there first."
    )
    if unknown > MOST_UNKNOWN:
        raise DataError(text)
    logger.warning("%s", text)


@torch.no_grad()
def make_captioner(
    config: TrainConfig, vocabulary: Vocabulary, habits: Habits, start: Start | None
) -> Captioner:
    """A captioner to train, with the weights of ``start`` where it has any."""
    captioner = build_captioner(config, len(vocabulary))
    rules = captioner.rules
    for name, table in habits._asdict().items():
        rules.get_buffer(name).copy_(table)
    rules.worth.fill_(config.insistence)
    rules.sure.fill_(config.insist_above)
    rules.elsewhere_bias.fill_(ANYWHERE)
    if config.tag_count:
        _fill_tagger(captioner, config.encoder, vocabulary)
    if start:
        initialise_from(captioner, start)
    return captioner


def _fill_tagger(captioner: Captioner, encoder: str, vocabulary: Vocabulary) -> None:
    """Give the tagger the classifier that came with its encoder, and its classes' words."""
    tagger, classifier = captioner.tagger, ENCODERS[encoder].classifier
    assert classifier is not None  # or the configuration would have been refused
    weight, bias = classifier()
    tagger.classifier.load_state_dict({"weight": weight, "bias": bias})
    things, code = read_things(), vocabulary.stoi
    tagger.plain.copy_(torch.tensor([code[thing.word] for thing in things.classes]))
    means = [code[things.means[w]] if w in things.means else PAD for w in vocabulary.itos]
    tagger.means.copy_(torch.tensor(means))
