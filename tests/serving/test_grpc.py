"""gRPC by its reference client: the answers of the REST side, in every form, to the caller who asked."""

from __future__ import annotations

import gzip
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import dialects
import hypothesis
import pytest
from certificates import pair
from hypothesis import strategies as st
from live import serving, until
from serving_models import slow_line
from subjects import ROW, double, loan, project_of_double
from test_open_inference import KINDS, every_kind, table_of_numbers, values_of

from examples import examples

grpc = pytest.importorskip("grpc")  # a library of the tests alone; `make setup` brings it

from calling import MESSAGES, answers, calling, request  # noqa: E402 - it is made of grpc

from mainstay.operations import keys  # noqa: E402
from mainstay.serving.grpc.messages import CALLS, HEALTH, INFERENCE, REFLECTIONS  # noqa: E402

CODE = grpc.StatusCode
GRPC = ("--grpc-port", "0")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = ("loan", loan()), ("double", double()), ("kinds", every_kind()), ("table", table_of_numbers())
    with serving(tmp_path_factory.mktemp("grpc"), *models, options=("--workers", "2", *GRPC)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with calling(server.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def rest(server):
    with server.client() as opened:
        yield opened


def rows_of(count: int) -> list[dict]:
    return [
        {**ROW, "amount": 10.0 * number, "purpose": ("car", "radio/tv", "boat")[number % 3]} for number in range(count)
    ]


def refused(ask) -> tuple:
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_tables_are_answered_as_over_rest(client, rest, count, raw):
    rows = rows_of(count)
    plain = rest.post("/models/loan/predict", json=rows).json()
    reply = client.infer(request("loan", dialects.v2(rows)["inputs"], raw=raw, id="mine-7"))
    assert (reply.model_name, reply.model_version, reply.id) == ("loan", "1", "mine-7")
    assert [list(output.shape) for output in reply.outputs] == [[count], [count, 2]]
    assert bool(reply.raw_output_contents) == raw
    found = answers(reply)
    assert [text.decode() for text in found["prediction"]] == plain["prediction"]
    assert found["probabilities"] == [share for each in plain["probabilities"] for share in (each["bad"], each["good"])]


@pytest.mark.parametrize("raw", [False, True])
def test_every_datatype_goes_through_and_back(client, raw):
    inputs = [{"name": f"in {kind}", "datatype": kind, "shape": [3, 2], "data": values_of(kind)} for kind in KINDS]
    if raw:
        reply = client.infer(request("kinds", inputs, raw=True))
    else:  # 16 bits have no field: a request with them is raw, and one whose answer has them is answered so
        halves = [each for each in inputs if each["datatype"] == "FP16"]
        code, said = refused(lambda: client.infer(whole(inputs, halves)))
        assert (code, "raw_input_contents" in said) == (CODE.INVALID_ARGUMENT, True)
        return
    found = answers(reply)
    for kind in KINDS:
        flat = [cell for row in values_of(kind) for cell in row]
        assert found[f"out {kind}"] == ([cell.encode() for cell in flat] if kind == "BYTES" else flat)


def whole(inputs, halves):
    made = request("kinds", [each for each in inputs if each not in halves], raw=False)
    for each in halves:
        made.inputs.add(name=each["name"], datatype="FP16", shape=each["shape"])
    return made


@pytest.mark.parametrize("kind", ["FP64", "FP32", "INT8", "INT32", "INT64", "UINT8", "UINT16", "UINT64"])
def test_typed_contents_of_each_width_are_read(client, kind):
    inputs = [{"name": "rows", "datatype": kind, "shape": [2, 3], "data": [[1, 2, 3], [4, 5, 6]]}]
    assert answers(client.infer(request("table", inputs, raw=False)))["prediction"] == [14.0, 32.0]


def test_concurrent_callers_get_their_own_answers(server):
    def ask(number: int) -> None:
        with calling(server.grpc) as mine:
            for step in range(20):
                value = float(number * 1000 + step)
                inputs = [{"name": "x", "datatype": "FP64", "shape": [1], "data": [value]}]
                reply = mine.infer(request("double", inputs, raw=bool(step % 2), id=f"{number}-{step}"))
                assert (answers(reply)["prediction"], reply.id) == ([2 * value], f"{number}-{step}")

    with ThreadPoolExecutor(16) as callers:
        list(callers.map(ask, range(16)))


def test_many_calls_share_a_connection(client):
    inputs = [[{"name": "x", "datatype": "FP64", "shape": [1], "data": [float(number)]}] for number in range(300)]
    _, call = client.stub("ModelInfer")
    late = [call.future(request("double", each, raw=True), timeout=20) for each in inputs]
    assert [answers(each.result())["prediction"] for each in late] == [[2.0 * number] for number in range(300)]


def test_large_messages_go_both_ways_within_the_windows(client):
    numbers = [float(number) for number in range(200_000)]
    inputs = [{"name": "x", "datatype": "FP64", "shape": [len(numbers)], "data": numbers}]
    for raw in (True, False):
        assert answers(client.infer(request("double", inputs, raw=raw)))["prediction"] == [2 * n for n in numbers]


@pytest.mark.parametrize("algorithm", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_read(client, algorithm):
    rows = rows_of(50)
    asked = request("loan", dialects.v2(rows)["inputs"], raw=True)
    plain = answers(client.infer(asked))
    assert answers(client.infer(asked, compression=algorithm)) == plain


def test_outputs_are_chosen_and_parameters_followed(client):
    asked = request("loan", dialects.v2([ROW])["inputs"], raw=True, outputs=[{"name": "probabilities"}])
    reply = client.infer(asked)
    assert [output.name for output in reply.outputs] == ["probabilities"]
    asked.parameters["binary_data_output"].bool_param = False
    assert not client.infer(asked).raw_output_contents
    asked.parameters["binary_data_output"].string_param = "no"
    assert refused(lambda: client.infer(asked))[0] == CODE.INVALID_ARGUMENT


def test_documents_are_those_of_the_rest_side(client, rest):
    assert client.call("ServerLive").live
    assert client.call("ServerReady").ready
    assert [client.call("ModelReady", name=name).ready for name in ("loan", "none", "../loan")] == [True, False, False]
    assert [client.call("ModelReady", name="loan", version=each).ready for each in ("1", "9", "x")] == [
        True,
        False,
        False,
    ]
    told, server = rest.get("/v2").json(), client.call("ServerMetadata")
    assert (server.name, server.version, list(server.extensions)) == tuple(told.values())
    told, model = rest.get("/v2/models/loan").json(), client.call("ModelMetadata", name="loan", version="1")
    for mine, theirs in ((model.inputs, told["inputs"]), (model.outputs, told["outputs"])):
        assert [(t.name, t.datatype, list(t.shape)) for t in mine] == [
            (t["name"], t["datatype"], t["shape"]) for t in theirs
        ]
    told, config = rest.get("/v2/models/kinds/config").json(), client.call("ModelConfig", name="kinds").config
    assert (config.name, config.max_batch_size) == (told["name"], told["max_batch_size"])
    for mine, theirs in ((config.input, told["input"]), (config.output, told["output"])):
        types = mine[0].DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
        assert [(t.name, types[t.data_type].name, list(t.dims)) for t in mine] == [
            (t["name"], t["data_type"], t["dims"]) for t in theirs
        ]
    index = client.call("RepositoryIndex", ready=True).models
    assert {(each.name, each.state) for each in index} == {(n, "READY") for n in ("loan", "double", "kinds", "table")}


def test_statistics_and_metrics_count_what_was_asked(client, rest):
    def counted():
        return client.call("ModelStatistics", name="table").model_stats[0]

    before = counted()
    inputs = [{"name": "rows", "datatype": "FP64", "shape": [2, 3], "data": [[1, 2, 3], [4, 5, 6]]}]
    client.infer(request("table", inputs, raw=True))
    refused(lambda: client.infer(request("table", [], raw=True)))
    after = counted()
    assert after.inference_count - before.inference_count == 2
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    scraped = rest.get("/metrics").text
    assert 'mainstay_requests_total{model="table",version="table:1",protocol="grpc",code="400"}' in scraped


EIGHT = {"name": "x", "datatype": "FP64", "shape": [1], "data": [3.0]}
REFUSED = {
    "a model that is none": (request("none", [EIGHT], raw=True), CODE.NOT_FOUND, "Request for unknown model: 'none'"),
    "a version that is none": (
        request("double", [EIGHT], raw=True, model_version="9"),
        CODE.NOT_FOUND,
        "Request for unknown model",
    ),
    "no model": (request("", [EIGHT], raw=True), CODE.INVALID_ARGUMENT, "names no model"),
    "a path for a model": (request("a/../b", [EIGHT], raw=True), CODE.NOT_FOUND, "unknown model"),
    "an input that is none": (request("double", [{**EIGHT, "name": "z"}], raw=True), CODE.INVALID_ARGUMENT, "'z'"),
    "an input twice": (request("double", [EIGHT] * 2, raw=True), CODE.INVALID_ARGUMENT, "twice"),
    "a shape that does not fit": (
        request("double", [{**EIGHT, "shape": [2]}], raw=True),
        CODE.INVALID_ARGUMENT,
        "takes 16",
    ),
    "typed data that do not fit": (
        request("double", [{**EIGHT, "shape": [2]}], raw=False),
        CODE.INVALID_ARGUMENT,
        "1 elements in fp64_contents",
    ),
    "a negative size": (request("double", [{**EIGHT, "shape": [-1]}], raw=True), CODE.INVALID_ARGUMENT, "[-1]"),
    "infinity": (
        request("double", [{**EIGHT, "data": [float("inf")]}], raw=False),
        CODE.INVALID_ARGUMENT,
        "finite",
    ),
    "beyond its datatype": (
        request("double", [{**EIGHT, "datatype": "INT8", "data": [300]}], raw=False),
        CODE.INVALID_ARGUMENT,
        "-128 to 127",
    ),
    "an output that is none": (
        request("double", [EIGHT], raw=True, outputs=[{"name": "y"}]),
        CODE.INVALID_ARGUMENT,
        "'y'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_words(client, case):
    asked, code, wanted = REFUSED[case]
    found, said = refused(lambda: client.infer(asked))
    assert (found, wanted in said) == (code, True), said


def test_lies_about_contents_are_refused(client):
    both = request("double", [EIGHT], raw=True)
    both.inputs[0].contents.fp64_contents.append(3.0)
    fewer = request("double", [EIGHT], raw=True)
    fewer.raw_input_contents.append(b"")
    shared = request("double", [EIGHT], raw=False)
    shared.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    elsewhere = request("double", [EIGHT], raw=False)
    elsewhere.inputs[0].datatype = "FP32"
    kind = request("double", [EIGHT], raw=True)
    kind.inputs[0].datatype = "ü" * 50
    for asked, wanted in (
        (both, "both contents"),
        (fewer, "2 raw_input_contents"),
        (shared, "shared memory"),
        (elsewhere, "Its data are in fp64_contents"),
        (kind, "datatype 'ü"),
    ):
        code, said = refused(lambda asked=asked: client.infer(asked))
        assert (code, wanted in said) == (CODE.INVALID_ARGUMENT, True), said
    call = client.channel.unary_unary(f"/{INFERENCE}/ModelInfer")
    for junk in (b"\xff" * 9, b"\x0a\x7floan", b"\x0a\x06double\x2a\x05junk!"):
        assert refused(lambda junk=junk: call(junk, timeout=20))[0] in (CODE.INVALID_ARGUMENT, CODE.NOT_FOUND)
    assert (
        refused(lambda: client.channel.unary_unary("/inference.Other/Call")(b"", timeout=20))[0] == CODE.UNIMPLEMENTED
    )


def test_a_message_beyond_the_bound_is_refused_and_the_connection_goes_on(tmp_path):
    (tmp_path / "mainstay.toml").write_text(project_of_double(max_body=2_000))
    with serving(tmp_path, ("double", double()), options=GRPC) as server, calling(server.grpc) as client:
        small = request("double", [EIGHT], raw=True)
        large = request("double", [{**EIGHT, "shape": [500], "data": [1.0] * 500}], raw=True)
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            code, said = refused(lambda how=compression: client.infer(large, compression=how))
            assert (code, "2000 bytes" in said) == (CODE.RESOURCE_EXHAUSTED, True)
            assert answers(client.infer(small))["prediction"] == [6.0]
        assert len(gzip.compress(large.SerializeToString())) < 2000, "the bound is of what a message becomes"


def test_a_stream_is_answered_message_by_message(client):
    _, call = client.stub("ModelStreamInfer", streams=True)
    asked = [request("double", [{**EIGHT, "data": [float(n)]}], raw=True, id=str(n)) for n in range(5)]
    asked.insert(2, request("none", [EIGHT], raw=True))
    found = list(call(iter(asked), timeout=20))
    assert [each.infer_response.id for each in found if not each.error_message] == list("01234")
    assert "unknown model" in found[2].error_message
    turns = call((each for each in asked[:2]), timeout=20)
    assert [answers(each.infer_response)["prediction"] for each in turns] == [[0.0], [2.0]]


def test_health_is_told_as_probes_ask_for_it(client):
    said = [client.call("Check", of=HEALTH, **fields).status for fields in ({}, {"service": INFERENCE})]
    assert said == [1, 1]
    assert (
        client.stub("Check", HEALTH)[1](
            MESSAGES["grpc.health.v1.HealthCheckRequest"](service="loan"), timeout=20
        ).status
        == 1
    )
    # As health.proto has it of servers that tell of no changes: a client asks no more, and takes the server for well.
    watch = client.channel.unary_stream(f"/{HEALTH}/Watch")
    assert refusal(lambda: list(watch(b"", timeout=20))) == CODE.UNIMPLEMENTED
    asked = MESSAGES["grpc.health.v1.HealthCheckRequest"](service="none")
    assert refused(lambda: client.stub("Check", HEALTH)[1](asked, timeout=20))[0] == CODE.NOT_FOUND


@pytest.mark.parametrize("service", REFLECTIONS)
def test_reflection_describes_what_can_be_called(client, service):
    kind, call = client.stub("ServerReflectionInfo", service, streams=True)
    asked = [kind(list_services=""), kind(file_containing_symbol=INFERENCE), kind(file_containing_symbol="none.None")]
    listed, described, missing = call(iter(asked), timeout=20)
    assert {each.name for each in listed.list_services_response.service} == {INFERENCE, HEALTH, *REFLECTIONS}
    assert b"ModelInferRequest" in described.file_descriptor_response.file_descriptor_proto[0]
    assert missing.error_response.error_code == 5


def test_late_and_leaving_callers_cost_the_others_nothing_and_the_end_of_the_server_nobody(tmp_path):
    models = ("slow", slow_line(size=700, times=20))
    with serving(tmp_path, models, options=GRPC) as server, calling(server.grpc) as client:
        asked, (_, call) = request("slow", [EIGHT], raw=True), client.stub("ModelInfer")
        client.infer(asked)
        late = [call.future(asked, timeout=60) for _ in range(8)]
        assert refused(lambda: client.infer(asked, timeout=0.002))[0] == CODE.DEADLINE_EXCEEDED
        late[5].cancel()
        assert [answers(each.result())["prediction"] for at, each in enumerate(late) if at != 5] == [[3.0]] * 7
        with server.client() as http:
            until(lambda: 'mainstay_requests_in_flight{model="slow",version="slow:1"} 0' in http.get("/metrics").text)
        late = [call.future(asked, timeout=60) for _ in range(8)]
        late[0].result()
        server.process.send_signal(signal.SIGTERM)
        assert [answers(each.result())["prediction"] for each in late] == [[3.0]] * 8
        assert server.process.wait(30) == 0


def test_a_worker_that_ends_costs_no_call_that_comes_later(tmp_path):
    with serving(tmp_path, ("double", double()), options=("--workers", "2", *GRPC)) as server:
        failed, asked, over = [], [0], threading.Event()

        def ask() -> None:
            with calling(server.grpc) as client:
                while not over.is_set():
                    try:
                        assert answers(client.infer(request("double", [EIGHT], raw=True)))["prediction"] == [6.0]
                        asked[0] += 1
                    except grpc.RpcError as error:
                        failed.append(error.code())

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            until(lambda: asked[0] > 50)
            before = server.workers()
            before[0].terminate()  # in order: nobody may notice
            until(lambda: before[0].pid not in [each.pid for each in server.workers()] and len(server.workers()) == 2)
            seen = asked[0]
            until(lambda: asked[0] > seen + 100)
        finally:
            over.set()
            for caller in callers:
                caller.join()
        assert failed == []


def test_tls_is_spoken_where_there_is_a_certificate(tmp_path):
    files = pair(tmp_path)
    options = (*GRPC, "--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    trust = ssl.create_default_context(cafile=files.authority)
    with serving(tmp_path, ("double", double()), options=options, verify=trust) as server:
        asked = request("double", [EIGHT], raw=True)
        with calling(server.grpc, files.authority.read_bytes()) as client:
            assert answers(client.infer(asked))["prediction"] == [6.0]
        with calling(server.grpc) as plain:
            assert refused(lambda: plain.infer(asked))[0] == CODE.UNAVAILABLE
        with calling(server.grpc, pair(tmp_path, "other").authority.read_bytes()) as wary:
            assert refused(lambda: wary.infer(asked))[0] == CODE.UNAVAILABLE


def test_every_call_but_health_is_refused_without_a_key(tmp_path):
    with serving(tmp_path, ("double", double()), options=GRPC) as server, calling(server.grpc) as client:
        text = keys.create(server.folder, "caller", verbs="predict").key
        metadata = [("authorization", f"Bearer {text}")]
        until(lambda: refusal(lambda: client.infer(request("double", [EIGHT], raw=True))))
        for name in CALLS:
            streams = name == "ModelStreamInfer"
            kind, call = client.stub(name, streams=streams)
            asked = [("name", "double")] if "name" in kind.DESCRIPTOR.fields_by_name else []
            message = kind(**dict(asked))
            found = refusal(lambda call=call, m=message, s=streams: list(call(iter([m]))) if s else call(m, timeout=20))
            assert found == (None if name in ("ServerLive", "ServerReady") else CODE.UNAUTHENTICATED), name
        kind, call = client.stub("ServerReflectionInfo", REFLECTIONS[0], streams=True)
        assert refusal(lambda: list(call(iter([kind(list_services="")])))) == CODE.UNAUTHENTICATED
        assert client.call("Check", of=HEALTH).status == 1
        asked = request("double", [EIGHT], raw=True)
        assert answers(client.infer(asked, metadata=metadata))["prediction"] == [6.0]
        assert refusal(lambda: client.call("ServerMetadata", metadata=metadata)) == CODE.PERMISSION_DENIED
        managing = [("x-api-key", keys.create(server.folder, "manager", verbs="read,manage").key)]
        until(lambda: refusal(lambda: client.call("ServerMetadata", metadata=managing)) is None)
        for verb, ready in (("Unload", False), ("Load", True)):
            client.call(f"RepositoryModel{verb}", metadata=managing, model_name="double", timeout=60)
            assert client.call("ModelReady", metadata=managing, name="double").ready == ready
        assert refusal(lambda: client.call("RepositoryModelLoad", metadata=metadata, model_name="double")) == (
            CODE.PERMISSION_DENIED
        )
        wrong = [("authorization", f"Bearer {text[:-1]}{'0' if text[-1] != '0' else '1'}")]
        assert refusal(lambda: client.infer(asked, metadata=wrong)) == CODE.UNAUTHENTICATED


def refusal(ask):
    try:
        ask()
    except grpc.RpcError as error:
        return error.code()
    return None


SIZES = st.lists(st.integers(-2, 4) | st.sampled_from([2**31, 2**62, -(2**63)]), max_size=3)
TENSORS = st.fixed_dictionaries(
    {"name": st.sampled_from(["x", "a", "rows", "", "x\0"]), "datatype": st.sampled_from([*KINDS, "BF16", "", "FP"])},
    optional={
        "shape": SIZES,
        "field": st.sampled_from([f"{kind}_contents" for kind in ("bool", "int", "uint", "int64", "fp32", "fp64")]),
    },
)


@hypothesis.settings(max_examples=examples(300), derandomize=True, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    tensors=st.lists(TENSORS, max_size=3),
    raws=st.lists(st.binary(max_size=40), max_size=3),
    cells=st.lists(st.integers(0, 1), max_size=5),
    cut=st.none() | st.tuples(st.integers(0, 200), st.binary(max_size=3)),
    model=st.sampled_from(["double", "table", "kinds"]),
)
def test_no_message_is_a_fault(client, *, tensors, raws, cells, cut, model):
    made = MESSAGES["ModelInferRequest"](model_name=model)
    for each in tensors:
        given = made.inputs.add(name=each["name"], datatype=each["datatype"], shape=each.get("shape", []))
        if "field" in each:
            getattr(given.contents, each["field"]).extend(cells)
    made.raw_input_contents.extend(raws)
    data = made.SerializeToString()
    if cut is not None:
        data = data[: cut[0]] + cut[1] + data[cut[0] + len(cut[1]) :]
    found = refusal(lambda: client.channel.unary_unary(f"/{INFERENCE}/ModelInfer")(data, timeout=20))
    assert found in (None, CODE.INVALID_ARGUMENT, CODE.NOT_FOUND), found
