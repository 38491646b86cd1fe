"""The same over ONNX Runtime: a type for the body, an array, run."""

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI
from fastapi_app import Row, example

folder = Path(os.environ["BARE_MODEL"])
labels = json.loads((folder / "labels.json").read_text())
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
columns = json.loads((folder / "columns.json").read_text())
position = {name: f"f{index}" for index, name in enumerate(example)}
raw = any(kind == "category" for _, kind in columns)
app = FastAPI()


@app.post("/")
async def predict(row: Row):
    if raw:
        feeds = {
            name: np.array([[getattr(row, position[name])]], dtype=object if kind == "category" else np.float64)
            for name, kind in columns
        }
    else:
        feeds = {"features": np.array([[getattr(row, position[name]) for name, _ in columns]], dtype=np.float64)}
    shares = session.run(["probabilities"], feeds)[0][0].tolist()
    return {"prediction": labels[shares.index(max(shares))], "probabilities": dict(zip(labels, shares, strict=False))}
