"""Data of the matrix: numbers, mixed columns, pictures and texts, split once."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from matrix import ROWS
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.model_selection import train_test_split

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@cache
def numbers(task: str) -> Split:
    """Numbers: X, X_test (ROWS rows), y, y_test; classes are indices."""
    load = {"binary": load_breast_cancer, "multiclass": load_wine, "regression": load_diabetes}[task]
    X, y = load(return_X_y=True)
    parts = train_test_split(X, y, test_size=ROWS, random_state=0, stratify=None if task == "regression" else y)
    return parts[0], parts[1], parts[2], parts[3]


@cache
def table(task: str) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Mixed columns: X, X_test, y; numbers with gaps, texts that are categories, a boolean."""
    draw = np.random.default_rng(0)
    rows = 500 + ROWS
    X = pd.DataFrame(
        {
            "age": draw.integers(18, 80, rows),
            "income": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(30, 9, rows).round(2)),
            "purpose": draw.choice(["car", "radio", "education"], rows),
            "owner": draw.random(rows) < 0.5,
        }
    )
    score = X["age"] / 40 + (X["purpose"] == "car") - X["income"].fillna(20) / 30 + X["owner"]
    y = {
        "binary": np.where(score > 0.8, "good", "bad"),
        "multiclass": np.array(["low", "middle", "high"])[np.digitize(score, [0.4, 1.2])],
        "regression": score.to_numpy(),
    }[task]
    return X.iloc[ROWS:], X.iloc[:ROWS].reset_index(drop=True), y[ROWS:]


@cache
def digits() -> Split:
    """Pictures of digits: X (n, 8, 8) float32 from 0 to 1, X_test, y, y_test."""
    X, y = load_digits(return_X_y=True)
    images = (X / 16).astype(np.float32).reshape(-1, 8, 8)
    parts = train_test_split(images, y, test_size=ROWS, random_state=0)
    return parts[0], parts[1], parts[2], parts[3]


@cache
def messages() -> tuple[list[str], list[str], np.ndarray]:
    """Short texts: X, X_test, and whether they are spam, for X."""
    draw = np.random.default_rng(0)
    words = {
        "spam": ["win", "cash", "prize", "now", "call", "free", "claim", "urgent", "offer", "text"],
        "ham": ["see", "you", "home", "later", "dinner", "meeting", "ok", "love", "mum", "work"],
    }
    y = draw.choice(["ham", "spam"], 400 + ROWS)
    common = ["the", "to", "a", "and", "is", "in"]
    texts = [" ".join(draw.choice([*words[kind], *common], draw.integers(4, 14))) for kind in y]
    return texts[ROWS:], texts[:ROWS], y[ROWS:]
