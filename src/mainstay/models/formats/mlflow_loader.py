"""Loads a model folder that Mainstay wrote into MLflow. Needs onnxruntime, numpy and pandas, and no Mainstay.

This file is written into each such folder, as `code/mainstay_onnx.py`: MLflow's own loader of ONNX files hands on
pandas' texts, date-times and 64-bit integers as ONNX Runtime does not take them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd


class Model:
    """Answers tables, and arrays by name."""

    def __init__(self, path: str) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        facts = self._session.get_modelmeta().custom_metadata_map
        self._labels = json.loads(facts["labels"])
        self._types = {column["name"]: column["type"] for column in json.loads(facts["columns"])}
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def predict(self, data: Any, params: Any = None) -> Any:
        """A table with a column `prediction`, and `probability_LABEL` for each class; arrays by name for arrays.

        Args:
            data: a DataFrame, or a mapping from the names of the inputs to arrays of n rows.
            params: none are known.
        """
        del params
        if not isinstance(data, pd.DataFrame | Mapping):
            if len(self._inputs) != 1:
                raise TypeError(f"The model takes {', '.join(self._inputs)}: give a DataFrame, or arrays by name.")
            data = {self._inputs[0]: data}
        rows = len(data) if isinstance(data, pd.DataFrame) else len(next(iter(data.values())))
        feeds = {name: self._fed(name, data.get(name), rows) for name in self._inputs}
        found = dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        return pd.DataFrame(self._answers(found)) if isinstance(data, pd.DataFrame) else self._answers(found)

    def _fed(self, name: str, values: Any, rows: int) -> Any:
        """An input as the graph takes it: (n, 1) doubles, or texts; a missing text is an empty one."""
        kind = self._types.get(name)
        if kind is None:
            return np.asarray(values)
        text = kind in ("category", "text")
        column = pd.Series([None] * rows if values is None else np.ravel(np.asarray(values, dtype=object)))
        if text:
            spelled = ["" if value is None or value != value else str(value) for value in column.tolist()]  # noqa: PLR0124 - NaN
            return np.array(spelled, dtype=object)[:, None]
        if kind == "datetime":
            moments = pd.to_datetime(column, utc=True)
            seconds = (moments - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
            return seconds.to_numpy(dtype=np.float64)[:, None]
        return pd.to_numeric(column).to_numpy(dtype=np.float64)[:, None]

    def _answers(self, found: dict[str, Any]) -> dict[str, Any]:
        if "value" in found:
            return {"prediction": np.ravel(found["value"])}
        if "label" not in found:
            return found
        named = np.array(self._labels, dtype=object)[np.ravel(found["label"])]
        answers: dict[str, Any] = {"prediction": named}
        if "probabilities" in found:
            shares = np.asarray(found["probabilities"], dtype=np.float64)
            answers |= {f"probability_{label}": shares[:, index] for index, label in enumerate(self._labels)}
        return answers


def _load_pyfunc(path: str) -> Model:
    """What MLflow calls."""
    return Model(path)
