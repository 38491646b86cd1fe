"""KServe's clients, as they come from its package, against a live server.

It asks for an older pandas than the lock has, so that it is in no environment of ours: MAINSTAY_TEST_KSERVE names the
Python of one that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from live import serving
from subjects import ROW, loan

PYTHON = os.environ.get("MAINSTAY_TEST_KSERVE")


@pytest.mark.skipif(PYTHON is None, reason="MAINSTAY_TEST_KSERVE names no Python that has kserve")
def test_kserves_clients_get_the_plain_answers(tmp_path):
    with serving(tmp_path, ("loan", loan()), options=("--grpc-port", "0")) as server, server.client() as client:
        shares = client.post("/predict", json=ROW).json()["probabilities"]
        command = [str(PYTHON), str(Path(__file__).with_name("kserve_asks.py")), server.url, server.grpc]
        done = subprocess.run(command, input=json.dumps(ROW).encode(), stdout=subprocess.PIPE, check=True, timeout=120)
        found = json.loads(done.stdout)
    assert found.keys() == {"rest raw", "rest typed", "grpc raw", "grpc typed"}
    for how, said in found.items():
        assert said["ready"] == [True, True, True, False], how
        assert said["id"] == "k-1", how
        np.testing.assert_allclose(said["probabilities"], [[shares["bad"], shares["good"]]] * 3, atol=1e-12)
