"""What a version takes and gives: as metadata, and as a configuration of Triton's.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mainstay.models.tensors import Tensor
from mainstay.serving.budget import most_rows
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.open_inference.datatypes import BYTES, column_datatype, datatype
from mainstay.serving.protocols.outputs import PROBABILITIES, Outputs

Json = dict[str, Any]

PLATFORM = "mainstay"
_LARGEST = 2**31 - 1
"""That a configuration's field has room for."""


def metadata(loaded: Loaded, answering: Iterable[int]) -> Json:
    """Names, datatypes and shapes; labels name the columns of the probabilities. `answering` are the versions."""
    outputs = _outputs(loaded)
    for output in outputs:
        if loaded.signature.labels and output["name"] == PROBABILITIES:
            output["labels"] = list(loaded.signature.labels)
    return {
        "name": loaded.model,
        "versions": [str(number) for number in answering],
        "platform": PLATFORM,
        "inputs": _inputs(loaded),
        "outputs": outputs,
    }


def configuration(loaded: Loaded, max_body: int) -> Json:
    """The same as Triton configures a model that takes batches: sizes without the rows, and how many those may be.

    Args:
        max_body: bytes of the largest body, which bounds the rows of a request.
    """
    return {
        "name": loaded.model,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "max_batch_size": min(most_rows(loaded.signature, max_body), _LARGEST),
        "input": [_configured(each) for each in _inputs(loaded)],
        "output": [_configured(each) for each in _outputs(loaded)],
    }


def _inputs(loaded: Loaded) -> list[Json]:
    columns = (
        {"name": each.name, "datatype": column_datatype(each), "shape": [-1]} for each in loaded.signature.inputs
    )
    return [*columns, *map(_described, loaded.signature.tensors)]


def _outputs(loaded: Loaded) -> list[Json]:
    return [_described(each) for each in Outputs(loaded).tensors]


def _described(tensor: Tensor) -> Json:
    shape = [-1, *(size if isinstance(size, int) else -1 for size in tensor.shape)]
    return {"name": tensor.name, "datatype": datatype(tensor), "shape": shape}


def _configured(described: Json) -> Json:
    kind = described["datatype"]
    data_type = f"TYPE_{'STRING' if kind == BYTES else kind}"
    return {"name": described["name"], "data_type": data_type, "dims": described["shape"][1:]}
