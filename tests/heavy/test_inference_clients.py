"""Triton's clients, as they come from their package, against a live server."""

from __future__ import annotations

import asyncio
import queue

import numpy as np
import pytest
from libraries import need
from live import serving, until
from subjects import ROW, double, loan

from mainstay.operations import keys
from mainstay.operations.deploying import deploy

grpc = need("tritonclient.grpc")
grpc_aio = need("tritonclient.grpc.aio")
http = need("tritonclient.http")
aio = need("tritonclient.http.aio")
utils = need("tritonclient.utils")

TYPES = {"age": "FP64", "amount": "FP64", "purpose": "BYTES", "owner": "BOOL", "since": "BYTES"}
NUMPY = {"FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = ("loan", loan()), ("double", double())
    with serving(tmp_path_factory.mktemp("clients"), *models, options=("--grpc-port", "0")) as running:
        yield running


def inputs(module, rows: int, *, binary: bool, names=tuple(TYPES)):
    made = []
    for name in names:
        each = module.InferInput(name, [rows], TYPES[name])
        each.set_data_from_numpy(np.array([ROW[name]] * rows, dtype=NUMPY[TYPES[name]]), binary_data=binary)
        made.append(each)
    return made


def expected(server) -> dict[str, float]:
    with server.client() as client:
        return client.post("/models/loan/predict", json=ROW).json()["probabilities"]


@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_tritons_client_gets_the_plain_answers(server, rows, binary, binary_out):
    client = http.InferenceServerClient(server.url.removeprefix("http://"))
    outputs = [http.InferRequestedOutput(name, binary_data=binary_out) for name in ("probabilities", "prediction")]
    reply = client.infer("loan", inputs(http, rows, binary=binary), outputs=outputs, request_id="r-1")
    shares = expected(server)
    np.testing.assert_allclose(reply.as_numpy("probabilities"), [[shares["bad"], shares["good"]]] * rows, atol=1e-12)
    labels = [each.decode() if isinstance(each, bytes) else each for each in reply.as_numpy("prediction")]
    assert labels == ["good" if shares["good"] >= 0.5 else "bad"] * rows
    assert reply.get_response()["id"] == "r-1"
    client.close()


def test_tritons_client_asks_for_what_it_wants_at_once(server):
    client = http.InferenceServerClient(server.url.removeprefix("http://"), concurrency=4)
    pending = [client.async_infer("loan", inputs(http, 1 + at % 3, binary=True), model_version="1") for at in range(20)]
    for at, each in enumerate(pending):
        assert each.get_result().as_numpy("probabilities").shape == (1 + at % 3, 2)
    client.close()


def test_tritons_client_reads_the_documents(server):
    client = http.InferenceServerClient(server.url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("loan")
    assert client.is_model_ready("loan", "1")
    assert not client.is_model_ready("loan", "9")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata()["name"] == "mainstay"
    assert [each["name"] for each in client.get_model_metadata("loan")["inputs"]] == list(TYPES)
    assert {each["name"] for each in client.get_model_repository_index()} == {"loan", "double"}
    assert client.get_inference_statistics("loan")["model_stats"][0]["name"] == "loan"
    for change in (client.load_model, client.unload_model):
        with pytest.raises(utils.InferenceServerException, match="manage"):
            change("loan")
    with pytest.raises(utils.InferenceServerException, match="Request for unknown model"):
        client.infer("none", inputs(http, 1, binary=True))
    with pytest.raises(utils.InferenceServerException, match="'age' is missing"):
        client.infer("loan", inputs(http, 1, binary=True, names=("amount", "owner", "purpose", "since")))
    client.close()


def test_tritons_client_controls_models_and_asks_versions(tmp_path):
    """As its own example of model control does, with a key that may."""
    with serving(tmp_path, ("double", double()), options=("--grpc-port", "0")) as running:
        for shift in (0.0, 1.0):
            running.add("loan", loan(shift=shift), deploy=False)
        may = {"authorization": f"Bearer {keys.create(tmp_path, 'ops', verbs='predict,read,manage').key}"}
        with running.client() as plain:  # until its worker knows the key
            until(lambda: plain.get("/v2").status_code == 401)
        client = http.InferenceServerClient(running.url.removeprefix("http://"), network_timeout=90.0)
        until(lambda: "loan" in {each["name"] for each in client.get_model_repository_index(headers=may)})
        assert not client.is_model_ready("loan", headers=may)
        client.load_model("loan", headers=may)
        assert client.is_model_ready("loan", "2", headers=may)
        assert deploy(tmp_path, "loan:1", beside=True).servers == 1
        shares = {}
        for version in ("", "1", "2"):
            sent = dict(may)  # it writes its own into them
            reply = client.infer("loan", inputs(http, 1, binary=True), model_version=version, headers=sent)
            shares[version] = reply.as_numpy("probabilities")[0, 1]
            assert reply.get_response()["model_version"] == (version or "2")
        assert shares[""] == shares["2"] != shares["1"]
        assert client.get_model_metadata("loan", headers=may)["versions"] == ["1", "2"]
        with grpc.InferenceServerClient(running.grpc) as other:
            for version, share in shares.items():
                reply = other.infer("loan", grpc_inputs(grpc, 1), model_version=version, headers=may)
                assert reply.get_response().model_version == (version or "2")
                assert reply.as_numpy("probabilities")[0, 1] == pytest.approx(share, abs=1e-12)
            with pytest.raises(utils.InferenceServerException, match="Deployed: 1, 2"):
                other.infer("loan", grpc_inputs(grpc, 1), model_version="9", headers=may)
            other.unload_model("loan", headers=may)
            assert not other.is_model_ready("loan", headers=may)
            other.load_model("loan", headers=may)
            assert other.is_model_ready("loan", "2", headers=may)
        client.unload_model("loan", headers=may)
        assert not client.is_model_ready("loan", headers=may)
        with pytest.raises(utils.InferenceServerException, match="failed to load 'wrong'"):
            client.load_model("wrong", headers=may)
        client.close()


def test_tritons_asyncio_client_gets_the_plain_answers(server):
    async def ask():
        async with aio.InferenceServerClient(server.url.removeprefix("http://")) as client:
            assert await client.is_server_ready()
            replies = await asyncio.gather(
                *(client.infer("loan", inputs(aio, rows, binary=bool(rows % 2))) for rows in range(1, 9))
            )
            return [reply.as_numpy("probabilities") for reply in replies]

    shares = expected(server)
    for rows, found in enumerate(asyncio.run(ask()), start=1):
        np.testing.assert_allclose(found, [[shares["bad"], shares["good"]]] * rows, atol=1e-12)


def grpc_inputs(module, rows: int, *, names=tuple(TYPES)):
    made = []
    for name in names:
        each = module.InferInput(name, [rows], TYPES[name])
        each.set_data_from_numpy(np.array([ROW[name]] * rows, dtype=NUMPY[TYPES[name]]))
        made.append(each)
    return made


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_tritons_grpc_client_gets_the_plain_answers(server, rows, compression):
    with grpc.InferenceServerClient(server.grpc) as client:
        outputs = [grpc.InferRequestedOutput(name) for name in ("probabilities", "prediction")]
        reply = client.infer(
            "loan", grpc_inputs(grpc, rows), outputs=outputs, request_id="r-1", compression_algorithm=compression
        )
    shares = expected(server)
    np.testing.assert_allclose(reply.as_numpy("probabilities"), [[shares["bad"], shares["good"]]] * rows, atol=1e-12)
    assert [each.decode() for each in reply.as_numpy("prediction")] == [
        "good" if shares["good"] >= 0.5 else "bad"
    ] * rows
    assert (reply.get_response().id, [each.name for each in reply.get_response().outputs]) == (
        "r-1",
        ["probabilities", "prediction"],
    )


def test_tritons_grpc_client_asks_for_what_it_wants_at_once_and_in_a_stream(server):
    found: queue.Queue = queue.Queue()
    with grpc.InferenceServerClient(server.grpc) as client:
        for at in range(20):
            client.async_infer(
                "loan",
                grpc_inputs(grpc, 1 + at % 3),
                lambda result, error: found.put(error or result),
                model_version="1",
                request_id=str(at),
                client_timeout=20,
            )
        seen = [found.get(timeout=20) for _ in range(20)]
        shapes = {each.get_response().id: each.as_numpy("probabilities").shape for each in seen}
        assert shapes == {str(at): (1 + at % 3, 2) for at in range(20)}
        client.start_stream(lambda result, error: found.put(error or result))
        for at in range(5):
            client.async_stream_infer("loan" if at != 3 else "none", grpc_inputs(grpc, 2), request_id=str(at))
        seen = [found.get(timeout=20) for _ in range(5)]
        client.stop_stream()
        assert "unknown model" in str(seen.pop(3))
        assert [each.get_response().id for each in seen] == ["0", "1", "2", "4"]


def test_tritons_grpc_client_reads_the_documents(server):
    with grpc.InferenceServerClient(server.grpc) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("loan")
        assert client.is_model_ready("loan", "1")
        assert not client.is_model_ready("loan", "9")
        assert not client.is_model_ready("none")
        assert client.get_server_metadata().name == "mainstay"
        assert [each.name for each in client.get_model_metadata("loan").inputs] == list(TYPES)
        assert {each.name for each in client.get_model_repository_index().models} == {"loan", "double"}
        assert client.get_inference_statistics("loan").model_stats[0].name == "loan"
        for change in (client.load_model, client.unload_model):
            with pytest.raises(utils.InferenceServerException, match="UNAUTHENTICATED"):
                change("loan")
        with pytest.raises(utils.InferenceServerException, match="Request for unknown model"):
            client.get_model_metadata("wrong_model_name")
        with pytest.raises(utils.InferenceServerException, match="'age' is missing"):
            client.infer("loan", grpc_inputs(grpc, 1, names=("amount", "owner", "purpose", "since")))
        with pytest.raises(utils.InferenceServerException, match="Deadline"):
            client.infer("loan", grpc_inputs(grpc, 1000), client_timeout=1e-6)


def test_tritons_asyncio_grpc_client_gets_the_plain_answers(server):
    async def ask():
        async with grpc_aio.InferenceServerClient(server.grpc) as client:
            assert await client.is_server_ready()
            replies = await asyncio.gather(*(client.infer("loan", grpc_inputs(grpc_aio, rows)) for rows in range(1, 9)))
            return [reply.as_numpy("probabilities") for reply in replies]

    shares = expected(server)
    for rows, found in enumerate(asyncio.run(ask()), start=1):
        np.testing.assert_allclose(found, [[shares["bad"], shares["good"]]] * rows, atol=1e-12)


@pytest.mark.parametrize("answers", [None, "gzip", "deflate"])
@pytest.mark.parametrize("requests", ["gzip", "deflate"])
@pytest.mark.parametrize("rows", [1, 1000])
def test_tritons_client_compresses_what_it_sends_and_takes_what_is_not_compressed(server, rows, requests, answers):
    client = http.InferenceServerClient(server.url.removeprefix("http://"))
    compressed = {"request_compression_algorithm": requests, "response_compression_algorithm": answers}
    for binary in (True, False):
        plain = client.infer("loan", inputs(http, rows, binary=binary)).as_numpy("probabilities")
        reply = client.infer("loan", inputs(http, rows, binary=binary), **compressed)
        np.testing.assert_array_equal(reply.as_numpy("probabilities"), plain)
    client.close()

    async def ask():
        async with aio.InferenceServerClient(server.url.removeprefix("http://")) as other:
            reply = await other.infer("loan", inputs(aio, rows, binary=True), **compressed)
            return reply.as_numpy("probabilities")

    np.testing.assert_array_equal(asyncio.run(ask()), plain)


UNOFFERED = {
    "get_system_shared_memory_status": ((), "Shared memory"),
    "register_system_shared_memory": (("a", "/a", 8), "Shared memory"),
    "unregister_system_shared_memory": ((), "Shared memory"),
    "get_cuda_shared_memory_status": ((), "Shared memory"),
    "register_cuda_shared_memory": (("a", b"aGFuZGxl", 0, 8), "Shared memory"),
    "unregister_cuda_shared_memory": ((), "Shared memory"),
    "get_trace_settings": (("loan",), "otlp"),
    "update_trace_settings": (("loan", {"trace_rate": "1"}), "otlp"),
    "get_log_settings": ((), "standard error"),
    "update_log_settings": (({"log_info": True},), "standard error"),
}
TRITONS = {"BYTES": "TYPE_STRING", "FP64": "TYPE_FP64", "BOOL": "TYPE_BOOL"}


def test_tritons_clients_read_the_configuration(server):
    def check(told):
        assert (told["name"], told["platform"]) == ("loan", "mainstay")
        assert told["max_batch_size"] > 100_000
        found = {each["name"]: (each["data_type"], list(map(int, each.get("dims", [])))) for each in told["input"]}
        assert found == {name: (TRITONS[kind], []) for name, kind in TYPES.items()}
        assert list(map(int, told["output"][1]["dims"])) == [2]

    client = http.InferenceServerClient(server.url.removeprefix("http://"))
    check(client.get_model_config("loan"))
    with pytest.raises(utils.InferenceServerException, match="Request for unknown model"):
        client.get_model_config("none")
    client.close()
    with grpc.InferenceServerClient(server.grpc) as other:
        check(other.get_model_config("loan", "1", as_json=True)["config"])
        assert other.get_model_config("loan").config.input[0].data_type == 12  # TYPE_FP64

    async def ask():
        async with (
            aio.InferenceServerClient(server.url.removeprefix("http://")) as one,
            grpc_aio.InferenceServerClient(server.grpc) as two,
        ):
            return await one.get_model_config("loan"), (await two.get_model_config("loan", as_json=True))["config"]

    for told in asyncio.run(ask()):
        check(told)


@pytest.mark.parametrize("call", UNOFFERED)
def test_what_tritons_clients_cannot_have_is_said(server, call):
    given, words = UNOFFERED[call]
    client = http.InferenceServerClient(server.url.removeprefix("http://"))
    with pytest.raises(utils.InferenceServerException, match=words):
        getattr(client, call)(*given)
    client.close()
    with (
        grpc.InferenceServerClient(server.grpc) as other,
        pytest.raises(utils.InferenceServerException, match=words) as raised,
    ):
        getattr(other, call)(*given)
    assert raised.value.status() == "StatusCode.UNIMPLEMENTED"

    async def ask(module, address):
        async with module.InferenceServerClient(address) as client:
            with pytest.raises(utils.InferenceServerException, match=words):
                await getattr(client, call)(*given)

    asyncio.run(ask(aio, server.url.removeprefix("http://")))
    asyncio.run(ask(grpc_aio, server.grpc))
