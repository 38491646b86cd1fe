"""Any bytes as a request to a server that runs in this process: it answers, in its protocol's words, and never fails.

A case is two bytes that choose a path and its headers, two that are a length some header tells, and the body.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SERVING = Path(__file__).parents[1] / "serving"
sys.path[:0] = [str(SERVING), str(SERVING.parent)]

import dialects  # noqa: E402 - what is tested stands in a folder of its own
import numpy as np  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from serving_models import MIXED_ROW, mixed  # noqa: E402
from subjects import ROW, double, loan  # noqa: E402

from mainstay.models.formats.foreign.onnx_file import of_bytes  # noqa: E402
from mainstay.models.formats.foreign.protocol import Told  # noqa: E402
from mainstay.registry.blobs import FolderBlobs  # noqa: E402
from mainstay.serving import metrics  # noqa: E402
from mainstay.serving.access import Grants, write_grants  # noqa: E402
from mainstay.serving.app import App  # noqa: E402
from mainstay.serving.bodies import Bodies  # noqa: E402
from mainstay.serving.door import Door  # noqa: E402
from mainstay.serving.follower import Follower  # noqa: E402
from mainstay.serving.guard import Guard  # noqa: E402
from mainstay.serving.protocols.codec import Dialect  # noqa: E402
from mainstay.serving.routing import Placed, Route, Table, write_table  # noqa: E402

MAX_BODY = 1_000_000
OCTETS = "application/octet-stream"
HEADER_LENGTH = "inference-header-content-length"
FORMS: tuple[dict[str, str], ...] = (
    {},
    {"content-type": "application/json"},
    {"content-type": OCTETS, HEADER_LENGTH: "{length}"},
    {"content-type": OCTETS},
    {"content-type": "text/csv"},
    {"content-type": "text/csv", "accept": "text/csv"},
    {"accept": "text/csv"},
    {"content-type": "application/json", HEADER_LENGTH: "{length}"},
    {"content-type": "application/json", HEADER_LENGTH: "-{length}"},
    {"content-type": "application/x-www-form-urlencoded", "x-request-id": "{length}"},
    {"content-type": "text/csv; charset=utf-16"},
    {"content-type": "application/json; format=pandas-split", "content-encoding": "gzip"},
    {"authorization": "Bearer {length}", "x-api-key": "msk_{length}", "host": "127.0.0.1:{length}"},
    {"host": "localhost", "origin": "http://localhost:{length}", "content-type": "application/json"},
)
"""Headers that matter to a codec; `{length}` is the number of the case."""


class Failed(AssertionError):
    """A request met a fault of the server."""


class Headers(dict[str, str]):
    """Headers, as granian gives them."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


class Scope:
    """A request, as granian tells of one."""

    def __init__(self, method: str, path: str, headers: dict[str, str]) -> None:
        self.method, self.path, self.headers = method, path, Headers(headers)
        self.query_string, self.scheme, self.client, self.authority = "", "http", "127.0.0.1:1", None


