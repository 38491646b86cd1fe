"""The clients of Triton and KServe, as they come from their packages, against a live server."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from libraries import need
from live import serving, until
from subjects import ROW, double, loan

from mainstay.operations import keys
from mainstay.operations.deploying import deploy

http = need("tritonclient.http")
aio = need("tritonclient.http.aio")
utils = need("tritonclient.utils")

TYPES = {"age": "FP64", "amount": "FP64", "purpose": "BYTES", "owner": "BOOL", "since": "BYTES"}
NUMPY = {"FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("clients"), ("loan", loan()), ("double", double())) as running:
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
    with serving(tmp_path, ("double", double())) as running:
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
            reply = client.infer("loan", inputs(http, 1, binary=True), model_version=version, headers=may)
            shares[version] = reply.as_numpy("probabilities")[0, 1]
            assert reply.get_response()["model_version"] == (version or "2")
        assert shares[""] == shares["2"] != shares["1"]
        assert client.get_model_metadata("loan", headers=may)["versions"] == ["1", "2"]
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


@pytest.mark.parametrize("binary", [True, False])
def test_kserves_client_gets_the_plain_answers(server, binary):
    # It asks for an older pandas than the lock has, so that it is in no environment of ours.
    kserve = pytest.importorskip("kserve")

    async def ask():
        client = kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol="v2"))
        assert await client.is_server_live(server.url)
        assert await client.is_server_ready(server.url)
        assert await client.is_model_ready(server.url, "loan")
        assert not await client.is_model_ready(server.url, "none")
        made = []
        for name, kind in TYPES.items():
            each = kserve.InferInput(name=name, shape=[3], datatype=kind)
            each.set_data_from_numpy(np.array([ROW[name]] * 3, dtype=NUMPY[kind]), binary_data=binary)
            made.append(each)
        request = kserve.InferRequest(
            model_name="loan", infer_inputs=made, request_id="k-1", parameters={"binary_data_output": binary}
        )
        reply = await client.infer(server.url, request, model_name="loan")
        await client.close()
        return reply

    reply, shares = asyncio.run(ask()), expected(server)
    found = {output.name: output.as_numpy() for output in reply.outputs}
    np.testing.assert_allclose(found["probabilities"], [[shares["bad"], shares["good"]]] * 3, atol=1e-12)
    assert reply.id == "k-1"
