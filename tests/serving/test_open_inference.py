"""The Open Inference Protocol's own matters: datatypes, bytes, requested outputs, documents, and requests that lie."""

from __future__ import annotations

import json
import struct

import dialects
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import serving
from onnx import TensorProto, helper
from serving_models import graph, package_of
from subjects import ROW, double

from examples import examples
from mainstay.models.encoder import Block, Encoder
from mainstay.models.formats.foreign.onnx_file import of_bytes
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.signature import Column, Signature
from mainstay.serving.protocols.open_inference.reading import GLANCED

INFER = "/v2/models/loan/infer"
KINDS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
NUMPY = {"FP16": "float16", "FP32": "float32", "FP64": "float64", "BOOL": "bool"}


def every_kind():
    """A general model that answers each of its inputs, one of each datatype, unchanged."""
    ins = [helper.make_tensor_value_info(f"in {name}", kind, ["rows", 2]) for name, kind in KINDS.items()]
    outs = [helper.make_tensor_value_info(f"out {name}", kind, ["rows", 2]) for name, kind in KINDS.items()]
    nodes = [helper.make_node("Identity", [f"in {name}"], [f"out {name}"]) for name in KINDS]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ins, outs), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    return of_bytes(model.SerializeToString(), Told(general=True), "kinds").draft


def table_of_numbers():
    """y = a + 2 b + 3 c."""
    signature = Signature(
        inputs=tuple(Column(name=name, type="number", nullable=name == "b") for name in "abc"),
        task="regression",
        target="y",
    )
    nodes = [helper.make_node("MatMul", ["features", "weights"], ["value"])]
    weights = {"weights": np.array([[1.0], [2.0], [3.0]])}
    model = graph(nodes, weights, width=3, outputs={"value": (TensorProto.DOUBLE, ["n", 1])})
    return package_of(signature, model, [{"a": 1.0, "b": 2.0, "c": 3.0}], encoder=Encoder(blocks=(Block((0, 1, 2)),)))


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    with (
        serving(folder, ("kinds", every_kind()), ("table", table_of_numbers()), ("double", double())) as server,
        server.client() as client,
    ):
        yield client


def values_of(name: str) -> list[list]:
    if name == "BYTES":
        return [["a", "ü"], ["", "long" * 50], ["x", "y"]]
    if name == "BOOL":
        return [[True, False], [False, False], [True, True]]
    dtype = NUMPY.get(name, name.lower())
    if name.startswith("FP"):
        return np.array([[0.5, -1.25], [3.0, 0.0], [65504.0, -2.0]], dtype=dtype).tolist()
    limits = np.iinfo(dtype)
    return [[limits.min, limits.max], [0, 1], [7, 9]]


def raw(name: str, values: list[list]) -> bytes:
    if name == "BYTES":
        texts = [text.encode() for row in values for text in row]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return (
        np.array(values, dtype=NUMPY.get(name, name.lower()))
        .astype("<" + np.dtype(NUMPY.get(name, name.lower())).str[1:])
        .tobytes()
    )


def asked(*, nested: bool) -> dict:
    flat = {name: [cell for row in values_of(name) for cell in row] for name in KINDS}
    return {
        "inputs": [
            {"name": f"in {name}", "shape": [3, 2], "datatype": name, "data": values_of(name) if nested else flat[name]}
            for name in KINDS
        ]
    }


@pytest.mark.parametrize("nested", [False, True])
def test_every_datatype_goes_through_json_and_back(kinds, nested):
    said = kinds.post("/v2/models/kinds/infer", json=asked(nested=nested)).json()
    assert said["model_name"], said["model_version"] == ("kinds", "1")
    for output in said["outputs"]:
        name = output["name"].removeprefix("out ")
        assert (output["datatype"], output["shape"]) == (name, [3, 2])
        assert output["data"] == [cell for row in values_of(name) for cell in row]


