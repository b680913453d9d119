"""What a search keeps to beside probabilities: rules of form, and what a caption ought to name."""

from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handler.text import EOS, PAD
from training.model.tagger import Tags

AFTER_PEOPLE = 0.7  # of what naming a tag is worth
EVEN = 0.5  # probability below which it costs something to name a thing


class Rules(nn.Module):
    """Rules for the sentences of a search, as tables over the vocabulary.

    ``again``: the words that a word rules out for the rest of its sentence, itself and its other
    number ("a dog with a dog", "dogs and a dog"); ``soon``: 1 for words that may come again, but
    not among the next three ("brown and brown"); ``unclosed``: 1 for words that end no sentence;
    ``heads``: 1 for nouns, which make of a word before them something else ("a coffee table").

    ``worth``: what naming the surest tag is worth if it is this word, in units of the score by
    which sentences are ranked, once and only right after a word that ``leads`` to things (1: "a",
    "wooden", but not "is"); ``sure``: how probable that tag must be; ``people``: 1 for words
    for people, after whom it is worth less; ``elsewhere`` and its bias: of the features, whether a
    picture is unlike those whose captions were learnt, of which a model knows what people say.
    Together they are a softer form of constrained beam search (Anderson et al., EMNLP 2017) that
    needs no more beams.

    ``several``: 1 for words after which, or after whose next word, things are plural ("two", "group
    of"); ``single``: 1 for words that name one thing, and do not name a tag there; ``theirs``: the
    possessive that is not said of a person, ``<PAD>``: none ("a woman in his car").

    ``kinds``: for a word that names a thing or a person, an id that other words for the same have,
    too ("cat" and "kittens", all people); else ``<PAD>``.

    ``vowels``: 1 for words that come after "an" and not "a", whose ids are ``articles``; a word
    that was seldom seen comes after the wrong one. Empty tables change nothing.
    """

    pad: Final[int] = PAD
    eos: Final[int] = EOS
    after_people: Final[float] = AFTER_PEOPLE
    even: Final[float] = EVEN
    again: Tensor
    soon: Tensor
    unclosed: Tensor
    heads: Tensor
    worth: Tensor
    sure: Tensor
    people: Tensor
    leads: Tensor
    several: Tensor
    single: Tensor
    theirs: Tensor
    kinds: Tensor
    vowels: Tensor
    articles: Tensor
    elsewhere: Tensor
    elsewhere_bias: Tensor

    def __init__(self, vocab_size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("again", torch.full((vocab_size, 2), PAD))
        self.register_buffer("soon", torch.zeros(vocab_size))
        self.register_buffer("unclosed", torch.zeros(vocab_size))
        self.register_buffer("heads", torch.zeros(vocab_size))
        self.register_buffer("worth", torch.zeros(vocab_size))
        self.register_buffer("sure", torch.zeros(()))
        self.register_buffer("people", torch.zeros(vocab_size))
        self.register_buffer("leads", torch.zeros(vocab_size))
        self.register_buffer("several", torch.zeros(vocab_size))
        self.register_buffer("single", torch.zeros(vocab_size))
        self.register_buffer("theirs", torch.full((vocab_size,), PAD))
        self.register_buffer("kinds", torch.full((vocab_size,), PAD))
        self.register_buffer("vowels", torch.zeros(vocab_size))
        self.register_buffer("articles", torch.full((2,), PAD))
        self.register_buffer("elsewhere", torch.zeros(channels))
        self.register_buffer("elsewhere_bias", torch.zeros(()))

    def unlike(self, features: Tensor) -> Tensor:
        """How unlike the captioned pictures those with features ``[B, G, D]`` are: ``[B]``."""
        outlook = features.float().mean(1) @ self.elsewhere.float()
        return (outlook + self.elsewhere_bias.float()).sigmoid()

    def wishes(self, tags: Tags, means: Tensor) -> Tensor:
        """What each word is worth, ``[B, V]``: 0 but for those that name a picture's surest tag.

        Args:
            means: for each word, the plain word that it stands for (``Tagger.means``).
        """
        wishes = torch.zeros(tags.words.shape[0], means.shape[0], device=means.device)
        if tags.words.shape[1] > 0:
            surest = tags.words[:, :1]  # (B, 1)
            wished = (means == surest) & (tags.probabilities[:, :1] >= self.sure)
            worth = self.worth.float()[surest] * tags.elsewhere.unsqueeze(1)
            wishes = torch.where(wished, worth, 0.0)
        return wishes

    def eagerness(self, tokens: Tensor, last: Tensor, earned: Tensor) -> Tensor:
        """What part of a wish a next word fulfils, ``[B, K]``, after sentences ``[B, K, T]`` that
        end in ``last`` ``[B, K]`` and have ``earned`` something ``[B, K]`` or not: it is once."""
        spoken_of = F.embedding(tokens, self.people.unsqueeze(1)).amax((2, 3)) > 0  # (B, K)
        leads = (F.embedding(last, self.leads.unsqueeze(1)).squeeze(-1) > 0) & (earned == 0)
        return torch.where(spoken_of, self.after_people, 1.0) * leads

    def unsaid(
        self, log_probs: Tensor, tokens: Tensor, before: Tensor, last: Tensor, t: Tensor
    ) -> Tensor:
        """``log_probs`` ``[B, K, V]`` without what may not follow because of what was said.

        No sentence has a word twice in a row, the same three words twice (Paulus et al., ICLR
        2018), or a word that the tables rule out.

        Args:
            tokens: of the sentences so far, ``[B, K, T]``; last: their last word, ``[B, K]``, and
                before: the one before it.
            t: the number of the step (a scalar).
        """
        last, before = last.unsqueeze(-1), before.unsqueeze(-1)  # (B, K, 1)
        third = tokens.gather(2, (t - 3).clamp(min=0).expand_as(last))  # the last but two
        close = torch.cat([before, third], dim=-1)
        soon = F.embedding(close, self.soon.unsqueeze(1)).squeeze(-1) > 0
        table = torch.cat([self.again, self.theirs.unsqueeze(1)], dim=1)
        repeats = (tokens[:, :, :-2] == before) & (tokens[:, :, 1:-1] == last)
        said = [
            last,
            torch.where(soon, close, self.pad),
            F.embedding(tokens, table).flatten(2),
            torch.where(repeats, tokens[:, :, 2:], self.pad),
        ]
        return log_probs.scatter(2, torch.cat(said, dim=-1), float("-inf"))

    def fitting(
        self,
        log_probs: Tensor,
        words: Tensor,
        wish: Tensor,
        wishes: Tensor,
        earned: Tensor,
        before: Tensor,
        last: Tensor,
    ) -> Tensor:
        """``log_probs`` ``[B, K, C]`` of next ``words`` without those that do not fit.

        What names a tag is said but once, in the number that its sentence asks for, and is no part
        of another name. Where nothing else may follow, a sentence may end anyhow.

        Args:
            wish: what the words are worth, ``[B, K, C]``; wishes: all words, ``[B, V]``.
            earned: above 0 where a sentence has named the tag, ``[B, K]``; before, last: as above.
        """
        names = wishes.gather(1, last).unsqueeze(-1) > 0  # (B, K, 1)
        ends = torch.stack([last, before], dim=-1)  # (B, K, 2)
        several = F.embedding(ends, self.several.unsqueeze(1)).amax((2, 3)).unsqueeze(-1) > 0
        single, heads = F.embedding(words, torch.stack([self.single, self.heads], 1)).unbind(-1)
        wished = (earned > 0).unsqueeze(-1) | (several & (single > 0))
        broken = (wished & (wish > 0)) | (names & (heads > 0))
        log_probs = torch.where(broken, float("-inf"), log_probs)
        is_end = words == self.eos
        goes_on = log_probs.masked_fill(is_end, float("-inf")).amax(-1, keepdim=True)  # (B, K, 1)
        unclosed = F.embedding(last, self.unclosed.unsqueeze(1)) > 0  # (B, K, 1)
        unclosed = unclosed & (goes_on > float("-inf"))
        return torch.where(unclosed & is_end, float("-inf"), log_probs)

    def vouched(self, tags: Tags, means: Tensor) -> Tensor:
        """How probable the tag is that each word names, ``[B, V]``: 0 where it names none."""
        by_word = torch.zeros(tags.words.shape[0], means.shape[0], device=means.device)
        by_word = by_word.scatter(1, tags.words, tags.probabilities.float())
        return torch.where(means != self.pad, by_word[:, means], 0.0)

    def doubts(
        self, log_probs: Tensor, words: Tensor, vouched: Tensor, elsewhere: Tensor
    ) -> Tensor:
        """What it costs that next ``words`` name what is hardly there, ``[B, K, C]``, at most 0.

        A thing, by whatever word, that decoder and tagger hold less probable than not, costs that
        once more on pictures unlike the captioned ones: a search averse to what is uncertain makes
        up less (Xiao & Wang, EACL 2021).

        Args:
            log_probs: of the words, ``[B, K, C]``; vouched: as above.
            elsewhere: how unlike the pictures are, ``[B]``.
        """
        kinds = F.embedding(words, self.kinds.unsqueeze(1)).squeeze(-1)
        same = kinds.unsqueeze(-1) == kinds.unsqueeze(-2)  # (B, K, C, C)
        probable = torch.where(same, log_probs.exp().unsqueeze(-2), 0.0).sum(-1)
        probable = torch.maximum(probable, vouched.gather(1, words.flatten(1)).view(words.shape))
        cost = (probable.clamp(min=1e-6) / self.even).log().clamp(max=0) * elsewhere.view(-1, 1, 1)
        return torch.where(kinds != self.pad, cost, 0.0)

    def agree(self, tokens: Tensor) -> Tensor:
        """Sentences ``[B, K, T]`` with "an" where it must stand for "a"."""
        following = F.pad(tokens[:, :, 1:], [0, 1])
        wrong = (tokens == self.articles[0]) & (self.vowels[following] > 0)
        return torch.where(wrong, self.articles[1], tokens)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Weights from before there were such tables make empty ones."""
        for name, buffer in self.named_buffers():
            state_dict.setdefault(prefix + name, torch.zeros_like(buffer))
        super()._load_from_state_dict(state_dict, prefix, *rest)
