"""What captions never do, learnt from them."""

from __future__ import annotations

import pytest

from handler.text import PAD
from training.data.habits import SEEN, learn_habits
from training.data.vocabulary import Vocabulary

CAPTIONS = ["a dog and a cat", "two dogs on a red bench", "a dog on a red bus ."] * SEEN


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(1).build(CAPTIONS)


def test_words_that_come_once_rule_out_themselves_and_their_other_number(
    vocabulary: Vocabulary,
) -> None:
    captions = [vocabulary.encode(caption) for caption in CAPTIONS]
    again = learn_habits(captions, vocabulary.itos).again
    ruled = {w: {vocabulary.itos[i] for i in again[vocabulary.stoi[w]]} for w in vocabulary.itos}
    assert ruled["dog"] == ruled["dogs"] == {"dog", "dogs"}
    assert ruled["red"] == {"red"}
    assert ruled["a"] == ruled["."] == ruled["<EOS>"] == {vocabulary.itos[PAD]}  # nothing


def test_words_that_end_no_caption_do_not_end_one(vocabulary: Vocabulary) -> None:
    captions = [vocabulary.encode(caption, 5) for caption in CAPTIONS]  # the last two are cut
    unclosed = learn_habits(captions, vocabulary.itos).unclosed
    barred = {word for word, index in vocabulary.stoi.items() if unclosed[index]}
    assert barred == {"a", "dog", "and", "two", "dogs", "on", "red"}


def test_what_was_hardly_seen_may_end_a_caption(vocabulary: Vocabulary) -> None:
    captions = [vocabulary.encode(caption) for caption in CAPTIONS[:6]]
    habits = learn_habits(captions, vocabulary.itos)
    assert not habits.unclosed.any()
    assert not habits.soon.any()
    assert habits.again[vocabulary.stoi["a"]].tolist() == [PAD, PAD]


def test_words_that_come_again_do_not_come_again_soon(vocabulary: Vocabulary) -> None:
    captions = [vocabulary.encode(caption) for caption in CAPTIONS]
    soon = learn_habits(captions, vocabulary.itos).soon
    allowed = {word for word, index in vocabulary.stoi.items() if not soon[index]}
    assert {"a", "red"} & allowed == {"a"}  # "a dog and a cat": again, three words on


def test_nouns_are_things_and_what_follows_an_article(vocabulary: Vocabulary) -> None:
    captions = [vocabulary.encode(caption) for caption in CAPTIONS]
    heads = learn_habits(captions, vocabulary.itos).heads
    nouns = {word for word, index in vocabulary.stoi.items() if heads[index]}
    assert {"dog", "dogs", "cat", "bench", "bus"} <= nouns
    assert not {"a", "on", "two", "and"} & nouns