def test_every_datatype_goes_through_bytes_and_back(kinds):
    request, tail = asked(nested=False), b""
    for each in request["inputs"]:
        data = raw(each["datatype"], values_of(each["datatype"]))
        del each["data"]
        each["parameters"] = {"binary_data_size": len(data)}
        tail += data
    request["parameters"] = {"binary_data_output": True}
    head = json.dumps(request).encode()
    headers = {"inference-header-content-length": str(len(head))}
    reply = kinds.post("/v2/models/kinds/infer", content=head + tail, headers=headers)
    assert reply.headers["content-type"] == "application/octet-stream"
    size = int(reply.headers["inference-header-content-length"])
    assert reply.content[size:] == tail
    sizes = [each["parameters"]["binary_data_size"] for each in json.loads(reply.content[:size])["outputs"]]
    assert sizes == [each["parameters"]["binary_data_size"] for each in request["inputs"]]


def test_bytes_and_json_may_be_mixed_and_outputs_chosen_in_any_order(kinds):
    request = asked(nested=False)
    data = raw("FP32", values_of("FP32"))
    for each in request["inputs"]:
        if each["datatype"] == "FP32":
            del each["data"]
            each["parameters"] = {"binary_data_size": len(data)}
    request["outputs"] = [{"name": "out INT8"}, {"name": "out FP32", "parameters": {"binary_data": True}}]
    head = json.dumps(request).encode()
    reply = kinds.post(
        "/v2/models/kinds/infer", content=head + data, headers={"Inference-Header-Content-Length": str(len(head))}
    )
    size = int(reply.headers["inference-header-content-length"])
    first, second = json.loads(reply.content[:size])["outputs"]
    assert (first["name"], first["data"]) == ("out INT8", [-128, 127, 0, 1, 7, 9])
    assert (second["name"], reply.content[size:]) == ("out FP32", data)


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT64", "UINT8"])
@pytest.mark.parametrize("name", ["input-0", "predict", "rows"])
def test_a_table_of_numbers_takes_one_matrix(kinds, datatype, name):
    body = {"inputs": [{"name": name, "shape": [2, 3], "datatype": datatype, "data": [[1, 2, 3], [4, 5, 6]]}]}
    assert kinds.post("/v2/models/table/infer", json=body).json()["outputs"][0]["data"] == [14.0, 32.0]


