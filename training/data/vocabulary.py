"""The vocabulary: captions to token ids and back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from handler.text import EOS, SPECIALS, UNK, detokenise


def tokenise(caption: str) -> list[str]:
    """Split a caption into lower-case Penn Treebank tokens.

    ``preserve_line`` keeps nltk from looking for its sentence splitter, which would have to be
    downloaded. Captioning reads vocabularies without nltk, which only training needs.
    """
    from nltk.tokenize import word_tokenize

    return word_tokenize(caption.lower(), preserve_line=True)


class Vocabulary:
    """Token ids of the words that occur at least ``freq_threshold`` times.

    Ids 0..3 are ``<PAD> <SOS> <EOS> <UNK>``; the words follow, the most frequent first, so that
    the same captions give the same ids in whatever order they are counted. A phrase of two words
    that is known ("fire truck", as ``extend`` was given it) is one token.
    """

    def __init__(self, freq_threshold: int = 5) -> None:
        if freq_threshold < 1:
            raise ValueError(f"freq_threshold must be at least 1, but is {freq_threshold}.")
        self.freq_threshold = freq_threshold
        self.itos: list[str] = list(SPECIALS)
        self.stoi: dict[str, int] = {token: index for index, token in enumerate(SPECIALS)}

    def __len__(self) -> int:
        return len(self.itos)

    def build(self, captions: Iterable[str], threshold: int | None = None) -> Vocabulary:
        """Count ``captions`` (of the training split alone) and add their frequent words.

        Args:
            threshold: occurrences that make a word of these captions frequent, if others do.
        """
        counts = Counter(token for caption in captions for token in self._tokenise(caption))
        enough = threshold or self.freq_threshold
        frequent = [word for word, count in counts.items() if count >= enough]
        self.extend(sorted(frequent, key=lambda word: (-counts[word], word)))
        return self

    def extend(self, words: Iterable[str]) -> None:
        """Append the words that are not known yet; known ids never change."""
        for word in words:
            if word not in self.stoi:
                self.stoi[word] = len(self.itos)
                self.itos.append(word)

    def encode(self, caption: str, max_tokens: int | None = None) -> list[int]:
        """Token ids of a caption, closed by ``<EOS>``.

        A caption cut at ``max_tokens`` words is left without ``<EOS>``, so that no model learns to
        stop in the middle of a sentence.
        """
        ids = [self.stoi.get(token, UNK) for token in self._tokenise(caption)]
        if max_tokens is not None and len(ids) > max_tokens:
            return ids[:max_tokens]
        return [*ids, EOS]

    def _tokenise(self, caption: str) -> list[str]:
        """The tokens of a caption, known phrases joined."""
        tokens: list[str] = []
        alone = False  # the last of the tokens, so that the next word may join it
        for word in tokenise(caption):
            alone = not (alone and f"{tokens[-1]} {word}" in self.stoi)
            if alone:
                tokens.append(word)
            else:
                tokens[-1] = f"{tokens[-1]} {word}"
        return tokens

    def decode(self, ids: Sequence[int]) -> str:
        """The sentence of ``ids`` up to ``<EOS>``, special tokens left out except ``<UNK>``."""
        words = []
        for index in ids:
            if index == EOS:
                break
            if index >= UNK:
                words.append(self.itos[index])
        return detokenise(words)

    def save(self, path: Path) -> None:
        """Write the mapping word -> id as ``vocab.json``."""
        path.write_text(json.dumps(self.stoi, ensure_ascii=False, indent=0), encoding="utf-8")
