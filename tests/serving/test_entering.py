"""When a worker that was just started leaves the callers to the others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mainstay.serving.entering import left_to_others, lives
from mainstay.serving.routing import Acknowledgement

WHY = "'model.onnx' was changed"


def said(pid: int, **serving: str) -> Acknowledgement:
    return Acknowledgement(worker=pid, pid=pid, generation=1, serving=serving)


@pytest.mark.parametrize(
    "errors, serving, others, left",
    [
        ({}, ["loan"], [said(2, loan="loan:1")], []),
        ({"loan": WHY}, [], [said(2, loan="loan:1")], ["loan"]),
        ({"loan": WHY}, [], [said(2, double="double:1")], []),
        ({"loan": WHY}, [], [said(2)], []),
        ({"loan": WHY}, [], [said(3, loan="loan:1")], []),
        ({"loan": WHY}, [], [said(1, loan="loan:1")], []),
        ({"loan": WHY}, ["loan"], [said(2, loan="loan:1")], []),
        ({"loan": WHY, "double": WHY}, [], [said(2, loan="loan:1", double="double:1")], ["double", "loan"]),
    ],
    ids=["whole", "another has it", "of another model", "nobody has it", "dead", "own", "the one before", "two"],
)
def test_callers_are_left_to_who_lives_and_has_what_is_lacking(errors, serving, others, left):
    assert left_to_others(errors, serving, others, own=1, lives=lambda pid: pid == 2) == left


def test_a_process_that_was_waited_for_does_not_live():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert lives(os.getpid()) and not lives(child.pid)
