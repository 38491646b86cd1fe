"""The vectorizers of scikit-learn for one column of texts, as weights of the encoder's terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer

from mainstay.models.formats.lanes import CannotTranscribe, Facts, Lane
from mainstay.models.text import TextTerms

TOKENS = {r"(?u)\b\w\w+\b": "words", r"(?u)\b\w+\b": "all_words", r"\w+|[^\w\s]": "words_and_marks"}


def vectorizer(transformer: CountVectorizer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """CountVectorizer and TfidfVectorizer of one column."""
    (lane,) = lanes
    if not lane.raw or lane.fill is not None:
        raise CannotTranscribe(f"{type(transformer).__name__} takes something that is not a column of texts")
    for part in ("preprocessor", "tokenizer"):
        if getattr(transformer, part) is not None:
            raise CannotTranscribe(f"{type(transformer).__name__} has a {part} of its own")
    if transformer.analyzer not in ("word", "char", "char_wb") or transformer.strip_accents not in (
        None,
        "unicode",
        "ascii",
    ):
        raise CannotTranscribe(f"{type(transformer).__name__} has an analyzer of its own")
    if transformer.analyzer == "word" and transformer.token_pattern not in TOKENS:
        raise CannotTranscribe(f"{type(transformer).__name__} splits by an expression of its own")
    if np.dtype(transformer.dtype) == np.float32:
        raise CannotTranscribe(f"{type(transformer).__name__} counts in single precision")
    words = sorted(transformer.vocabulary_, key=transformer.vocabulary_.__getitem__)
    stop = transformer.get_stop_words() if transformer.analyzer == "word" else None
    weights: dict[str, Any] = {"norm": None}
    if isinstance(transformer, TfidfVectorizer):
        weights = _weighting(transformer, transformer.idf_ if transformer.use_idf else None)
    facts.texts.add(lane.column)
    terms = TextTerms(
        column=lane.column,
        vocabulary=tuple(words),
        analyzer=transformer.analyzer,
        tokens=TOKENS.get(transformer.token_pattern, "words"),  # type: ignore[arg-type]  # a name of the table above
        stop_words=tuple(sorted(stop or ())),
        ngrams=tuple(transformer.ngram_range),
        lowercase=transformer.lowercase,
        strip_accents=transformer.strip_accents,
        binary=transformer.binary,
        **weights,
    )
    return [Lane(lane.column, width=len(words), text=terms, sparse=True)]


def tfidf_transformer(transformer: TfidfTransformer, lanes: Sequence[Lane], facts: Facts) -> list[Lane]:
    """Weights for the counts of a CountVectorizer right before."""
    del facts
    if len(lanes) != 1 or lanes[0].text is None or lanes[0].steps or lanes[0].text.norm or lanes[0].text.idf:
        raise CannotTranscribe("TfidfTransformer takes something that is not the counts of one column of texts")
    lane, terms = lanes[0], lanes[0].text
    values = {name: getattr(terms, name) for name in terms.__struct_fields__}
    weights = _weighting(transformer, transformer.idf_ if transformer.use_idf else None)
    return [replace(lane, text=TextTerms(**{**values, **weights}))]


def _weighting(source: Any, idf: Any) -> dict[str, Any]:
    return {
        "idf": () if idf is None else tuple(map(float, idf)),
        "norm": source.norm,
        "sublinear": bool(source.sublinear_tf),
    }
