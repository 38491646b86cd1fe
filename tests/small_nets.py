"""Small networks, as graphs and as what they compute."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits


def layer(rows: np.ndarray, weights: np.ndarray, node: str = "MatMul", **attributes: object) -> onnx.ModelProto:
    """One node with constant weights, from `features` to `value`."""
    kind = helper.np_dtype_to_tensor_dtype(weights.dtype)
    graph = helper.make_graph(
        [helper.make_node(node, ["features", "w"], ["value"], **attributes)],
        "layer",
        [helper.make_tensor_value_info("features", kind, ["rows", *rows.shape[1:]])],
        [helper.make_tensor_value_info("value", kind, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def digits_net(seed: int = 0) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """A convolution and a classifier of its features, fitted on half of the digits; the other half (n, 1, 8, 8) float32
    and their labels."""
    pictures, labels = load_digits(return_X_y=True)
    pictures = (pictures / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    draw = np.random.default_rng(seed)
    kernels = draw.normal(size=(8, 1, 3, 3)).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(pictures[:, 0], (3, 3), axis=(1, 2))
    found = np.maximum(np.einsum("nijab,kab->nkij", patches, kernels[:, 0]), 0)
    flat = found.reshape(len(found), -1)
    # Ridge regression on the classes, ten of them far enough apart for a softmax.
    design = np.c_[flat[::2], np.ones(len(flat[::2]))]
    dense = np.linalg.solve(design.T @ design + 10 * np.eye(design.shape[1]), design.T @ np.eye(10)[labels[::2]]) * 10
    weights = {"kernels": kernels, "dense": dense[:-1].astype(np.float32), "offsets": dense[-1].astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pictures", "kernels"], ["convolved"]),
            helper.make_node("Relu", ["convolved"], ["active"]),
            helper.make_node("Flatten", ["active"], ["flat"]),
            helper.make_node("Gemm", ["flat", "dense", "offsets"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "digits",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["rows", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model, pictures[1::2], labels[1::2]
