"""The bare application that a server is measured against: granian, JSON, ONNX Runtime, and nothing else.

It reads one named row, runs the graph, and writes label and probabilities. It checks nothing, counts nothing, has no
bound on a body, and knows one model. Its graph and its columns come through BARE_MODEL, a folder.
"""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime

_FOLDER = Path(os.environ["BARE_MODEL"])
_COLUMNS = json.loads((_FOLDER / "columns.json").read_text())
"""[[name, "number" or "category"]], in the order of the graph."""
_LABELS = json.loads((_FOLDER / "labels.json").read_text())
_NAMES = [name for name, _ in _COLUMNS]
_RAW = any(kind == "category" for _, kind in _COLUMNS)
_decode, _encode = msgspec.json.decode, msgspec.json.encode
_HEADERS = [("content-type", "application/json")]


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(_FOLDER / "model.onnx"), options, providers=["CPUExecutionProvider"])


_run = _session().run


def _feeds(row: dict) -> dict:
    if not _RAW:
        return {"features": np.array([[row[name] for name in _NAMES]], dtype=np.float64)}
    return {
        name: np.array([[row[name]]], dtype=object if kind == "category" else np.float64) for name, kind in _COLUMNS
    }


async def app(scope, proto) -> None:
    row = _decode(await proto())
    (probabilities,) = _run(["probabilities"], _feeds(row))
    shares = probabilities[0].tolist()
    reply = {"prediction": _LABELS[shares.index(max(shares))], "probabilities": dict(zip(_LABELS, shares, strict=True))}
    proto.response_bytes(200, _HEADERS, _encode(reply))


async def rows(scope, proto) -> None:
    """The same for rows of numbers as bytes, behind an envelope that it does not read."""
    head = int(scope.headers.get("inference-header-content-length", "0"))
    values = np.frombuffer(memoryview(await proto())[head:]).reshape(-1, len(_NAMES))
    (probabilities,) = _run(["probabilities"], {"features": values})
    proto.response_bytes(200, [], probabilities.tobytes())
