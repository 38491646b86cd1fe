"""One way to ask in each protocol: rows by name in, the answers' numbers out."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import struct
from typing import Any

import httpx

Rows = list[dict[str, Any]]
NOISE = random.Random(3)


def shuffled(rows: Rows) -> Rows:
    """The same rows, their names in another order."""
    names = list(rows[0])
    NOISE.shuffle(names)
    return [{name: row[name] for name in names} for row in rows]


def columns(rows: Rows) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def csv_of(rows: Rows) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    writer.writerows([["" if cell is None else cell for cell in row.values()] for row in rows])
    return text.getvalue().encode()


CSV = {"content-type": "text/csv"}
DATATYPES = {"age": "FP64", "amount": "FP64", "owner": "BOOL"}


def v2(rows: Rows, *, nested: bool = False, **more: Any) -> dict[str, Any]:
    """An inference request of one input a column."""
    inputs = [
        {
            "name": name,
            "shape": [len(rows), 1] if nested else [len(rows)],
            "datatype": DATATYPES.get(
                name, "BYTES" if all(isinstance(value, str | None) for value in values) else "FP64"
            ),
            "data": [[value] for value in values] if nested else values,
            "parameters": {"content_type": "np" if name in DATATYPES else "str"},
        }
        for name, values in columns(rows).items()
    ]
    return {"id": "mine-7", "inputs": inputs, **more}


def v2_binary(rows: Rows) -> tuple[bytes, dict[str, str]]:
    """The same as bytes, and its headers; what is missing or does not fit its datatype goes in JSON."""
    request = v2(rows, parameters={"binary_data_output": True})
    tail = b""
    for each in request["inputs"]:
        try:
            if each["datatype"] == "BYTES":
                texts = [value.encode() for value in each["data"]]
                data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
            elif each["datatype"] == "BOOL":
                assert all(isinstance(value, bool) for value in each["data"])
                data = struct.pack(f"<{len(rows)}?", *each["data"])
            else:
                assert all(abs(value) <= 2**53 for value in each["data"] if value is not None)
                data = struct.pack(f"<{len(rows)}d", *(math.nan if v is None else v for v in each["data"]))
        except (AssertionError, AttributeError, TypeError, struct.error):
            continue
        del each["data"]
        each["parameters"] = {"binary_data_size": len(data)}
        tail += data
    head = json.dumps(request).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + tail, headers


BODIES: dict[str, Any] = {
    "plain": lambda m, rows: (f"/models/{m}/predict", {"inputs": rows}, {}),
    "plain csv": lambda m, rows: (f"/models/{m}/predict", csv_of(rows), CSV),
    "plain csv both ways": lambda m, rows: (f"/models/{m}/predict", csv_of(rows), {**CSV, "accept": "text/csv"}),
    "tf rows": lambda m, rows: (f"/v1/models/{m}:predict", {"instances": rows}, {}),
    "tf columns": lambda m, rows: (f"/v1/models/{m}/versions/1:predict", {"inputs": columns(rows)}, {}),
    "tf label": lambda m, rows: (
        f"/v1/models/{m}/labels/stable:predict",
        {"signature_name": "serving_default", "instances": rows},
        {},
    ),
    "mlflow split": lambda m, rows: (
        f"/models/{m}/invocations",
        {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}},
        {},
    ),
    "mlflow records": lambda m, rows: (f"/models/{m}/invocations", {"dataframe_records": rows}, {}),
    "mlflow instances": lambda m, rows: (f"/models/{m}/invocations", {"instances": rows}, {}),
    "mlflow inputs": lambda m, rows: (f"/models/{m}/invocations", {"inputs": columns(rows)}, {}),
    "v2": lambda m, rows: (f"/v2/models/{m}/infer", v2(rows), {}),
    "v2 of a version": lambda m, rows: (f"/v2/models/{m}/versions/1/infer", v2(rows, nested=True), {}),
    "v2 in bytes": lambda m, rows: (f"/v2/models/{m}/infer", *v2_binary(rows)),
    "mlflow csv": lambda m, rows: (f"/models/{m}/invocations", csv_of(rows), CSV),
}


def post(client: httpx.Client, how: str, model: str, rows: Rows) -> httpx.Response:
    path, body, headers = BODIES[how](model, rows)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, content=content, headers={"content-type": "application/json", **headers})


def said(
    reply: httpx.Response, labels: tuple[str, ...] = ("bad", "good")
) -> tuple[list[Any], list[list[float]] | None]:
    """The predictions of an answer, and its probabilities, label by label, where the protocol has room for them."""
    assert reply.status_code == 200, reply.text
    if reply.headers["content-type"].startswith("text/csv"):
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        shares = [[float(row[f"probability_{label}"]) for label in labels] for row in rows]
        return [row["prediction"] for row in rows], shares
    if "inference-header-content-length" in reply.headers:
        return v2_answers(reply)
    document = reply.json()
    if "prediction" in document:
        return document["prediction"], [[each[label] for label in labels] for each in document["probabilities"]]
    if "outputs" in document:
        return outputs_of(reply, document)
    found = document["predictions"]
    by_name = found and isinstance(found[0], dict)
    shares = [each["probabilities"] for each in found] if by_name else None
    return [each["prediction"] for each in found] if by_name else found, shares


def outputs_of(reply: httpx.Response, document: dict[str, Any]) -> tuple[list[Any], list[list[float]]]:
    found = document["outputs"]
    if isinstance(found, dict):
        return found["prediction"], found["probabilities"]
    assert document["id"] == reply.headers["x-request-id"] == "mine-7"
    labels, shares = found
    rows, width = shares["shape"]
    assert rows == len(labels["data"])
    return labels["data"], [shares["data"][at : at + width] for at in range(0, len(shares["data"]), width)]


def v2_answers(reply: httpx.Response) -> tuple[list[Any], list[list[float]]]:
    size = int(reply.headers["inference-header-content-length"])
    head, tail = json.loads(reply.content[:size]), reply.content[size:]
    texts, shares = head["outputs"]
    width = shares["shape"][1]
    cut = texts["parameters"]["binary_data_size"]
    assert cut + shares["parameters"]["binary_data_size"] == len(tail)
    labels: list[Any] = []
    if texts["datatype"] == "INT64":
        labels = list(struct.unpack(f"<{cut // 8}q", tail[:cut]))
    at = 0 if texts["datatype"] == "BYTES" else cut
    while at < cut:
        length = struct.unpack_from("<I", tail, at)[0]
        labels.append(tail[at + 4 : at + 4 + length].decode())
        at += 4 + length
    numbers = struct.unpack_from(f"<{(len(tail) - cut) // 8}d", tail, cut)
    return labels, [list(numbers[at : at + width]) for at in range(0, len(numbers), width)]


def words(reply: httpx.Response) -> str:
    """The sentence of a refusal, in any protocol's shape."""
    document = reply.json()
    return document.get("error") or document["message"]
