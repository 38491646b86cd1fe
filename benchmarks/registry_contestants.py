"""One contestant of `registry.py`: fills a registry, says so, and makes the calls that it is asked for.

    python registry_contestants.py mlflow|mainstay|mainstay-files PLACE VERSIONS EVENTS

Its libraries are imported by the contestant that needs them: MLflow's environment has no Mainstay, and ours no MLflow.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Protocol

MODEL, ALIAS = "credit", "live"


class Subject(Protocol):
    about: str

    def resolve(self) -> None: ...
    def move(self) -> None: ...
    def register(self) -> None: ...


class MLflow:
    """MLflow's client, as its users call it, on its SQLite store. A version of it is a row; it has no events."""

    def __init__(self, place: str, versions: int, events: int) -> None:
        from mlflow import MlflowClient

        del events
        uri = f"sqlite:///{place}"
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._client.create_registered_model(MODEL)
        for _ in range(2):
            self.register()
        self._copies(place, versions)
        self._one, self._other = "1", "2"
        self.move()
        self.about = f"MLflow {version('mlflow')}, {self._count(place)} versions"

    def resolve(self) -> None:
        self._client.get_model_version_by_alias(MODEL, ALIAS)

    def move(self) -> None:
        self._client.set_registered_model_alias(MODEL, ALIAS, self._other)
        self._one, self._other = self._other, self._one

    def register(self) -> None:
        self._client.create_model_version(MODEL, "s3://models/credit")

    def _copies(self, place: str, versions: int) -> None:
        """Rows like the second, by SQL: its client would take many minutes for them."""
        with sqlite3.connect(place) as connection:
            names = [row[1] for row in connection.execute("PRAGMA table_info(model_versions)")]
            row = dict(
                zip(names, connection.execute("SELECT * FROM model_versions WHERE version = 2").fetchone(), strict=True)
            )
            rows = [[{**row, "version": number}[name] for name in names] for number in range(3, versions + 1)]
            connection.executemany(f"INSERT INTO model_versions VALUES ({', '.join('?' * len(names))})", rows)
        connection.close()

    def _count(self, place: str) -> int:
        connection = sqlite3.connect(place)
        (count,) = connection.execute("SELECT count(*) FROM model_versions").fetchone()
        connection.close()
        return count


class Kept:
    """Blobs in memory, so that a registration is its row."""

    guarded = True

    def __init__(self) -> None:
        self._all: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        sha = hashlib.sha256(data).hexdigest()
        self._all[sha] = data
        return sha

    def get(self, sha: str) -> bytes:
        return self._all[sha]

    def has(self, sha: str) -> bool:
        return sha in self._all

    def sweep(self) -> int:
        return 0


class Mainstay:
    """The registry of this project, at a folder or a URL of PostgreSQL."""

    def __init__(self, place: str, versions: int, events: int, *, files: bool = False) -> None:
        from mainstay.registry.store import Registry

        folder = tempfile.mkdtemp() if "://" in place else None
        self._registry = Registry.open(place, blobs=folder)
        if not files:
            self._registry.blobs = Kept()
        self._count = 0
        for _ in range(2):
            self.register()
        self._fill(versions, events)
        self._one, self._other = self._registry.version(f"{MODEL}:1"), self._registry.version(f"{MODEL}:2")
        self._registry.point(MODEL, ALIAS, self._one, expecting=None, actor="bench")
        last = self._registry.latest_events(limit=1)[0].id
        self.about = f"{self._registry.version(MODEL).number} versions, {last} events"

    def resolve(self) -> None:
        self._registry.version(f"{MODEL}@{ALIAS}")

    def move(self) -> None:
        self._registry.point(MODEL, ALIAS, self._other, expecting=self._one, actor="bench", reason="to and fro")
        self._one, self._other = self._other, self._one

    def register(self) -> None:
        self._count += 1
        summary = {"primary": "roc_auc", "metrics": {"roc_auc": {"value": 0.8, "low": 0.7, "high": 0.9}}}
        self._registry.add(MODEL, draft(self._count), passed=True, actor="bench", summary=summary)

    def _fill(self, versions: int, events: int) -> None:
        """Rows as registrations and moves leave them, by SQL."""
        from sqlalchemy import insert, select

        from mainstay.registry import schema
        from mainstay.registry.ids import new_id

        now, one = datetime.now(UTC), self._registry.version(f"{MODEL}:2")
        with self._registry._database.write() as connection:  # noqa: SLF001
            model = connection.execute(select(schema.model.c.id)).scalar_one()
            attested = connection.execute(
                select(schema.attestation).where(schema.attestation.c.version_id == one.id)
            ).mappings()
            names = [dict(row) for row in attested]
            rows, more = [], []
            for number in range(3, versions + 1):
                row = {"id": new_id(now), "model_id": model, "number": number, "format": "onnx", "passed": True}
                row |= {"content_id": hashlib.sha256(str(number).encode()).hexdigest(), "summary": one.summary}
                rows.append({**row, "actor": "bench", "created_at": now})
                more += [{**each, "version_id": row["id"]} for each in names]
            told = []
            for number in range(2, events):
                registered = number <= versions
                told.append(
                    {
                        "at": now,
                        "actor": "bench",
                        "kind": "registered" if registered else "alias_moved",
                        "model": MODEL,
                        "version": number if registered else 1,
                        "reason": "to and fro",
                        "evidence": {"alias": ALIAS, "from": 2},
                    }
                )
            for table, all_of_it in ((schema.version, rows), (schema.attestation, more), (schema.event, told)):
                for start in range(0, len(all_of_it), 1000):
                    connection.execute(insert(table), all_of_it[start : start + 1000])
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("ANALYZE")  # as its autovacuum does within a minute


def draft(number: int) -> Any:
    """A whole package but for its model, which no registry looks into."""
    from mainstay.models.golden import Golden
    from mainstay.models.package import EVALUATION, GOLDEN, LINEAGE, SIGNATURE, SPEC, Draft, ModelSpec, encoded
    from mainstay.models.signature import Column, Signature

    return Draft(
        content={
            SPEC: encoded(ModelSpec(format="onnx", file="model.onnx")),
            SIGNATURE: encoded(Signature(inputs=(Column(name="x", type="number"),), task="regression")),
            GOLDEN: encoded(Golden(rows=[{"x": 1.0}], values=[1.0])),
            "model.onnx": b"graph %d" % number,
        },
        attestations={EVALUATION: b"{}", LINEAGE: b"{}"},
    )


def timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(kind: str, place: str, versions: str, events: str) -> None:
    subject: Subject
    if kind == "mlflow":
        subject = MLflow(place, int(versions), int(events))
    else:
        subject = Mainstay(place, int(versions), int(events), files=kind == "mainstay-files")
    print(json.dumps({"about": subject.about}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        call = getattr(subject, asked["operation"])
        print(json.dumps({"seconds": [timed(call) for _ in range(asked["calls"])]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
