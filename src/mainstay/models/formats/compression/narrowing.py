"""From double to single precision, for graphs of layers: matrix products, sums and activation functions.

Trees stay in double precision, since they are compared with the very numbers of the rows; so do operators of others.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mainstay.models.formats.compression.technique import inner_nodes
from mainstay.models.formats.onnx import FEATURES

_NAMES = (
    "Abs Add And ArgMax AveragePool BatchNormalization Cast Clip Concat Constant Conv ConvTranspose Div Dropout Elu "
    "Equal Erf Exp Expand Flatten Floor GRU Gather Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual "
    "HardSigmoid HardSwish Identity LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max "
    "MaxPool Mean Min Mul Neg Not Or PRelu Pow RNN Reciprocal ReduceMax ReduceMean ReduceSum Relu Reshape Round Selu "
    "Shape Sigmoid Sign Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where"
)
_LAYERS = frozenset(_NAMES.split())


def narrow(model: onnx.ModelProto) -> None:
    """Makes single precision of double in a graph of layers alone; any other graph stays as it is."""
    graph = model.graph
    if model.functions or any(node.domain not in ("", "ai.onnx") or node.op_type not in _LAYERS for node in graph.node):
        return
    if any(True for _ in inner_nodes(graph)):
        return
    for entry in (*graph.output, *graph.value_info):
        if entry.type.tensor_type.elem_type == TensorProto.DOUBLE:
            entry.type.tensor_type.elem_type = TensorProto.FLOAT
    _inputs(graph)
    for tensor in graph.initializer:
        _single(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _single(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT


def _inputs(graph: onnx.GraphProto) -> None:
    """Takes features, which an encoder makes, in single precision; what others give is rounded in the graph."""
    constants = {tensor.name for tensor in graph.initializer}
    for entry in graph.input:
        if entry.type.tensor_type.elem_type != TensorProto.DOUBLE:
            continue
        if entry.name == FEATURES or entry.name in constants:
            entry.type.tensor_type.elem_type = TensorProto.FLOAT
            continue
        rounded = f"{entry.name} (single)"
        for node in graph.node:
            names = [rounded if name == entry.name else name for name in node.input]
            del node.input[:]
            node.input.extend(names)
        graph.node.insert(0, helper.make_node("Cast", [entry.name], [rounded], rounded, to=TensorProto.FLOAT))


def _single(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        # What single precision cannot hold becomes infinite, as in any graph that was made so.
        with np.errstate(over="ignore"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
