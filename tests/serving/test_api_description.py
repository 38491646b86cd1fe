"""The OpenAPI document says what the server does: no more, no less."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from live import serving
from serving_models import line, mixed
from subjects import double, loan

from examples import examples


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """One worker that serves models of every column type and of both kinds of answers."""
    folder = tmp_path_factory.mktemp("everything")
    with serving(folder, ("loan", loan()), ("double", double()), ("mixed", mixed()), ("line", line())) as running:
        yield running


OTHER_PROTOCOLS = "^/v[12]|/invocations$"
"""They read rows by the same signatures: one model's description is enough to hold them to."""


def fuzzed(url: str, *options: str) -> None:
    """Sends data that fits the description and data that does not, the same in each run; each finding fails."""
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    command += [
        f"{url}/openapi.json",
        "--mode",
        "all",
        "--max-examples",
        str(examples(40)),
        "--checks",
        "all",
        "--no-color",
    ]
    command += ["--generation-deterministic", "--phases", "examples,coverage,fuzzing", "--workers", "1", *options]
    hooks = {"SCHEMATHESIS_HOOKS": "api_hooks", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **hooks})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.sweep
def test_no_request_finds_the_description_wrong(everything):
    fuzzed(everything.url, "--exclude-path-regex", OTHER_PROTOCOLS)


@pytest.mark.sweep
def test_the_same_with_one_model_whose_name_may_be_left_out(server):
    # What manages is refused before anything else is looked at, whatever the method.
    fuzzed(server.url, "--exclude-path-regex", "^/v2/repository/models/")


def test_the_document_follows_what_is_deployed(server, everything):
    with server.client() as client:
        assert {"/predict", "/models/loan/predict"} <= client.get("/openapi.json").json()["paths"].keys()
    with everything.client() as client:
        document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/predict" not in document["paths"]
    assert {"/models/mixed/predict", "/models/line/predict"} <= document["paths"].keys()