class Proto:
    """Gives the body, and takes the answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.answers: list[tuple[int, Any, bytes]] = []

    async def __call__(self) -> bytes:
        return self._body

    def __aiter__(self) -> Any:
        async def whole() -> Any:
            yield self._body

        return whole()

    def client_disconnect(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()  # he stays

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.answers.append((status, headers, body))


def _sums() -> Any:
    """A tensor model of three inputs: one number a row, three, and a whole one."""
    inputs = [
        helper.make_tensor_value_info("alone", TensorProto.FLOAT, ["rows"]),
        helper.make_tensor_value_info("three", TensorProto.DOUBLE, ["rows", 3]),
        helper.make_tensor_value_info("whole", TensorProto.INT64, ["rows", 2]),
    ]
    nodes = [
        helper.make_node("Cast", ["alone"], ["double"], to=TensorProto.DOUBLE),
        helper.make_node("Unsqueeze", ["double", "axes"], ["column"]),
        helper.make_node("Add", ["three", "column"], ["sum"]),
        helper.make_node("Neg", ["whole"], ["negative"]),
    ]
    outputs = [
        helper.make_tensor_value_info("sum", TensorProto.DOUBLE, ["rows", 3]),
        helper.make_tensor_value_info("negative", TensorProto.INT64, ["rows", 2]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [helper.make_tensor("axes", TensorProto.INT64, [1], [1])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return of_bytes(model.SerializeToString(), Told(general=True), "graph").draft


class Server:
    """An app with four models, asked without a network."""

    def __init__(self, *beside: Dialect) -> None:
        """`beside` are protocols of other ports."""
        run = self._run = Path(tempfile.mkdtemp(prefix="mainstay-fuzz-"))
        blobs = FolderBlobs(run / "blobs")
        versions = {}
        for name, draft in (("loan", loan()), ("double", double()), ("mixed", mixed()), ("sums", _sums())):
            for data in (*draft.content.values(), *draft.attestations.values()):
                blobs.put(data)
            versions[f"{name}:1"] = Placed(version=f"{name}:1", manifest=draft.manifest())
        routes = {version.partition(":")[0]: Route(stable=version) for version in versions}
        write_table(run, Table(generation=1, blobs=str(run / "blobs"), routes=routes, versions=versions))
        self.faults: list[str] = []
        self._loop = asyncio.new_event_loop()
        follower = Follower(run, worker=0, log=self._log)
        self._loop.run_until_complete(follower.catch_up())
        assert follower.ready, follower.errors
        slots = metrics.Slots(run / "0.slots")
        write_grants(run, Grants(closed=False))
        guard = Guard(run, log=self._log)
        guard.look()
        door = Door(loopback=True)
        self._app = App(follower, slots, guard, door, run=run, max_body=MAX_BODY, log=self._log, beside=beside)
        self._loop.run_until_complete(self._app.__rsgi__(Scope("GET", "/healthz", {}), Proto(b"")))
        self.paths = sorted(path for path in self._app._targets if path.startswith("/"))

    def close(self) -> None:
        """Lets go of what it took."""
        self._app.follower.pool.shutdown()
        self._app.bodies.shutdown()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        shutil.rmtree(self._run)

    def _log(self, kind: str, message: str, **facts: object) -> None:
        del facts
        if kind == "fault":
            self.faults.append(message)

    def ask(self, case: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer to a case.

        Raises:
            Failed: no answer, or one of a fault of the server's, or one that is not what it says it is.
        """
        case = case.ljust(4, b"\0")
        path = self.paths[case[0] % len(self.paths)]
        number = str(int.from_bytes(case[2:4], "little"))
        body = case[4:]
        headers = {name: value.replace("{length}", number) for name, value in FORMS[case[1] % len(FORMS)].items()}
        if "content-encoding" in headers and int(number) % 2:
            body = zlib.compress(body, 1, 31)
        headers["content-length"] = str(len(body))
        proto = Proto(body)
        self._loop.run_until_complete(self._app.__rsgi__(Scope("POST", path, headers), proto))
        if len(proto.answers) != 1:
            raise Failed(f"{path} gave {len(proto.answers)} answers")
        status, said, answer = proto.answers[0]
        if status >= 500 or self.faults:
            raise Failed(f"{path} {headers}: {status} {answer[:300]!r} {self.faults}")
        _check(said, answer, status)
        if case[1] % len(FORMS) < 2 and path.endswith("/predict") and status == 200:
            self._both_ways(self._app._targets[path].loaded.bodies, body)
        return status, answer

    def _both_ways(self, bodies: Bodies, body: bytes) -> None:
        """The fast way through a body found what the slow one finds."""
        fast, slow = bodies.read(body), bodies.diagnose(body)
        same = np.array_equal(fast.cells.numbers, slow.cells.numbers, equal_nan=True)
        if not same or fast.cells.texts != slow.cells.texts or (fast.single, fast.id) != (slow.single, slow.id):
            raise Failed(f"two readings of one body: {fast} and {slow}")


