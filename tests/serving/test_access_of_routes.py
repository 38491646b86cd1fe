"""Every route of every protocol refuses whom it does not know, on a real server of two workers."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from dialects import BODIES, post, words
from live import Server, serving, until
from subjects import ROW, double, loan

import mainstay.serving
from mainstay.operations import keys
from mainstay.registry.key_text import new_id, new_text
from mainstay.registry.store import Registry

HEALTH = {"/healthz", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CODE = Path(mainstay.serving.__file__).parent


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("closed")
    with serving(folder, ("loan", loan()), ("double", double()), options=("--workers", "2")) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(server) -> dict[str, str]:
    """Keys by name, once every worker knows them."""
    made = {
        "all": keys.create(server.folder, "all", verbs="predict,read,manage"),
        "loan": keys.create(server.folder, "loan", models="loan", verbs="predict"),
        "slow": keys.create(server.folder, "slow", rate=0.001, burst=3),
        "reader": keys.create(server.folder, "reader", verbs="read"),
    }
    texts = {name: key.key for name, key in made.items()}
    over, seen = time.monotonic() + 30, 0
    while seen < 50 and time.monotonic() < over:  # each on a connection of its own, so that both workers are asked
        seen = seen + 1 if httpx.get(f"{server.url}/v2", headers=bearer(texts["reader"])).status_code == 200 else 0
    assert seen == 50
    return texts


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def status(client: httpx.Client, text: str, path: str) -> int:
    return client.get(path, headers=bearer(text)).status_code


def written() -> set[str]:
    """Every path, and part of one, that stands in the code that answers HTTP."""
    found = set()
    for file in [*CODE.rglob("protocols/**/*.py"), CODE / "app.py", CODE / "pages.py", *CODE.glob("openapi*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(("/", "^/")):
                found.add(node.value)
    return found


def routes(document: dict) -> set[str]:
    """What the description lists, what stands in the code, and what can be made of its parts."""
    parts = {part for part in written() if " " not in part and part.isascii() and part.isprintable()}
    literal = {part for part in parts if not part.startswith("^")}
    found = {path.replace("{name}", "loan") for path in document["paths"]} | literal
    found |= {f"{base}{part}" for part in literal for base in ("/models/loan", "/v1/models/loan", "/v2/models/loan")}
    found |= {f"{part.rstrip('/')}/{name}" for part in literal for name in ("loan", "nothing")}
    found |= {
        f"/v{one}/models/{model}{more}"
        for one in "12"
        for model in ("loan", "nothing")
        for more in ("/versions/1", "/versions/1:predict", "/labels/stable:predict", "/versions/1/infer", ":predict")
    }
    found |= {f"/v2/repository/models/{model}/{verb}" for model in ("loan", "nothing") for verb in ("load", "unload")}
    return found | {"/nothing", "//", "/../", "/%2e%2e/metrics", "/healthz/../metrics", "/page/app.js"}


def test_every_route_refuses_an_unknown_caller(server, keyed) -> None:
    with server.client() as client:
        document = client.get("/openapi.json", headers=bearer(keyed["all"])).json()
        paths = routes(document)
        assert {"/predict", "/models/loan/predict", "/v1/models/loan:predict", "/v2/models/loan/infer"} < paths
        assert {"/models/loan/invocations", "/metrics", "/openapi.json", "/", "/docs", "/models", "/version"} < paths
        assert len(paths) > 100
        for path in sorted(paths):
            for method in METHODS:
                reply = client.request(method, path, content=b"{}" if method == "POST" else None)
                if path.rstrip("/") in HEALTH:
                    assert reply.status_code not in (401, 403), (method, path)
                else:
                    assert reply.status_code == 401, (method, path, reply.status_code)
                    assert reply.headers["www-authenticate"].startswith("Bearer "), (method, path)
            if path.rstrip("/") not in HEALTH:
                for wrong in (bearer(new_text(new_id())), {"x-api-key": "msk_"}, {"authorization": "Bearer x"}):
                    assert client.get(path, headers=wrong).status_code == 401, (path, wrong)


@pytest.mark.parametrize("how", BODIES)
def test_each_protocol_refuses_in_its_own_words(server, keyed, how) -> None:
    with server.client() as client:
        unknown = post(client, how, "loan", [ROW])
        assert unknown.status_code == 401 and "API key" in words(unknown)
        client.headers = bearer(keyed["reader"])
        reader = post(client, how, "loan", [ROW])
        assert reader.status_code == 403 and "may read, not predict" in words(reader)
        client.headers = bearer(keyed["loan"])
        assert post(client, how, "loan", [ROW]).status_code == 200
        other = post(client, how, "double", [{"x": 1.0}])
        assert (other.status_code, post(client, how, "nothing", [{"x": 1.0}]).status_code) == (403, 403)
        assert "'loan' is not for model 'double'" in words(other)


def test_the_error_of_each_protocol_has_its_shape(server, keyed) -> None:
    with server.client() as client:
        refused = {path: client.post(path, content=b"{}").json() for path in ("/v1/models/loan:predict", "/v2/x")}
        assert all(set(said) == {"error"} for said in refused.values())
        assert client.post("/invocations").json()["error_code"] == "UNAUTHENTICATED"


def test_managing_takes_a_key_that_may(server, keyed) -> None:
    with server.client() as client:
        path = "/v2/repository/models/loan/load"
        assert client.post(path).status_code == 401
        for name in ("loan", "reader"):
            assert client.post(path, headers=bearer(keyed[name])).status_code == 403
        assert client.post(path, headers=bearer(keyed["all"])).status_code not in (401, 403)


def test_a_person_at_a_browser_is_asked_for_a_key(server, keyed) -> None:
    with server.client() as client:
        asked = client.get("/", headers={"accept": "text/html,*/*"})
        challenges = asked.headers.get_list("www-authenticate")
        assert asked.status_code == 401 and any(each.startswith("Basic ") for each in challenges)
        assert client.get("/").headers.get_list("www-authenticate") == ['Bearer realm="mainstay"']
        client.auth = ("anybody", keyed["all"])
        for path in ("/", "/docs", "/page/app.js", "/openapi.json", "/models"):
            assert client.get(path).status_code == 200, path


def test_the_description_says_that_a_key_is_needed(server, keyed) -> None:
    with server.client() as client:
        document = client.get("/openapi.json", headers=bearer(keyed["all"])).json()
    assert document["security"] == [{"bearer": []}, {"header": []}]
    assert {path for path, said in document["paths"].items() if said.get("get", {}).get("security") == []} == (
        HEALTH & document["paths"].keys()
    )
    assert all(
        {"401", "403"} <= said["post"]["responses"].keys() for said in document["paths"].values() if "post" in said
    )


def test_a_key_that_asks_too_often_is_told_when_to_ask_again(server, keyed) -> None:
    """Over connections of their own, so that both workers count."""
    headers = bearer(keyed["slow"])
    replies = [httpx.get(f"{server.url}/models/loan", headers=headers) for _ in range(6)]
    assert [reply.status_code for reply in replies] == [200] * 3 + [429] * 3
    assert int(replies[-1].headers["retry-after"]) > 100


def test_a_long_body_is_refused_and_the_connection_goes_on_or_ends_in_order(server, keyed) -> None:
    with server.client() as client:
        for _ in range(5):
            reply = client.post("/models/loan/predict", content=b"x" * 5_000_000)
            assert reply.status_code == 401


def test_revoking_reaches_every_worker_within_a_second(server, keyed) -> None:
    key = keys.create(server.folder, "leaver").key
    with server.client() as client:
        until(lambda: status(client, key, "/v2") == 200)
        keys.revoke(server.folder, "leaver", reason="left")
        until(lambda: status(client, key, "/v2") == 401, within=5)


def test_no_secret_stands_in_a_log_an_event_or_a_file(server, keyed) -> None:
    with Registry.open(server.folder / ".mainstay") as registry:
        events = json.dumps([event.evidence for event in registry.events(limit=1000)])
    written_down = [path.read_bytes() for path in server.folder.rglob("*") if path.is_file()]
    for text in keyed.values():
        secret = text[17:]
        assert secret not in events
        assert not any(secret.encode() in data for data in written_down)
    assert not any("msk_" in word for worker in server.workers() for word in worker.cmdline())