def test_bf16_is_read_from_bytes(kinds):
    data = (np.array([1.0, 2.0, -3.5], dtype=np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    given = {"name": "x", "shape": [1, 3], "datatype": "BF16", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [given]}).encode()
    reply = kinds.post(
        "/v2/models/table/infer", content=head + data, headers={"inference-header-content-length": str(len(head))}
    )
    assert reply.json()["outputs"][0]["data"] == [1 + 4 - 10.5]


def long_matrix(datatype: str, *, spaces: int = 0, inputs: int = 1, rows: int = 9_000) -> tuple:
    """Rows, the envelope of a body of them as bytes, and its headers: longer than what is always read at once."""
    values = np.random.default_rng(3).integers(0, 100, (rows, 3)).astype(NUMPY.get(datatype, datatype.lower()))
    given = {"name": "m", "shape": [rows, 3], "datatype": datatype, "parameters": {"binary_data_size": values.nbytes}}
    wanted = [{"name": "prediction", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [given] * inputs, "outputs": wanted}).encode() + b" " * spaces
    return values, head, {"inference-header-content-length": str(len(head))}


@pytest.mark.parametrize("rows", [9_000, GLANCED])
@pytest.mark.parametrize("spaces", range(2))
@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT64"])
def test_many_rows_of_bytes_are_answered_wherever_they_begin(kinds, datatype, spaces, rows):
    values, head, headers = long_matrix(datatype, spaces=spaces, rows=rows)
    for add in (0, 7):  # the second finds the envelope known
        content = head + (values + add).astype(values.dtype).tobytes()
        reply = kinds.post("/v2/models/table/infer", content=content, headers=headers)
        answers = np.frombuffer(reply.content[int(reply.headers["inference-header-content-length"]) :])
        np.testing.assert_array_equal(answers, (values.astype(float) + add) @ [1, 2, 3])


def test_one_value_among_many_that_does_not_fit_is_named(kinds):
    values, head, headers = long_matrix("FP64")
    values[17, 1] = np.nan  # b may be missing
    reply = kinds.post("/v2/models/table/infer", content=head + values.tobytes(), headers=headers)
    answers = np.frombuffer(reply.content[int(reply.headers["inference-header-content-length"]) :])
    assert np.flatnonzero(np.isnan(answers)).tolist() == [17]
    for value, wanted in ((np.nan, "no missing value"), (np.inf, "a finite number")):
        values[8_000, 2] = value
        reply = kinds.post("/v2/models/table/infer", content=head + values.tobytes(), headers=headers)
        assert reply.status_code == 400
        assert "ow 8000, column 'c'" in reply.json()["error"]
        assert wanted in reply.json()["error"]


def test_a_long_body_that_lies_is_refused_in_words(kinds):
    values, head, headers = long_matrix("FP64")
    for content, wanted in (
        (head + values.tobytes()[:-1], "bytes of data, but"),
        (head + values.tobytes() + b"x", "belong to no input"),
        (head.replace(b"9000", b"9001") + values.tobytes(), "takes 216024"),
        (head.replace(b'"FP64"', b'"FP32"') + values.tobytes(), "takes 108000"),
        (head.replace(b'"inputs"', b'"inptus"') + values.tobytes(), "unknown field"),
    ):
        reply = kinds.post("/v2/models/table/infer", content=content, headers=headers)
        assert reply.status_code == 400, content[:200]
        assert wanted in reply.json()["error"]
    _, head, headers = long_matrix("FP64", inputs=2)
    reply = kinds.post("/v2/models/table/infer", content=head + values.tobytes() * 2, headers=headers)
    assert "given twice" in reply.json()["error"]


def test_more_envelopes_than_are_kept_are_each_answered_as_they_ask(kinds):
    for times in range(2):
        for number in range(40):
            given = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}
            head = json.dumps({"id": f"n{number}", "inputs": [given]}).encode()
            headers = {"inference-header-content-length": str(len(head))}
            content = head + struct.pack("<d", number + times)
            said = kinds.post("/v2/models/double/infer", content=content, headers=headers).json()
            assert (said["id"], said["outputs"][0]["data"]) == (f"n{number}", [2.0 * (number + times)])


def test_a_matrix_with_a_gap_follows_the_signature(kinds):
    body = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [None, 2, 3]}]}
    reply = kinds.post("/v2/models/table/infer", json=body)
    assert reply.status_code == 400
    assert "'a': got null" in reply.json()["error"]
    body["inputs"][0]["data"] = [1, None, 3]
    assert kinds.post("/v2/models/table/infer", json=body).status_code == 200


def test_base64_is_bytes(client):
    request = dialects.v2([ROW])
    for each in request["inputs"]:
        if each["name"] == "purpose":
            each |= {"data": ["Y2Fy"], "parameters": {"content_type": "base64"}}
    plain = client.post("/predict", json={**ROW, "purpose": "car"}).json()["probabilities"]
    said = client.post(INFER, json=request).json()["outputs"]
    assert said[1]["data"] == [plain["bad"], plain["good"]]


@pytest.mark.parametrize("identity", ["my id/1", "ü" * 300, "", "a-b"])
def test_any_id_comes_back(client, identity):
    assert client.post(INFER, json={**dialects.v2([ROW]), "id": identity}).json()["id"] == identity


def test_no_rows_are_answered_by_no_predictions(client):
    request = dialects.v2([ROW])
    for each in request["inputs"]:
        each |= {"shape": [0], "data": []}
    outputs = client.post(INFER, json=request).json()["outputs"]
    assert [(each["shape"], each["data"]) for each in outputs] == [([0], []), ([0, 2], [])]


