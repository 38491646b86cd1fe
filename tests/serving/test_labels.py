"""Outcomes sent to real servers, and what is counted of them."""

from __future__ import annotations

import pytest
from live import serving, until
from steering import rolling_out
from subjects import ROW, loan

from mainstay.operations import keys
from mainstay.operations.labels import send_labels
from mainstay.registry.plans import Plan


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Two workers that serve loan:1, so that labels come to others than have answered; loan:2 is a candidate."""
    folder = tmp_path_factory.mktemp("labels")
    with serving(folder, ("loan", loan()), options=("--workers", "2")) as running:
        running.add("loan", loan(shift=1.0), deploy=False)
        yield running


def answered(client, times: int) -> list[tuple[str, str, str]]:
    """Id, model and label of so many requests."""
    said = [client.post("/predict", json=ROW).json() for _ in range(times)]
    return [(each["id"], each["model"], each["prediction"]) for each in said]


def test_labels_are_joined_with_what_either_version_answered_and_counted_once(server, tmp_path):
    with rolling_out(server, "loan", 2) as rollout, server.client() as client:
        rollout.open(5000)
        said = answered(client, 40)
        other = next(label for label in ("good", "bad") if label != said[0][2])
        # Of the candidate's answers every second one was wrong, of the stable version's none.
        by = {name: [one for one in said if one[1] == name] for name in ("loan:1", "loan:2")}
        assert min(map(len, by.values())) > 5
        labels = [{"id": identity, "value": label} for identity, _, label in by["loan:1"]]
        labels += [
            {"id": identity, "row": 0, "value": other if at % 2 else label}
            for at, (identity, _, label) in enumerate(by["loan:2"])
        ]
        first = client.post("/labels", json=labels[-1])
        assert (first.status_code, first.json()) == (
            200,
            {"counted": 1, "repeated": 0, "same_request": 0, "unknown": []},
        )
        nobody = {"id": "nobody", "row": 3, "value": "good"}
        rest = client.post("/models/loan/labels", json={"labels": [*labels, nobody]}).json()
        # Where the machine has much to do, the stable version answers for a candidate that is late; nothing is kept.
        late = [each["id"] for each in rest["unknown"] if each != {"id": "nobody", "row": 3}]
        assert set(late) <= {identity for identity, _, _ in by["loan:1"]} and len(late) < 10
        assert (rest["counted"], rest["repeated"], len(rest["unknown"])) == (39 - len(late), 1, 1 + len(late))

        def counted():
            seen = rollout.seen()
            return seen if seen.stable.labelled + seen.candidate.labelled == 40 - len(late) else None

        seen = until(counted)
        assert (seen.stable.labelled, seen.stable.wrong) == (len(by["loan:1"]) - len(late), 0)
        assert (seen.candidate.labelled, seen.candidate.wrong) == (len(by["loan:2"]), len(by["loan:2"]) // 2)
        assert client.post("/labels", json=labels[-2]).json()["repeated"] == 1

        file = tmp_path / "outcomes.csv"
        more = [one for one in answered(client, 20) if one[1] == "loan:2"]
        file.write_text("\n".join(["id,value", *(f"{identity},{label}" for identity, _, label in more)]))
        sent = send_labels(file, url=server.url)
        assert more and (sent.counted, sent.repeated, sent.unknown) == (len(more), 0, [])
        assert send_labels(file, url=server.url, model="loan").repeated == len(more)


def test_labels_that_a_killed_agent_had_acknowledged_are_counted_once(tmp_path):
    with serving(tmp_path, ("loan", loan())) as killed:
        killed.add("loan", loan(shift=1.0), deploy=False)
        with rolling_out(killed, "loan", 2) as rollout:
            rollout.open(5000)
            with killed.client() as client:
                labels = [{"id": identity, "value": label} for identity, _, label in answered(client, 20)]
                counted = client.post("/labels", json={"labels": labels}).json()["counted"]
                assert counted > 10  # of a candidate that was late on a busy machine, nothing was kept
            killed.process.kill()  # before what it saw in this second was told
            killed.process.wait()

            def labelled():
                seen = rollout.seen()
                return seen.stable.labelled + seen.candidate.labelled

            with serving(tmp_path) as following, following.client() as client:
                until(lambda: labelled() == counted)
                until(lambda: client.get("/readyz").status_code == 200)
                other = [(identity, label) for identity, _, label in answered(client, 1)]
                labels += [{"id": identity, "value": label} for identity, label in other]
                said = client.post("/labels", json={"labels": labels}).json()
                assert said["repeated"] == counted
                until(lambda: labelled() == counted + said["counted"])


def test_of_a_shadow_one_label_judges_both_versions(server):
    plan = Plan(strategy="shadow")
    with rolling_out(server, "loan", 2, plan) as rollout, server.client() as client:
        rollout.open(10_000, mode="shadow")
        rows = client.post("/predict", json=[ROW, ROW], headers={"x-request-id": "order-17"}).json()
        until(lambda: rollout.seen().candidate.requests)
        labels = [{"id": "order-17", "row": row, "value": rows["prediction"][row]} for row in (0, 1)]
        assert client.post("/labels", json={"labels": labels}).json() == {
            "counted": 1,
            "repeated": 0,
            "same_request": 1,
            "unknown": [],
        }
        seen = until(lambda: seen if (seen := rollout.seen()).candidate.labelled else None)
        assert (seen.stable.labelled, seen.candidate.labelled, seen.stable.wrong, seen.candidate.wrong) == (1, 1, 0, 0)


def test_labels_that_cannot_be_counted_are_refused_in_words(server):
    with server.client() as client:
        label = {"id": "a", "value": "good"}
        idle = client.post("/labels", json=label)
        assert idle.status_code == 409 and "No rollout of loan runs" in idle.json()["error"]
        assert client.get("/labels").status_code == 405
        missing = client.post("/models/lone/labels", json=label)
        assert missing.status_code == 404 and "loan" in missing.json()["error"]
        assert client.post("/labels", json={"id": "a"}).status_code == 400
        assert client.post("/labels", content=b"a,good", headers={"content-type": "text/csv"}).status_code == 415
        with rolling_out(server, "loan", 2):
            wrong = client.post("/labels", json={"labels": [label, {"id": "b", "value": 1}]})
            assert wrong.status_code == 400 and "1 is no label of this model" in wrong.json()["error"]


def test_labels_take_a_key_with_a_verb_of_their_own(server):
    texts = {
        name: keys.create(server.folder, name, verbs=verbs, models="loan").key
        for name, verbs in (("asks", "predict,read,manage"), ("tells", "label"))
    }
    with server.client() as client:

        def status(name, path="/labels"):
            headers = {"x-api-key": texts[name]} if name else {}
            return client.post(path, json={"id": "a", "value": "good"}, headers=headers).status_code

        until(lambda: all(status(None) == 401 for _ in range(10)) and status("tells") == 409)
        assert status("asks") == status("asks", "/models/loan/labels") == 403
        assert status("tells", "/models/loan/labels") == 409
        assert status("tells", "/models/other/labels") == 403
        assert status("tells", "/predict") == 403
