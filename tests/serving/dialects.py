"""One way to ask in each protocol: rows by name in, the answers' numbers out."""

from __future__ import annotations

import csv
import io
import json
import random
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
    "mlflow csv": lambda m, rows: (f"/models/{m}/invocations", csv_of(rows), CSV),
}


def post(client: httpx.Client, how: str, model: str, rows: Rows) -> httpx.Response:
    path, body, headers = BODIES[how](model, rows)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(path, content=content, headers={"content-type": "application/json", **headers})


def said(reply: httpx.Response) -> tuple[list[Any], list[list[float]] | None]:
    """The predictions of an answer, and its probabilities (bad, good) where the protocol has room for them."""
    assert reply.status_code == 200, reply.text
    if reply.headers["content-type"].startswith("text/csv"):
        rows = list(csv.DictReader(io.StringIO(reply.text)))
        shares = [[float(row["probability_bad"]), float(row["probability_good"])] for row in rows]
        return [row["prediction"] for row in rows], shares
    document = reply.json()
    if "prediction" in document:
        return document["prediction"], [[each["bad"], each["good"]] for each in document["probabilities"]]
    if "outputs" in document:
        return document["outputs"]["prediction"], document["outputs"]["probabilities"]
    found = document["predictions"]
    if found and isinstance(found[0], dict):
        return [each["prediction"] for each in found], [each["probabilities"] for each in found]
    return found, None


def words(reply: httpx.Response) -> str:
    """The sentence of a refusal, in any protocol's shape."""
    document = reply.json()
    return document.get("error") or document["message"]