def test_documents(client, server):
    assert client.get("/v2").json()["extensions"] == [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "statistics",
    ]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    for path in ("/v2/models/loan", "/v2/models/loan/versions/1"):
        said = client.get(path).json()
        assert said["versions"] == ["1"]
        assert {each["name"]: each["datatype"] for each in said["inputs"]} == {
            "age": "FP64",
            "amount": "FP64",
            "purpose": "BYTES",
            "owner": "BOOL",
            "since": "BYTES",
        }
        assert said["outputs"][1] == {
            "name": "probabilities",
            "datatype": "FP64",
            "shape": [-1, 2],
            "labels": ["bad", "good"],
        }
        assert client.get(f"{path}/ready").json()["ready"] is True
    ready = [{"name": "loan", "version": "1", "state": "READY", "reason": ""}]
    assert client.post("/v2/repository/index").json() == ready
    assert client.post("/v2/repository/index", json={"ready": True}).json() == ready
    assert client.post("/v2/repository/index", content=b"[").status_code == 400
    for verb in ("load", "unload"):
        reply = client.post(f"/v2/repository/models/loan/{verb}")
        assert reply.status_code == 401  # nobody manages without a key
        assert "manage" in reply.json()["error"]


def test_a_configuration_says_what_the_metadata_says_without_the_rows(kinds):
    for model in ("kinds", "table"):
        told, said = (kinds.get(f"/v2/models/{model}{more}").json() for more in ("/config", ""))
        assert (told["name"], told["platform"]) == (model, said["platform"])
        assert told["max_batch_size"] > 100_000
        for mine, theirs in (("input", "inputs"), ("output", "outputs")):
            assert [(each["name"], each["data_type"], [-1, *each["dims"]]) for each in told[mine]] == [
                (each["name"], f"TYPE_{each['datatype'].replace('BYTES', 'STRING')}", each["shape"])
                for each in said[theirs]
            ]
    assert kinds.get("/v2/models/none/config").status_code == 404
    assert kinds.get("/v2/models/kinds/versions/9/config").status_code == 404


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v2/systemsharedmemory/status", "Shared memory"),
        ("/v2/systemsharedmemory/region/a/register", "Shared memory"),
        ("/v2/cudasharedmemory/unregister", "Shared memory"),
        ("/v2/trace/setting", "otlp"),
        ("/v2/models/loan/trace/setting", "otlp"),
        ("/v2/logging", "standard error"),
    ],
)
def test_what_tritons_clients_may_ask_and_is_not_offered_is_said(client, path, words):
    for method in ("GET", "POST"):
        reply = client.request(method, path, content=b"{}" if method == "POST" else None)
        assert (reply.status_code, list(reply.json()), words in reply.json()["error"]) == (501, ["error"], True)


def test_statistics_count_what_was_asked(two_models):
    with two_models.client() as client:
        before = client.get("/v2/models/double/stats").json()["model_stats"][0]
        body = {"inputs": [{"name": "x", "shape": [5], "datatype": "INT32", "data": [1, 2, 3, 4, 5]}]}
        assert client.post("/v2/models/double/infer", json=body).json()["outputs"][0]["data"] == [
            2.0,
            4.0,
            6.0,
            8.0,
            10.0,
        ]
        assert client.post("/v2/models/double/infer", json={"inputs": []}).status_code == 400
        after = client.get("/v2/models/double/versions/1/stats").json()["model_stats"][0]
        assert after["inference_count"] - before["inference_count"] == 5
        assert after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 1
        assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
        assert [each["name"] for each in client.get("/v2/models/stats").json()["model_stats"]] == ["double", "loan"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/models/none/infer", 404),
        ("POST", "/v2/models/loan/versions/9/infer", 404),
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/none/ready", 404),
        ("GET", "/v2/models/loan/versions/9", 404),
        ("GET", "/v2/models/loan/versions/9/ready", 404),
        ("GET", "/v2/models/loan/infer", 405),
        ("POST", "/v2/models/loan", 405),
        ("POST", "/v2/health/live", 405),
        ("GET", "/v2/repository/index", 405),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/loan/configs", 404),
        ("POST", "/v2/models/loan/config", 405),
        ("POST", "/v2/models/loan/infer/", 404),
        ("POST", "/v2/models/loan/versions/1/infer/", 404),
    ],
)
def test_other_paths_and_methods_are_refused_in_the_protocols_shape(client, method, path, status):
    reply = client.request(method, path, content=b"{}" if method == "POST" else None)
    assert reply.status_code == status
    assert reply.json().keys() == {"error"}
    if "none" in path or "/9" in path:
        assert reply.json()["error"].startswith("Request for unknown model")