def _check(headers: Any, answer: bytes, status: int) -> None:
    for name, value in headers:
        if not (name + value).isascii() or not (name + value).isprintable():
            raise Failed(f"a header that is none: {name!r}: {value!r}")
    kind = dict(headers)["content-type"]
    if kind.startswith("application/json"):
        document = json.loads(answer)
        if status >= 400 and not any(document.get(name) for name in ("error", "message", "error_code")):
            raise Failed(f"a refusal without a word: {answer[:300]!r}")


def seeds(server: Server) -> Iterator[bytes]:
    """Requests of each protocol that are right, for changes to begin with."""
    for model, row in (("loan", ROW), ("mixed", MIXED_ROW), ("double", {"x": 1.5})):
        rows = [row, {**row}]
        bodies: list[tuple[str, int, int, bytes]] = []
        for path in (path for path in server.paths if f"/{model}" in path):
            if path.startswith("/v2"):
                bodies.append((path, 1, 0, json.dumps(dialects.v2(rows)).encode()))
                body, headers = dialects.v2_binary(rows)
                bodies.append((path, 2, int(headers[HEADER_LENGTH]), body))
            elif path.startswith("/v1"):
                bodies += [
                    (path, 1, 0, json.dumps({"instances": rows}).encode()),
                    (path, 1, 0, json.dumps({"inputs": dialects.columns(rows)}).encode()),
                ]
            elif path.endswith("/invocations"):
                split = {"columns": list(row), "data": [list(each.values()) for each in rows]}
                bodies += [
                    (path, 1, 0, json.dumps({"dataframe_split": split}).encode()),
                    (path, 1, 0, json.dumps({"dataframe_records": rows}).encode()),
                    (path, 4, 0, dialects.csv_of(rows)),
                ]
            else:
                bodies += [
                    (path, 0, 0, json.dumps(row).encode()),
                    (path, 0, 0, json.dumps({"features": [list(row.values())], "id": "a"}).encode()),
                    (path, 0, 0, json.dumps({"inputs": rows}).encode()),
                    (path, 5, 0, dialects.csv_of(rows)),
                ]
        yield from (_case(server, *each) for each in bodies)
    tensors = {"alone": [1.5, 2.0], "three": [[1, 2, 3], [4, 5, 6]], "whole": [[1, 2], [3, 4]]}
    for path in (path for path in server.paths if "/sums" in path):
        if path.startswith("/v2"):
            yield _case(server, path, 1, 0, json.dumps(_v2_tensors(tensors)).encode())
            yield _case(server, path, *_binary_tensors())
        else:
            yield _case(server, path, 1, 0, json.dumps({"inputs": tensors}).encode())


def _v2_tensors(tensors: dict[str, Any]) -> dict[str, Any]:
    kinds = {"alone": "FP32", "three": "FP64", "whole": "INT64"}
    return {
        "inputs": [
            {"name": name, "datatype": kinds[name], "shape": list(np.shape(value)), "data": value}
            for name, value in tensors.items()
        ],
        "outputs": [{"name": "sum"}],
    }


def _binary_tensors() -> tuple[int, int, bytes]:
    parts = [struct.pack("<2f", 1.5, 2.0), struct.pack("<6d", *range(6)), struct.pack("<4q", *range(4))]
    shapes = [("alone", "FP32", [2]), ("three", "FP64", [2, 3]), ("whole", "INT64", [2, 2])]
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(part)}}
        for (name, kind, shape), part in zip(shapes, parts, strict=True)
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return 2, len(head), head + b"".join(parts)


def _case(server: Server, path: str, form: int, length: int, body: bytes) -> bytes:
    return bytes([server.paths.index(path), form]) + length.to_bytes(2, "little") + body
