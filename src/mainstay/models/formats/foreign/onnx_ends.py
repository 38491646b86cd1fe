"""What an output of an ONNX graph ends in, for what is told of it may contradict that."""

from __future__ import annotations

import onnx

from mainstay.models.formats.foreign.protocol import CannotImport

_MAKE_PROBABILITIES = ("Softmax", "Sigmoid", "HardSigmoid", "Hardmax")
_POST_TRANSFORMS = (b"SOFTMAX", b"LOGISTIC", b"SOFTMAX_ZERO", b"PROBIT")
"""Of the classifiers of ai.onnx.ml."""
_AS_IT_IS = ("Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Dropout")


def check_logits(model: onnx.ModelProto, output: str) -> None:
    """Checks an output that is told to be logits.

    Raises:
        CannotImport: it is probabilities already, and would become others.
    """
    if end := _end(model, output):
        raise CannotImport(
            f"The model ends in a {end}, so it gives probabilities and no logits: leave --logits out, or export it "
            f"without the {end}."
        )


def _end(model: onnx.ModelProto, output: str) -> str:
    """The operator that makes probabilities of an output's numbers; an empty text where there is none."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while (node := makers.get(output)) is not None and node.op_type in _AS_IT_IS:
        output = node.input[0]
    if node is None:
        return ""
    transform = next((each.s for each in node.attribute if each.name == "post_transform"), b"")
    return node.op_type if node.op_type in _MAKE_PROBABILITIES or transform in _POST_TRANSFORMS else ""