def changed(**fields) -> dict:
    """The request with fields of its first input (age) changed."""
    request = dialects.v2([ROW, ROW])
    request["inputs"][0] |= fields
    return request


REFUSED = {
    "a shape that does not fit": (changed(shape=[3]), "2 elements"),
    "a shape of no axis": (changed(shape=[]), "its first size"),
    "a negative size": (changed(shape=[-1]), "shape [-1]"),
    "a size beyond 64 bits": (changed(shape=[2**70]), "no memory"),
    "sizes whose product is beyond 64 bits": (changed(shape=[2**33, 2**33]), "no memory"),
    "sizes whose product is nothing": (changed(shape=[0, 2**62], data=[]), "no memory"),
    "a size that is no integer": (changed(shape=[1.5]), "Expected `int`"),
    "a size that is a truth": (changed(shape=[True, True]), "Expected `int`"),
    "two columns in one": (changed(shape=[2, 2], data=[1, 2, 3, 4]), "a column takes"),
    "a datatype that is none": (changed(datatype="FLOAT"), "datatype 'FLOAT'"),
    "data that are no list": (changed(data=3), "a number"),
    "data that are ragged": (changed(shape=[2, 1], data=[[1], []]), "do not fit"),
    "data nested too deep": (changed(data=[[1], [2]]), "deeper"),
    "a number beyond its datatype": (changed(datatype="INT8", data=[1, 300]), "-128 to 127"),
    "a fraction for an integer": (changed(datatype="INT32", data=[1, 1.5]), "an integer"),
    "text for a number": (changed(datatype="BYTES", data=["1", "x"]), "expected a number"),
    "an object for a number": (changed(data=[1, {}]), "an object"),
    "a number beyond FP32": (changed(datatype="FP32", data=[1, 1e39]), "float32 can hold"),
    "an unknown content type": (changed(parameters={"content_type": "xml"}), "content type 'xml'"),
    "a size of bytes that are not there": (changed(data=None, parameters={"binary_data_size": 16}), "both"),
    "a size of bytes that is none": (changed(parameters={"binary_data_size": -1}), "no number"),
    "a size of bytes that is a text": (changed(parameters={"binary_data_size": "16"}), "no number"),
    "parameters that are none": (changed(parameters=[1]), "Expected `object"),
    "a name that is none": (changed(name=3), "Expected `str`"),
    "inputs twice": ({"inputs": [changed()["inputs"][0]] * 2}, "twice"),
    "inputs that are none": ({"inputs": {}}, "Expected `array`"),
    "no inputs": ({}, "inputs"),
    "columns of two lengths": (changed(shape=[1], data=[1]), "same number"),
    "an output that is none": ({**changed(), "outputs": [{"name": "y"}]}, "Unexpected inference output 'y'"),
    "an output twice": ({**changed(), "outputs": [{"name": "prediction"}] * 2}, "twice"),
    "a flag that is none": ({**changed(), "parameters": {"binary_data_output": 1}}, "true or false"),
    "a classification": (
        {**changed(), "outputs": [{"name": "prediction", "parameters": {"classification": 3}}]},
        "classification",
    ),
    "an id that is none": ({**changed(), "id": 3}, "Expected `str"),
    "another model": ({**changed(), "model_name": "other"}, "names 'other'"),
    "a field that is none": ({**changed(), "inptus": []}, "unknown field `inptus`"),
    "a list": ([], "Expected `object`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_words(client, case):
    body, wanted = REFUSED[case]
    reply = client.post(INFER, json=body)
    assert reply.status_code == 400, reply.text
    assert wanted in reply.json()["error"]


def binary(size: int, data: bytes, **more) -> tuple[bytes, bytes]:
    given = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}, **more}
    return json.dumps({"inputs": [given]}).encode(), data


