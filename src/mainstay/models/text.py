"""Free text as the weights of a bounded list of terms (term frequency, inverse document frequency).

The same arithmetic as scikit-learn's TfidfVectorizer, so that one which a user fitted can be transcribed:
https://scikit-learn.org/stable/modules/feature_extraction.html#tfidf-term-weighting
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np

from mainstay.models.signature import Floats

# A package names one of these; it never brings an expression of its own, which could be made to run for ever.
TOKENS = {
    "words": re.compile(r"(?u)\b\w\w+\b"),
    "all_words": re.compile(r"(?u)\b\w+\b"),
    "words_and_marks": re.compile(r"\w+|[^\w\s]"),
}
SPACES = re.compile(r"\s\s+")


class TextTerms(msgspec.Struct, frozen=True, kw_only=True, tag="text_terms", tag_field="kind"):
    """One text column as `len(vocabulary)` weights. A missing text counts as an empty one."""

    column: int
    vocabulary: tuple[str, ...]
    idf: tuple[float, ...] = ()
    """A factor a term; empty for none."""
    analyzer: Literal["word", "char", "char_wb"] = "word"
    """Words, characters, or characters within a word padded with blanks."""
    tokens: Literal["words", "all_words", "words_and_marks"] = "words"
    ngrams: tuple[int, int] = (1, 1)
    stop_words: tuple[str, ...] = ()
    """Words that are left out before terms of several words are made."""
    lowercase: bool = True
    strip_accents: Literal["unicode", "ascii"] | None = None
    binary: bool = False
    sublinear: bool = False
    """1 + log(count) in place of the count."""
    norm: Literal["l1", "l2"] | None = "l2"

    def compiled(self) -> Callable[[Sequence[str | None]], Floats]:
        """The function from n texts to float64 of shape (n, terms)."""
        index = {term: position for position, term in enumerate(self.vocabulary)}
        width = len(index)

        def run(texts: Sequence[str | None]) -> Floats:
            weights = np.zeros((len(texts), width))
            for row, text in enumerate(texts):
                for position, weight in self._weights(text or "", index).items():
                    weights[row, position] = weight
            return weights

        return run

    def _weights(self, text: str, index: dict[str, int]) -> dict[int, float]:
        counts: dict[int, float] = {}
        for term in self.terms(text):
            position = index.get(term)
            if position is not None:
                counts[position] = counts.get(position, 0.0) + 1.0
        for position, count in counts.items():
            weight = 1.0 if self.binary else count
            if self.sublinear:
                weight = 1.0 + math.log(weight)
            counts[position] = weight * self.idf[position] if self.idf else weight
        length = 1.0
        if self.norm == "l2":
            length = math.sqrt(math.fsum(w * w for w in counts.values()))
        elif self.norm == "l1":
            length = math.fsum(abs(w) for w in counts.values())
        return {position: weight / length for position, weight in counts.items()} if length else counts

    def terms(self, text: str) -> Iterator[str]:
        """The terms of a text, repeated as often as they occur, in the vocabulary or not."""
        if self.lowercase:
            text = text.lower()
        if self.strip_accents is not None:
            decomposed = unicodedata.normalize("NFKD", text)
            text = (
                decomposed.encode("ascii", "ignore").decode()
                if self.strip_accents == "ascii"
                else "".join(c for c in decomposed if not unicodedata.combining(c))
            )
        shortest, longest = self.ngrams
        if self.analyzer == "word":
            words = TOKENS[self.tokens].findall(text)
            if self.stop_words:
                left_out = frozenset(self.stop_words)
                words = [word for word in words if word not in left_out]
            for size in range(shortest, longest + 1):
                if size == 1:
                    yield from words
                else:
                    yield from (" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
            return
        text = SPACES.sub(" ", text)
        if self.analyzer == "char":
            for size in range(shortest, longest + 1):
                yield from (text[i : i + size] for i in range(len(text) - size + 1))
            return
        for word in text.split():
            padded = f" {word} "
            for size in range(shortest, longest + 1):
                yield padded[:size]
                yield from (padded[i : i + size] for i in range(1, len(padded) - size + 1))
                if size >= len(padded):  # a short word is counted once
                    break
