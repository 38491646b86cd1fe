"""A hand-written FastAPI application over the scikit-learn model: a type for the body, a frame, predict_proba."""

import json
import os
from pathlib import Path

import pandas as pd
from fastapi import FastAPI
from learned import Learned
from pydantic import ConfigDict, create_model

example = json.loads((Path(os.environ["PEER_MODEL"]) / "row.json").read_text())
Row = create_model(
    "Row",
    __config__=ConfigDict(extra="forbid"),
    **{f"f{index}": (type(value), ...) for index, value in enumerate(example.values())},
)
for index, name in enumerate(example):
    Row.model_fields[f"f{index}"].alias = name
    Row.model_fields[f"f{index}"].validation_alias = name
Row.model_rebuild(force=True)
learned = Learned()
app = FastAPI()


@app.post("/")
def predict(row: Row):
    return learned({name: getattr(row, f"f{index}") for index, name in enumerate(example)})


@app.post("/many")
def predict_many(rows: list[Row]):
    frame = pd.DataFrame([{name: getattr(row, f"f{index}") for index, name in enumerate(example)} for row in rows])
    shares = learned.model.predict_proba(frame)
    labels = learned.model.classes_.tolist()
    return {
        "prediction": [labels[index] for index in shares.argmax(axis=1)],
        "probabilities": [dict(zip(labels, row, strict=False)) for row in shares.tolist()],
    }