EIGHT = struct.pack("<d", 3.0)
LIES = {
    "fewer bytes than it says": (*binary(8, EIGHT[:7]), "7 are left"),
    "more bytes than it says": (*binary(8, EIGHT + b"x"), "belong to no input"),
    "other bytes than its shape": (*binary(4, EIGHT[:4]), "takes 8"),
    "infinity": (*binary(8, struct.pack("<d", float("inf"))), "finite"),
    "not a number": (*binary(8, struct.pack("<d", float("nan"))), "no missing value"),
    "elements cut off": (*binary(3, b"\x01\x00\x00", datatype="BYTES"), "within the length"),
    "an element that lies": (*binary(8, b"\xff\xff\xff\xffabcd", datatype="BYTES"), "4294967295 bytes"),
    "an element too many": (*binary(10, b"\x01\0\0\0a" * 2, datatype="BYTES"), "2 elements"),
    "bytes that are no text": (*binary(5, b"\x01\0\0\0\xff", datatype="BYTES"), "not UTF-8"),
    "a truth that is neither": (*binary(1, b"\x02", datatype="BOOL"), "0 or 1"),
}


@pytest.mark.parametrize("case", LIES)
def test_bytes_that_lie_are_refused_in_words(kinds, case):
    head, data, wanted = LIES[case]
    headers = {"inference-header-content-length": str(len(head))}
    reply = kinds.post("/v2/models/double/infer", content=head + data, headers=headers)
    assert reply.status_code == 400, reply.text
    assert wanted in reply.json()["error"]


@pytest.mark.parametrize("length", ["-1", "999999", "abc", "9" * 400, "+3", "1e3", ""])
def test_a_header_length_that_lies_is_refused(kinds, length):
    head, data = binary(8, EIGHT)
    headers = {"inference-header-content-length": length.encode()}
    reply = kinds.post("/v2/models/double/infer", content=head + data, headers=headers)
    assert reply.status_code == 400
    assert "Inference-Header-Content-Length" in reply.json()["error"]


PIECES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["x", "FP64", "BYTES", "INT8", "BOOL"]),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
INPUTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | PIECES,
        "shape": st.lists(st.integers(-2, 4), max_size=3) | PIECES,
        "datatype": st.sampled_from([*KINDS, "BF16"]) | PIECES,
        "data": st.lists(st.integers(-300, 300) | st.floats(-10, 10) | PIECES, max_size=5),
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "content_type"]), PIECES, max_size=2),
    },
)


@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    inputs=st.lists(INPUTS, max_size=3),
    tail=st.binary(max_size=40),
    lie=st.integers(-3, 3),
    outputs=st.none() | st.lists(st.fixed_dictionaries({"name": st.just("prediction") | PIECES}), max_size=2),
)
def test_no_request_is_a_fault(kinds, inputs, tail, lie, outputs):
    head = json.dumps({"inputs": inputs} | ({} if outputs is None else {"outputs": outputs})).encode()
    headers = {"inference-header-content-length": str(len(head) + lie)} if tail else {}
    for model in ("double", "table"):
        reply = kinds.post(f"/v2/models/{model}/infer", content=head + tail, headers=headers)
        assert reply.status_code in (200, 400), reply.text
