"""The two models that servers are measured with, and the row that they are asked for."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import mainstay
from mainstay.models.formats.export import Exported
from mainstay.models.formats.raw_graph import raw_graph
from mainstay.registry.store import Registry

CREDIT = (
    Path(os.environ.get("MAINSTAY_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "credit.csv"
)


def cancer(folder: Path) -> list[dict[str, Any]]:
    """30 numbers, 100 boosted trees: registers the model; rows to ask."""
    rows, y = load_breast_cancer(return_X_y=True, as_frame=True)
    y = y.map({0: "malignant", 1: "benign"})
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0).fit(rows[:400], y[:400])
    mainstay.register(model, name="cancer", X=rows[:400], X_test=rows[400:], y_test=y[400:], folder=folder)
    return _plain(rows[400:])


def credit(folder: Path) -> list[dict[str, Any]]:
    """20 mixed columns: as above."""
    frame = pd.read_csv(CREDIT)
    y = frame.pop("class")
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    boosted = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
    model = make_pipeline(make_column_transformer((codes, texts), remainder="passthrough"), boosted)
    model.fit(frame[:800], y[:800])
    mainstay.register(model, name="credit", X=frame[:800], X_test=frame[800:], y_test=y[800:], folder=folder)
    return _plain(frame[800:])


def bare_files(project: Path, name: str, folder: Path) -> None:
    """What the bare application loads: the version's own graph, with raw columns in front where there are texts."""
    with Registry.open(project / ".mainstay") as registry:
        chosen = registry.version(name)
        package = registry.package(chosen)
        registry.deploy(chosen, expecting=None, actor="benchmark", override=True, reason="to be measured")
    signature, encoder, graph = package.signature, package.encoder, package.read(package.spec.file)
    assert encoder is not None
    if any(column.type == "category" for column in signature.inputs):
        graph = raw_graph(signature, encoder, Exported(graph, encoder.dtype, {}))
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph)
    (folder / "columns.json").write_text(json.dumps([[column.name, column.type] for column in signature.inputs]))
    (folder / "labels.json").write_text(json.dumps(signature.labels))


def _plain(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in rows.to_dict("records")
    ]
