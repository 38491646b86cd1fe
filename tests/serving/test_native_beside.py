"""A native version beside another answers from a host process of its own, whose end is no other version's."""

from __future__ import annotations

import pytest
from live import serving, until
from subjects import ROW, loan, native

from mainstay.operations.deploying import DidNotComeUp, deploy
from mainstay.operations.undeploying import undeploy

ASKED = {"a": 1.0, "b": 2.0}


def test_a_host_of_a_version_beside_costs_that_version_alone(tmp_path):
    with serving(tmp_path, ("native", native()), ("loan", loan())) as server, server.client() as client:
        # One that cannot be brought up at all: the operator does not trust what is in it.
        server.add("native", native(boosted=True), deploy=False)
        with pytest.raises(DidNotComeUp, match="not trusted"):
            deploy(tmp_path, "native:2", beside=True)
        assert client.post("/models/native/predict", json=ASKED).json()["model"] == "native:1"
        # A version in a worker takes the traffic, and the native one is beside it.
        server.add("native", loan(), deploy=False)
        deploy(tmp_path, "native:3")
        deploy(tmp_path, "native:1", beside=True)
        path = "/models/native/versions/1/predict"
        until(lambda: client.post(path, json=ASKED).status_code == 200)
        until(lambda: len(server.children("mainstay.serving.host")) == 1)
        (host,) = server.children("mainstay.serving.host")
        host.suspend()
        host.kill()
        host.wait(10)
        assert client.post(path, json=ASKED).status_code == 503
        assert client.post("/models/native/predict", json=ROW).json()["model"] == "native:3"
        assert client.post("/models/loan/predict", json=ROW).status_code == 200
        until(lambda: client.post(path, json=ASKED).status_code == 200)
        # Taken away, its process ends.
        undeploy(tmp_path, "native:1")
        until(lambda: not server.children("mainstay.serving.host"))
