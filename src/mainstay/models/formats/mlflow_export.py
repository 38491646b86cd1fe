"""A version as an MLflow model folder that the `mlflow` package loads and predicts from, without Mainstay."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import onnx

from mainstay.models.formats import mlflow_loader
from mainstay.models.formats.raw_export import onnx_of
from mainstay.models.package import Package
from mainstay.models.signature import Column
from mainstay.models.tensors import Tensor

MODEL = "model.onnx"
_LOADER = "mainstay_onnx"


def mlflow_of(package: Package) -> dict[str, bytes]:
    """The folder's files, by their path in it.

    Raises:
        CannotExport: the version is no ONNX, or its graph cannot take raw columns.
    """
    return {
        MODEL: onnx_of(package),
        f"code/{_LOADER}.py": Path(mlflow_loader.__file__).read_bytes(),
        "MLmodel": _described(package).encode(),
        "requirements.txt": b"mlflow\nnumpy\nonnxruntime\npandas\n",
    }


def _described(package: Package) -> str:
    """The file `MLmodel`: JSON, which is YAML too."""
    signature = package.signature
    columns = [
        {"type": _type(column, package), "name": column.name, "required": not column.nullable}
        for column in signature.inputs
    ]
    inputs = [*columns, *map(_tensor, signature.tensors)]
    document = {
        "flavors": {
            "python_function": {
                "loader_module": _LOADER,
                "data": MODEL,
                "code": "code",
                "python_version": platform.python_version(),
            },
            "onnx": {
                "data": MODEL,
                "onnx_version": onnx.__version__,
                "providers": ["CPUExecutionProvider"],
                "code": None,
            },
        },
        "signature": {"inputs": json.dumps(inputs), "outputs": json.dumps(_answers(package)), "params": None},
        "metadata": {"mainstay_content_id": package.manifest.content_id},
    }
    return json.dumps(document, indent=2) + "\n"


def _type(column: Column, package: Package) -> str:
    """MLflow's type of a column. It makes no double of a 64-bit integer, so a column of integers is declared as one:
    golden rows have integers where training had nothing else."""
    match column.type:
        case "category" | "text":
            return "string"
        case "boolean" | "datetime":
            return column.type
    values = [row[column.name] for row in package.golden.rows]
    whole = not column.nullable and bool(values) and all(isinstance(value, int) for value in values)
    return "long" if whole else "double"


def _answers(package: Package) -> list[dict[str, Any]]:
    signature = package.signature
    if signature.outputs:
        return list(map(_tensor, signature.outputs))
    kind = {str: "string", bool: "boolean", int: "long"}[type(signature.labels[0])] if signature.labels else "double"
    shares = signature.labels if package.golden.probabilities is not None else ()
    return [
        {"type": kind, "name": "prediction"},
        *({"type": "double", "name": f"probability_{label}"} for label in shares),
    ]


def _tensor(tensor: Tensor) -> dict[str, Any]:
    shape = [-1, *(size if isinstance(size, int) else -1 for size in tensor.shape)]
    dtype = {"text": "str", "bytes": "object"}.get(tensor.dtype, tensor.dtype)
    return {"type": "tensor", "name": tensor.name, "tensor-spec": {"dtype": dtype, "shape": shape}}
