"""Which terms of a free-text column become features: a bounded number, chosen on the training rows alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mainstay.models.signature import Floats
from mainstay.models.text import TextTerms

MATRIX_BYTES = 2**28
"""Text features of all training rows stay below this, so that a search holds several such matrices."""
WIDEST = {"linear": 4000, "tree": 500}
"""Terms of a text column at most; trees look at every feature for every split, so they get fewer."""
NARROWEST = 20
CONSIDERED = 50_000
"""Only this many of the most common terms are ever weighed against each other."""


@dataclass(frozen=True)
class TextPlan:
    """How texts are taken apart."""

    analyzer: Literal["word", "char_wb"]
    tokens: Literal["words", "words_and_marks"]
    ngrams: tuple[int, int]
    lowercase: bool = True

    @staticmethod
    def named(name: str) -> TextPlan:
        return PLANS[name]


PLANS = {
    "words": TextPlan("word", "words_and_marks", (1, 2)),
    "characters": TextPlan("char_wb", "words", (2, 4)),
}


def width_for(*, rows: int, columns: int, kind: str) -> int:
    """How many terms a text column may have, by the rows that will be encoded and the number of text columns."""
    if columns == 0:
        return 0
    affordable = MATRIX_BYTES // (8 * max(1, rows) * columns)
    return max(NARROWEST, min(WIDEST[kind], affordable))


def fit_terms(
    texts: Sequence[str | None], column: int, plan: TextPlan, *, width: int, y: npt.NDArray[Any] | None = None
) -> TextTerms:
    """TF-IDF terms of a text column, at most `width`, in alphabetical order.

    A term of one row alone is left out where there are rows enough (more than 50): it cannot repeat.

    Args:
        texts: of the n training rows; None is an empty text.
        column: index of the column in the signature.
        plan: how texts are taken apart.
        width: the most terms that are kept.
        y: label indices (n,), int64: terms are ranked by the chi-squared statistic of their presence against the
            class (Manning, Raghavan, Schütze: Introduction to Information Retrieval, 13.5.2). Otherwise: by the
            number of rows that have them.
    """
    bare = TextTerms(
        column=column,
        vocabulary=(),
        analyzer=plan.analyzer,
        tokens=plan.tokens,
        ngrams=plan.ngrams,
        lowercase=plan.lowercase,
        sublinear=True,
    )
    terms_of = [set(bare.terms(text or "")) for text in texts]
    rows_with: Counter[str] = Counter()
    for terms in terms_of:
        rows_with.update(terms)
    least = 2 if len(texts) > 50 else 1
    common = sorted((term for term, count in rows_with.items() if count >= least), key=lambda t: (-rows_with[t], t))
    common = common[:CONSIDERED]
    if len(common) > width:
        if y is not None and np.issubdtype(y.dtype, np.integer):
            worth = _chi_squared(terms_of, common, y)
            order = sorted(range(len(common)), key=lambda i: (-worth[i], -rows_with[common[i]], common[i]))
            common = [common[i] for i in order]
        common = common[:width]
    vocabulary = tuple(sorted(common))
    # The smoothed inverse document frequency of scikit-learn's TfidfTransformer.
    idf = tuple(math.log((1 + len(texts)) / (1 + rows_with[term])) + 1.0 for term in vocabulary)
    return TextTerms(
        column=column,
        vocabulary=vocabulary,
        idf=idf,
        analyzer=plan.analyzer,
        tokens=plan.tokens,
        ngrams=plan.ngrams,
        lowercase=plan.lowercase,
        sublinear=True,
    )


def _chi_squared(terms_of: Sequence[set[str]], terms: Sequence[str], y: npt.NDArray[np.int64]) -> Floats:
    """The chi-squared statistic of each term's presence against the class, of shape (terms,)."""
    position = {term: i for i, term in enumerate(terms)}
    classes = int(y.max()) + 1
    present = np.zeros((classes, len(terms)))
    for row, label in zip(terms_of, y.tolist(), strict=True):
        found = [position[term] for term in row if term in position]
        present[label, found] += 1
    rows = np.bincount(y, minlength=classes).astype(np.float64)[:, None]
    share = present.sum(axis=0, keepdims=True) / len(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        there = (present - rows * share) ** 2 / (rows * share)
        absent = (rows - present - rows * (1 - share)) ** 2 / (rows * (1 - share))
    statistic: Floats = np.nansum(there, axis=0) + np.nansum(absent, axis=0)
    return statistic
