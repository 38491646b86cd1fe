"""Types of documents are worked out before there are threads: msgspec does it in sight of all of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMON = """
import sys, tempfile
from pathlib import Path
import msgspec
import mainstay.serving.worker, mainstay.serving.agent, mainstay.operations.backing
from mainstay.models.encoder import Encoder
from mainstay.models.golden import Golden
from mainstay.models.package import ModelSpec
from mainstay.models.signature import Signature
from mainstay.serving.protocols.codec import Wish
from mainstay.serving.protocols.open_inference.inference import Request
from mainstay.serving.routing import Acknowledgement, Table
from mainstay.serving.agent import Agent, Backing
from mainstay.serving.follower import Follower
from mainstay.serving.launch import Allowed
from types import SimpleNamespace as Some

def worked_out(kind):
    "Whether nothing is left to be worked out: msgspec asks Python for a type's annotations where there is."
    called = []
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_name) if event == "call" else None)
    try:
        msgspec.json.Decoder(kind)
    finally:
        sys.setprofile(None)
    return "get_class_annotations" not in called

class New(msgspec.Struct):
    name: str

assert not worked_out(New) and worked_out(New)
run = Path(tempfile.mkdtemp())
"""
OF_A_WORKER = "Follower(run, worker=0, log=print); kinds = Encoder, Golden, ModelSpec, Signature, Request, Table"
OF_THE_SUPERVISOR = """
nothing = Allowed(environments=run)
given = Backing(registry=Some(blobs=None, keys=None), allowed=lambda: nothing)
Agent(given, run, run / "cache", url="", human=False, timeout=9, log=print)
kinds = Encoder, Golden, ModelSpec, Signature, Acknowledgement, Table, Wish
"""


@pytest.mark.parametrize("made", [OF_A_WORKER, OF_THE_SUPERVISOR])
def test_nothing_is_left_to_be_worked_out_by_threads(made):
    code = COMMON + made + "\nassert all(map(worked_out, kinds)), [kind for kind in kinds if not worked_out(kind)]\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
