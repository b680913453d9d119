"""Rules of a search, each on a sentence that would break it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from handler.text import EOS, PAD, SOS, UNK
from training.model.rules import AFTER_PEOPLE, Rules
from training.model.tagger import Tags

A, DOG, DOGS, BROWN, SIDE = range(4, 9)
WORDS = 9


def rules() -> Rules:
    made = Rules(WORDS, 3)
    made.again[DOG] = torch.tensor([DOG, DOGS])
    made.again[DOGS] = torch.tensor([DOGS, DOG])
    made.soon[BROWN] = 1
    made.unclosed[A] = 1
    return made


def ruled_out(
    rules: Rules, sentence: list[int], *, steps: int = 8, wished: int | None = None
) -> set[int]:
    """The words that may not follow a sentence, in a search of so many steps."""
    wishes = torch.zeros(1, WORDS)
    if wished is not None:
        wishes[0, wished] = 1
    tokens = torch.tensor([[sentence + [PAD] * (steps - len(sentence))]])
    before, last = [SOS, SOS, *sentence][-2:]
    log_probs = torch.zeros(1, 1, WORDS)
    if len(sentence) == steps - 1:  # the last step has no choice
        log_probs[..., torch.arange(WORDS) != EOS] = -torch.inf
    log_probs[..., [PAD, SOS]] = -torch.inf
    ends = torch.tensor([[before]]), torch.tensor([[last]])
    kept = rules.fitting(
        rules.unsaid(log_probs, tokens, *ends, torch.tensor(len(sentence))),
        torch.arange(WORDS).view(1, 1, -1),
        wishes.unsqueeze(1),
        wishes,
        torch.tensor([[float(wished in sentence[:-1])]]),
        *ends,
    )
    return set(torch.isinf(kept[0, 0]).nonzero().flatten().tolist()) - {PAD, SOS}


def test_a_word_rules_out_itself_and_its_other_number() -> None:
    assert {DOG, DOGS} <= ruled_out(rules(), [A, DOG, SIDE])
    assert {DOG, DOGS} <= ruled_out(rules(), [DOGS, SIDE, A, BROWN])
    assert not {DOG, DOGS} & ruled_out(Rules(WORDS, 3), [A, DOG, SIDE])


def test_some_words_may_not_come_again_soon() -> None:
    assert BROWN in ruled_out(rules(), [A, BROWN, SIDE])
    assert BROWN in ruled_out(rules(), [BROWN, SIDE, A])
    assert BROWN not in ruled_out(rules(), [BROWN, SIDE, A, DOG])
    assert SIDE not in ruled_out(rules(), [SIDE, BROWN])  # as in "side by side"


def test_no_sentence_ends_in_a_word_that_ends_none_but_for_want_of_room() -> None:
    assert EOS in ruled_out(rules(), [DOG, A])
    assert EOS not in ruled_out(rules(), [A, DOG])
    assert EOS not in ruled_out(rules(), [DOG, A], steps=3)


def test_a_sentence_may_end_anyhow_where_nothing_else_may_follow() -> None:
    made = rules()
    made.again[BROWN] = torch.tensor([UNK, SIDE])
    said = [PAD, SOS, BROWN, DOG, A]
    assert ruled_out(made, said) == {UNK, *range(4, WORDS)}
    assert EOS in ruled_out(made, [PAD, SOS, SIDE, DOG, A])


def test_no_word_twice_in_a_row_and_no_three_words_twice() -> None:
    assert ruled_out(Rules(WORDS, 3), [A, SIDE]) == {SIDE}
    assert ruled_out(Rules(WORDS, 3), [A, SIDE, BROWN, DOG, A, SIDE]) == {SIDE, BROWN}


def doubt(probabilities: dict[int, float], *, tag: float = 0.0, unlike: float = 1.0) -> Tensor:
    """What it costs to say each word next, if the decoder and a tag DOG hold them so probable."""
    made = rules()
    made.kinds[[DOG, DOGS]], made.kinds[SIDE] = DOG, SIDE
    means = torch.full((WORDS,), PAD)
    means[[DOG, DOGS]] = DOG
    said = torch.zeros(1, 1, WORDS)
    for word, probability in probabilities.items():
        said[..., word] = probability
    tags = Tags(torch.tensor([[DOG]]), torch.tensor([[tag]]), torch.tensor([unlike]))
    every = torch.arange(WORDS).view(1, 1, -1)
    return made.doubts(said.log(), every, made.vouched(tags, means), tags.elsewhere)[0, 0]


def test_a_thing_that_is_hardly_there_costs_what_it_lacks_of_an_even_chance() -> None:
    cost = doubt({DOG: 0.125, SIDE: 0.75, BROWN: 0.01})
    assert cost[DOG] == pytest.approx(math.log(0.25))
    assert cost[SIDE] == 0  # more probable than not
    assert cost[BROWN] == 0  # no thing
    assert doubt({DOG: 0.125}, unlike=0.5)[DOG] == pytest.approx(math.log(0.25) / 2)
    assert torch.isfinite(doubt({}))[[DOG, SIDE]].all()


def test_all_words_for_a_thing_count_together_and_a_tag_vouches_for_it() -> None:
    assert doubt({DOG: 0.125, DOGS: 0.125})[DOG] == pytest.approx(math.log(0.5))
    assert doubt({DOG: 0.125}, tag=0.25)[DOGS] == pytest.approx(math.log(0.5))
    assert doubt({DOG: 0.125}, tag=0.75)[DOG] == 0
    assert doubt({SIDE: 0.125}, tag=0.75)[SIDE] < 0


def test_after_words_for_several_a_tag_is_named_in_the_plural() -> None:
    made = rules()
    made.several[SIDE] = made.single[DOG] = 1
    assert DOG in ruled_out(made, [SIDE], wished=DOG)  # as in "two dog"
    assert DOG in ruled_out(made, [SIDE, BROWN], wished=DOG)  # "two brown dog", "group of dog"
    assert DOG not in ruled_out(made, [SIDE])  # whose number the model knows itself
    assert DOG not in ruled_out(made, [SIDE, BROWN, A], wished=DOG)
    assert DOGS not in ruled_out(made, [SIDE, BROWN], wished=DOG)


def test_nothing_is_his_that_would_be_hers() -> None:
    made = rules()
    made.theirs[DOG] = BROWN
    assert BROWN in ruled_out(made, [A, DOG, SIDE])
    assert BROWN not in ruled_out(made, [A, DOGS, SIDE])


def test_what_names_a_tag_is_no_part_of_another_name() -> None:
    made = rules()
    made.heads[SIDE] = 1
    assert SIDE in ruled_out(made, [A, DOG], wished=DOG)
    assert SIDE not in ruled_out(made, [A, DOG])
    assert SIDE not in ruled_out(made, [A, DOG, BROWN], wished=DOG)


def worth(probability: float, rules: Rules, outlook: float = 1.0) -> Tensor:
    means = torch.full((WORDS,), PAD)
    means[[DOG, DOGS]] = DOG
    rules.elsewhere[0] = 100.0
    elsewhere = rules.unlike(torch.tensor([[[outlook, 0.0, 0.0]]]))
    tags = Tags(torch.tensor([[DOG, SIDE]]), torch.tensor([[probability, 0.1]]), elsewhere)
    return rules.wishes(tags, means)[0]


def test_a_sure_tag_is_worth_naming_in_either_number() -> None:
    insisting = rules()
    insisting.worth[DOG], insisting.sure = 2.0, torch.tensor(0.5)
    assert worth(0.6, insisting).nonzero().flatten().tolist() == [DOG, DOGS]
    assert worth(0.6, insisting)[DOG] == 2
    assert not worth(0.4, insisting).any()
    assert not worth(1.0, rules()).any()
    assert worth(0.6, insisting, outlook=-1.0)[DOG] < 1e-6  # people have spoken of such pictures


def test_naming_a_tag_is_worth_less_after_people() -> None:
    made = rules()
    made.people[SIDE] = 1
    tokens = torch.tensor([[[A, BROWN, PAD], [A, SIDE, PAD]]])
    made.leads[[BROWN, SIDE]] = 1
    first, last = tokens[:, :, 0], tokens[:, :, 1]
    none = torch.zeros(1, 2)
    assert made.eagerness(tokens, last, none)[0].tolist() == pytest.approx([1, AFTER_PEOPLE])
    assert not made.eagerness(tokens, first, none).any()  # after a word that does not lead
    assert not made.eagerness(tokens, last, none + 1).any()  # for it was named before


def test_articles_agree_with_what_follows() -> None:
    made = rules()
    made.articles.copy_(torch.tensor([A, SIDE]))
    made.vowels[DOG] = 1
    said = torch.tensor([[[A, DOG, A, BROWN, DOG, A, EOS, PAD]]])
    assert made.agree(said).tolist() == [[[SIDE, DOG, A, BROWN, DOG, A, EOS, PAD]]]
    assert torch.equal(Rules(WORDS, 3).agree(said), said)


def test_a_tag_is_named_once() -> None:
    assert DOG in ruled_out(Rules(WORDS, 3), [A, DOG, BROWN, SIDE, A], wished=DOG)
    assert DOG not in ruled_out(Rules(WORDS, 3), [A, DOG, BROWN, SIDE, A])


def test_weights_from_before_the_rules_have_none() -> None:
    loaded = rules()
    loaded.load_state_dict({})
    assert all(not value.any() for value in loaded.state_dict().values())
