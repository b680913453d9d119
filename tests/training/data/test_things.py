"""Things: what ImageNet's classes are called, and what words mean."""

from __future__ import annotations

from training.data.things import Thing, Things, plural_of, read_things
from training.data.vocabulary import tokenise


def test_every_class_has_a_word_that_is_one_token_or_a_phrase_of_two() -> None:
    things = read_things()
    assert len(things.classes) == 1000
    for word in things.words:
        tokens = tokenise(word)
        assert " ".join(tokens) == word, word
        assert len(tokens) <= 2, word
    assert {thing.article for thing in things.classes} == {"a", "an", ""}


def test_known_classes_are_called_what_people_say() -> None:
    classes = read_things().classes
    assert [classes[i].word for i in (0, 281, 555, 967)] == ["fish", "cat", "fire truck", "coffee"]


def test_words_mean_things() -> None:
    things = Things(
        [
            Thing("dog", "dogs", "a", "animal", ("puppy", "pet")),
            Thing("cat", "cats", "a", "animal", ("pet", "dog")),
            Thing("cat", "cats", "a", "animal", ("pet",)),
            Thing("fish", "fish", "a", "animal", ()),
        ]
    )
    expected = {"dog": "dog", "puppies": "dog", "pet": "cat", "pets": "cat", "fish": "fish"}
    assert {word: things.means[word] for word in expected} == expected
    assert things.plurals == {"dogs", "cats", "puppies", "pets"}  # one fish, two fish
    assert things.words == ["a", "cat", "dog", "fish", "cats", "dogs"]


def test_regular_plurals() -> None:
    words = {"dog": "dogs", "bus": "buses", "couch": "couches", "puppy": "puppies", "toy": "toys"}
    assert {word: plural_of(word) for word in words} == words
