"""The model that every peer serves: scikit-learn's boosted trees, trained in the peer's own environment.

python learned.py cancer DATA FOLDER     makes FOLDER/model.joblib
"""

import os
import sys
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

MODEL = "model.joblib"


def cancer():
    """30 numbers, 100 boosted trees; the model, its rows and its answers."""
    rows, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    return model.fit(rows[:400], y[:400]), rows, y, 400


def credit(path):
    """20 mixed columns; as above."""
    rows = pd.read_csv(path)
    y = rows.pop("class")
    texts = [name for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    boosted = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    model = make_pipeline(make_column_transformer((codes, texts), remainder="passthrough"), boosted)
    return model.fit(rows[:800], y[:800]), rows, y, 800


class Learned:
    """The model of FOLDER, asked as people write it: a row by name, a frame, probabilities."""

    def __init__(self, folder=None):
        self.model = joblib.load(Path(folder or os.environ["PEER_MODEL"]) / MODEL)

    def __call__(self, row):
        shares = self.model.predict_proba(pd.DataFrame([row]))[0].tolist()
        labels = self.model.classes_.tolist()
        return {
            "prediction": labels[shares.index(max(shares))],
            "probabilities": dict(zip(labels, shares, strict=False)),
        }


if __name__ == "__main__":
    _, name, data, folder = sys.argv
    model, *_ = cancer() if name == "cancer" else credit(data)
    joblib.dump(model, Path(folder) / MODEL)
