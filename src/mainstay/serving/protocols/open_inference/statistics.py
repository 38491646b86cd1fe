"""Statistics of versions, from the server's counters: of all its workers and protocols together.

The shape is Triton's: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
Time is counted from the whole body to the answer, refused requests included. Of its parts the wait in a queue is told,
of the requests that had to join one; the others are 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mainstay.serving import metrics
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import version_number

_VERSION, _CODE = re.compile(r'version="([^"]*)"'), re.compile(r'code="(\d+)"')


def statistics(loaded: Iterable[Loaded], counts: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The document for some versions, in their order; `counts` are numbers by label, as `metrics.summed` gives them."""
    rows: dict[str, int] = {}
    nanoseconds: dict[str, int] = {}
    succeeded: dict[str, int] = {}
    failed: dict[str, int] = {}
    waited: dict[str, dict[str, int]] = {}
    for label, numbers in counts.items():
        metric, found = label.split("{", 1)[0], _VERSION.search(label)
        if found is None:
            continue
        ref, code = found[1], _CODE.search(label)
        if metric == metrics.ROWS:
            rows[ref] = rows.get(ref, 0) + int(numbers[0])
        elif metric == metrics.SECONDS:
            nanoseconds[ref] = nanoseconds.get(ref, 0) + round(numbers[0] * 1e9)
        elif metric == metrics.QUEUE_SECONDS:
            waited[ref] = {"count": int(numbers[1]), "ns": round(numbers[0] * 1e9)}
        elif code is not None:
            of = succeeded if code[1] == "200" else failed
            of[ref] = of.get(ref, 0) + int(numbers[0])
    nothing = {"count": 0, "ns": 0}
    return {
        "model_stats": [
            {
                "name": each.model,
                "version": str(version_number(each)),
                "last_inference": 0,
                "inference_count": rows.get(each.version, 0),
                "execution_count": succeeded.get(each.version, 0),
                "inference_stats": {
                    "success": {
                        "count": succeeded.get(each.version, 0),
                        "ns": nanoseconds.get(each.version, 0),
                    },
                    "fail": {"count": failed.get(each.version, 0), "ns": 0},
                    "queue": waited.get(each.version, nothing),
                    "compute_input": nothing,
                    "compute_infer": nothing,
                    "compute_output": nothing,
                },
                "batch_stats": [],
            }
            for each in loaded
        ]
    }
