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


def test_a_phrase_rules_out_its_last_word() -> None:
    vocabulary = Vocabulary(1)
    vocabulary.extend(["bow tie", "tie", "fire truck"])
    itos, code = vocabulary.itos, vocabulary.stoi
    captions = [[code["bow tie"]], [code["tie"]], [code["fire truck"]]]
    again = learn_habits(captions, itos).again
    assert again[code["bow tie"]].tolist() == [code["bow tie"], code["tie"]]
    assert again[code["fire truck"]].tolist() == [code["fire truck"]] * 2  # there is no "truck"


def test_words_for_the_same_are_of_one_kind() -> None:
    vocabulary = Vocabulary(1)
    vocabulary.extend(["kittens", "cat", "woman", "men", "dog", "grass"])
    kinds = dict(
        zip(vocabulary.itos, learn_habits([], vocabulary.itos).kinds.tolist(), strict=True)
    )
    assert kinds["kittens"] == kinds["cat"] == vocabulary.stoi["kittens"]
    assert kinds["woman"] == kinds["men"] == vocabulary.stoi["woman"]
    assert kinds["dog"] == vocabulary.stoi["dog"]
    assert kinds["grass"] == kinds["<EOS>"] == PAD


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


def test_things_are_plural_after_two_and_in_a_group() -> None:
    several = ["two brown dogs", "a group of dogs", "a dog of two"]
    captions = [*CAPTIONS, *several * SEEN]
    vocabulary = Vocabulary(1).build(captions)
    habits = learn_habits([vocabulary.encode(one) for one in captions], vocabulary.itos)
    itos = vocabulary.itos
    assert {itos[i] for i in habits.several.nonzero().flatten()} == {"two", "group", "of", "brown"}
    assert {itos[i] for i in habits.single.nonzero().flatten()} == {"dog", "cat", "bench", "bus"}


def test_a_possessive_of_others_is_not_theirs() -> None:
    his, hers = ["a man and his dog"] * 4 * SEEN, ["a woman and her dog"] * 4 * SEEN
    rare = ["a man and her dog", "a boy and his dog", "a child and his dog", "a child and her dog"]
    captions = [*his, *hers, *rare * SEEN]
    vocabulary = Vocabulary(1).build(captions)
    theirs = learn_habits([vocabulary.encode(one) for one in captions], vocabulary.itos).theirs
    ruled = {word: vocabulary.itos[theirs[index]] for word, index in vocabulary.stoi.items()}
    assert {w: ruled[w] for w in ("man", "woman", "boy")} == {
        "man": "her",
        "woman": "his",
        "boy": "her",
    }
    assert ruled["child"] == ruled["dog"] == vocabulary.itos[PAD]
