"""Several versions of one model at once: each answers where it is asked for, and none harms another."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import dialects
import httpx
import pytest
from live import Server, serving, until
from subjects import ROW, SECONDS, double, good, loan

from mainstay.operations.deploying import DidNotComeUp, deploy
from mainstay.operations.undeploying import undeploy
from mainstay.registry.store import Registry

SHARES = {number: good(1200.5, 1, True, SECONDS, shift) for number, shift in ((1, 0.0), (2, 1.0), (3, 2.0))}


def beside(server: Server, number: int) -> None:
    with Registry.open(server.folder / ".mainstay") as registry:
        deployment = registry.deployment("loan")
        assert deployment is not None
        registry.deploy_beside(registry.version(f"loan:{number}"), expecting=deployment.version, actor="test")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """loan:1 takes the traffic, loan:2 and loan:3 are beside it; two workers."""
    folder = tmp_path_factory.mktemp("several")
    with serving(folder, ("loan", loan()), ("double", double()), options=("--workers", "2")) as running:
        for shift in (1.0, 2.0):
            beside(running, int(running.add("loan", loan(shift=shift), deploy=False)[-1]))
        with Registry.open(folder / ".mainstay") as registry:
            registry.point("loan", "audited", registry.version("loan:2"), expecting=None, actor="test")
            registry.add("loan", loan(shift=3.0), passed=True, actor="test", summary={})
            registry.point("loan", "next", registry.version("loan:4"), expecting=None, actor="test")
        assert running.settled("loan") == {}
        with running.client() as client:
            until(lambda: client.post("/v1/models/loan/labels/next:predict", json={}).text.count("loan"))
        yield running


@pytest.fixture(scope="module")
def client(server) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def instances() -> dict:
    return {"instances": [ROW]}


def asked(client, path: str) -> tuple[str, float]:
    """The version that answered, and its probability of "good"."""
    if path.startswith("/v2"):
        said = client.post(path, json=dialects.v2([ROW])).json()
        shares = next(each["data"] for each in said["outputs"] if each["name"] == "probabilities")
        return f"{said['model_name']}:{said['model_version']}", shares[1]
    if path.startswith("/v1"):
        reply = client.post(path, json=instances())
        return reply.headers["x-model"], reply.json()["predictions"][0]["probabilities"][1]
    said = client.post(path, json=ROW).json()
    return said["model"], said["probabilities"]["good"]


PLACES = {
    "/models/loan/predict": 1,
    "/models/loan/versions/{}/predict": None,
    "/v2/models/loan/infer": 1,
    "/v2/models/loan/versions/{}/infer": None,
    "/v1/models/loan:predict": 1,
    "/v1/models/loan/versions/{}:predict": None,
    "/v1/models/loan/labels/stable:predict": 1,
    "/v1/models/loan/labels/champion:predict": 1,
    "/v1/models/loan/labels/audited:predict": 2,
}


@pytest.mark.parametrize("path", PLACES)
def test_each_version_answers_where_it_is_asked_for_and_says_so(client, path):
    numbers = [PLACES[path]] if PLACES[path] else SHARES
    for number in numbers:
        version, share = asked(client, path.format(number))
        assert (version, share) == (f"loan:{number}", pytest.approx(SHARES[number], abs=1e-12))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/models/loan/versions/9/predict", "Deployed: 1, 2, 3."),
        ("/models/loan/versions/02/predict", "Deployed: 1, 2, 3."),
        ("/v2/models/loan/versions/9/infer", "Request for unknown model"),
        ("/v2/models/loan/versions/9/infer", "Deployed: 1, 2, 3."),
        ("/v1/models/loan/versions/9:predict", "Servable not found for request: Specific(loan, 9)"),
        ("/v1/models/loan/versions/9:predict", "Deployed: 1, 2, 3."),
        ("/v1/models/loan/labels/audit:predict", "Did you mean 'audited'?"),
        ("/v1/models/loan/labels/nothing:predict", "Known: audited, champion, next, stable."),
        ("/v1/models/loan/labels/next:predict", "Version 4 of loan is not deployed here. Deployed: 1, 2, 3."),
        ("/models/loam/versions/1/predict", "Did you mean 'loan'?"),
    ],
)
def test_a_version_or_label_that_is_not_there_is_refused_with_those_that_are(client, path, said):
    reply = client.post(path, json=ROW)
    assert reply.status_code == 404
    assert said in reply.json()["error"]


def test_the_documents_name_all_versions(client):
    loans = next(each for each in client.get("/models").json()["models"] if each["name"] == "loan")
    assert (loans["version"], loans["versions"]) == (1, [1, 2, 3])
    assert client.get("/models/loan/versions/3").json()["version"] == 3
    status = client.get("/v1/models/loan").json()["model_version_status"]
    assert [(each["version"], each["state"]) for each in status] == [(n, "AVAILABLE") for n in ("3", "2", "1")]
    assert client.get("/v1/models/loan/labels/audited").json()["model_version_status"][0]["version"] == "2"
    assert client.get("/v1/models/loan/versions/2/metadata").json()["model_spec"]["version"] == "2"
    assert client.get("/v2/models/loan/versions/2").json()["versions"] == ["1", "2", "3"]
    assert client.get("/v2/models/loan/versions/2/ready").status_code == 200
    assert client.get("/v2/models/loan/versions/9/ready").status_code == 404
    of_all = client.get("/v2/models/stats").json()["model_stats"]
    assert [(each["name"], each["version"]) for each in of_all] == [
        ("double", "1"),
        ("loan", "1"),
        ("loan", "2"),
        ("loan", "3"),
    ]
    assert len(client.get("/v2/models/loan/stats").json()["model_stats"]) == 3
    index = client.post("/v2/repository/index", json={"ready": True}).json()
    assert [each["version"] for each in index if each["name"] == "loan"] == ["1", "2", "3"]
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/models/loan/versions/2/predict", "/v2/models/loan/versions/3/infer"):
        assert path in paths
    assert "/v1/models/loan/versions/2:predict" in paths
    assert "/v1/models/loan/versions/1:predict" not in paths  # told beside the model's own


def test_an_alias_leads_elsewhere_at_once_without_a_deployment(server, client):
    with Registry.open(server.folder / ".mainstay") as registry:
        three, generation = registry.version("loan:3"), registry.generation()
        registry.point("loan", "moving", three, expecting=None, actor="test")
        assert registry.generation() == generation
    path = "/v1/models/loan/labels/moving:predict"
    until(lambda: client.post(path, json=instances()).status_code == 200)
    assert asked(client, path)[0] == "loan:3"


def test_no_caller_of_a_version_or_of_the_model_is_failed_by_a_change_of_places(tmp_path):
    with serving(tmp_path, ("loan", loan()), options=("--workers", "2")) as server:
        server.add("loan", loan(shift=1.0), deploy=False)
        deploy(tmp_path, "loan:2", beside=True)
        seen: dict[str, set[tuple[int, str]]] = {"/predict": set(), "/models/loan/versions/2/predict": set()}
        over = threading.Event()

        def ask(path: str) -> None:
            with server.client() as client:
                while not over.is_set():
                    reply = client.post(path, json=ROW)
                    seen[path].add((reply.status_code, reply.json().get("model", "")))

        callers = [threading.Thread(target=ask, args=(path,)) for path in seen for _ in range(2)]
        for caller in callers:
            caller.start()
        try:
            deploy(tmp_path, "loan:2")  # from beside to the traffic
            deploy(tmp_path, "loan:1", beside=True)
            undeploy(tmp_path, "loan:1")
        finally:
            over.set()
            for caller in callers:
                caller.join()
        assert seen["/models/loan/versions/2/predict"] == {(200, "loan:2")}
        assert seen["/predict"] <= {(200, "loan:1"), (200, "loan:2")}


def test_versions_come_go_and_change_places_and_the_others_never_notice(tmp_path):
    with serving(tmp_path, ("loan", loan())) as server, server.client() as client:
        server.add("loan", loan(shift=1.0), deploy=False)
        server.add("loan", loan(shift=2.0, wrong=True), deploy=False)
        done = deploy(tmp_path, "loan:2", beside=True)
        assert (done.servers, done.beside) == (1, "loan:1")
        with pytest.raises(DidNotComeUp, match="Golden predictions differ"):
            deploy(tmp_path, "loan:3", beside=True)
        until(lambda: "Deployed: 1, 2." in client.post("/models/loan/versions/3/predict", json=ROW).text)
        assert [asked(client, f"/models/loan/versions/{n}/predict")[0] for n in (1, 2)] == ["loan:1", "loan:2"]
        # One that does not come up where nobody waits for it: it is told of, and the others answer.
        beside(server, 3)
        assert "Golden predictions differ" in server.settled("loan")["loan:3"]
        said = client.post("/models/loan/versions/3/predict", json=ROW)
        assert (said.status_code, "Golden predictions differ" in said.json()["error"]) == (503, True)
        status = client.get("/v1/models/loan").json()["model_version_status"]
        assert [(each["version"], each["state"]) for each in status] == [
            ("3", "LOADING"),
            ("2", "AVAILABLE"),
            ("1", "AVAILABLE"),
        ]
        assert asked(client, "/predict")[0] == "loan:1"
        assert undeploy(tmp_path, "loan:3").servers == 1
        # What is beside takes the traffic: it is there already, so nothing is loaded again.
        loads = server.log.read_text().count("loan:2 answers")
        deploy(tmp_path, "loan:2")
        assert asked(client, "/predict")[0] == "loan:2"
        assert server.log.read_text().count("loan:2 answers") == loads
        deploy(tmp_path, "loan:1", beside=True)
        assert asked(client, "/models/loan/versions/1/predict")[0] == "loan:1"
        assert undeploy(tmp_path, "loan:1").serving == ["loan:2"]
        assert client.post("/models/loan/versions/1/predict", json=ROW).status_code == 404
        assert undeploy(tmp_path, "loan").versions == ["loan:2"]
        assert client.post("/predict", json=ROW).status_code == 503
