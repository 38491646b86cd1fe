"""The page of the HTTP interface, from the OpenAPI document that a server gives for a sample model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from mainstay.models.signature import Column, Signature
from mainstay.serving.models import Loaded
from mainstay.serving.openapi import document

SAMPLE = Signature(
    inputs=(
        Column(name="age", type="number", minimum=19.0, maximum=75.0, typical=33.0),
        Column(name="purpose", type="category", categories=("car", "education", "radio/tv"), typical="car"),
    ),
    task="binary",
    target="class",
    labels=("bad", "good"),
)
_INTRO = """
# HTTP

What a server answers that serves one model, `credit`, with the inputs `age` and `purpose`. A running server describes
its own models, exact to the columns, at `/openapi.json`, and to read and try at `/docs`. `/` is a form for people.

| protocol | predictions are at | documents |
|---|---|---|
| plain JSON, CSV, Arrow, Parquet | `/predict`, `/models/NAME/predict`, `/models/NAME/versions/N/predict` | \
`/models`, `/models/NAME`, `/models/NAME/versions/N`, `/healthz`, `/readyz`, `/metrics` |
| Open Inference Protocol v2 | `/v2/models/NAME/infer`, `/v2/models/NAME/versions/N/infer` | \
`/v2`, `/v2/health/live`, `/v2/health/ready`, `/v2/models/NAME`, `…/ready`, `…/stats`, `…/config`, \
`/v2/repository/index` |
| TensorFlow Serving | `/v1/models/NAME:predict`; also after `NAME/versions/N` and `NAME/labels/LABEL` | \
`/v1/models/NAME`, `/v1/models/NAME/metadata` |
| MLflow | `/invocations`, `/models/NAME/invocations` | `/ping`, `/health`, `/version` |

The same rows get the same answers in each, and what one refuses, all refuse, each in its own shape of errors. A path
without a name answers while one model is deployed; with several it is a 404 that lists their paths. A path without a
version is answered by the one that takes the traffic; with a number, by that one, if it takes the traffic or is
[deployed beside](../how-to/replace-a-version.md). A label is an alias of the model; `stable` is what takes the traffic.
Each answer names the version that gave it: in its body, or in the header `x-model` where the protocol's body has no
place for it (tables, TensorFlow Serving, MLflow).

A body may come compressed, by `Content-Encoding: gzip` or `deflate`, once; the bound on its size is of what comes out,
too. Any other coding is a 415 whose `Accept-Encoding` names these two. Answers are not compressed.

Where the server [asks for a key](../how-to/protect-a-server.md), each path but those of health answers 401 without one,
403 where it is for something else, and 429 where it comes too often; each needs the verb `predict` for predictions,
`manage` to load and unload, and `read` for all else. A web page of another site gets 403, and a name that is not the
server's 421.
"""


def page() -> str:
    # The document is made from a model's name, version and signature alone; nothing has to be loaded for it.
    sample = cast("Loaded", SimpleNamespace(model="credit", version="credit:1", signature=SAMPLE))
    api = document([sample], [sample])
    lines = [_INTRO.strip(), ""]
    for path, verbs in api["paths"].items():
        for verb, operation in verbs.items():
            lines += [f"## {verb.upper()} {path}", "", *_operation(operation), ""]
    return "\n".join(lines)


def _operation(operation: dict[str, Any]) -> Iterator[str]:
    yield f"{operation.get('summary', '')}. {operation.get('description', '')}".strip()
    for parameter in operation.get("parameters", ()):
        yield f"\n- `{parameter['name']}` ({parameter['in']}): {parameter.get('description', 'required')}"
    content = operation.get("requestBody", {}).get("content", {})
    for example in content.get("application/json", {}).get("examples", {}).values():
        yield f"\n{example['summary']}:\n\n```json\n{json.dumps(example['value'])}\n```"
    yield "\n| status | |\n|---|---|"
    for status, response in operation["responses"].items():
        yield f"| {status} | {response.get('description', '')} |"
