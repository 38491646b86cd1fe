"""What the allocator keeps, and what a long answer is."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mainstay.models.answers import Answers
from mainstay.serving.plane import LONG_ANSWER, MANY_ROWS, takes_long

FAULTS = """
import resource, sys
from mainstay.serving.memory import keep_pages
if sys.argv[1] == "keep":
    keep_pages()
for turn in range(40):
    if turn == 20:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bodies = [b"x" * (300_000 + at) for at in range(4)]
    del bodies
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, **variables: str) -> int:
    """Pages taken from the system for 80 bodies of 300 kB, after as many others."""
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, check=True, text=True, env=variables).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="another allocator")
def test_pages_of_bodies_are_kept_for_the_next_unless_the_operator_says_otherwise():
    assert faults("keep") < 200
    own = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "100000"}
    assert faults("keep", **own) > 2_000


def test_an_answer_is_long_by_its_rows_and_by_its_values():
    row = Answers(labels=np.zeros(1, dtype=np.int64), probabilities=np.zeros((1, 2)))
    assert row.size == 3
    assert not takes_long(row, 1)
    assert takes_long(Answers(values=np.zeros(MANY_ROWS + 1)), MANY_ROWS + 1)
    picture = Answers(outputs={"mask": np.zeros((1, LONG_ANSWER + 1)), "score": np.zeros((1, 1))})
    assert takes_long(picture, 1)
