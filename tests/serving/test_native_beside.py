"""A native version beside another answers from a host process of its own, whose end is no other version's."""

from __future__ import annotations

import pytest
from live import serving, until
from subjects import ROW, loan, native

from mainstay.operations.deploying import DidNotComeUp, deploy
from mainstay.operations.undeploying import undeploy

ASKED = {"a": 1.0, "b": 2.0}
HOST = "mainstay.serving.host"


def test_a_host_of_a_version_beside_costs_that_version_alone(tmp_path):
    with serving(tmp_path, ("loan", loan())) as server, server.client() as client:
        for untrusted in (True, False):
            server.add("loan", native(boosted=untrusted), deploy=False)
        with pytest.raises(DidNotComeUp, match="not trusted"):  # it cannot be brought up at all
            deploy(tmp_path, "loan:2", beside=True)
        deploy(tmp_path, "loan:3", beside=True)
        path = "/models/loan/versions/3/predict"
        assert client.post(path, json=ASKED).json()["model"] == "loan:3"
        until(lambda: len(server.children(HOST)) == 1)
        (host,) = server.children(HOST)
        host.suspend()
        host.kill()
        host.wait(10)
        assert client.post(path, json=ASKED).status_code == 503
        assert client.post("/predict", json=ROW).json()["model"] == "loan:1"
        until(lambda: client.post(path, json=ASKED).status_code == 200)
        undeploy(tmp_path, "loan:3")
        until(lambda: not server.children(HOST))  # its process ends with it
        assert client.post("/predict", json=ROW).json()["model"] == "loan:1"
