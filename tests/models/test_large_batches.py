"""A large table is answered part by part, so that what a model needs on the way does not grow with it."""

from __future__ import annotations

import numpy as np
import pytest

from mainstay.models.answers import Answers
from mainstay.models.package import GOLDEN, SIGNATURE, SPEC, Draft, ModelSpec, encoded
from mainstay.models.runtime import AT_ONCE, Model
from mainstay.models.signature import Cells, Column, Signature


class Doubling:
    """A runner that remembers how many rows it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def run(self, cells: Cells, features: object) -> Answers:
        self.asked.append(len(cells))
        return Answers(probabilities=np.stack([1 - cells.numbers[:, 0], cells.numbers[:, 0]], axis=1))


@pytest.mark.parametrize("rows", [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
def test_no_more_rows_than_stated_are_asked_for_at_once_and_all_are_answered(rows):
    signature = Signature(inputs=(Column(name="x", type="number"),), task="binary", labels=("no", "yes"))
    content = {SIGNATURE: signature, SPEC: ModelSpec(format="onnx", file="m"), GOLDEN: {"rows": []}}
    package = Draft({name: encoded(document) for name, document in content.items()}).package()
    runner = Doubling()
    numbers = np.linspace(0, 1, rows).reshape(-1, 1)
    answers = Model(package, runner).answer(Cells(numbers, {}))
    assert max(runner.asked) <= AT_ONCE
    assert sum(runner.asked) == rows
    np.testing.assert_array_equal(answers.probabilities[:, 1], numbers[:, 0])
    np.testing.assert_array_equal(answers.labels, (numbers[:, 0] > 0.5).astype(int))


def test_parts_of_every_kind_are_joined():
    parts = [
        Answers(values=np.ones(2), outputs={"a": np.zeros((2, 3))}),
        Answers(values=np.zeros(1), outputs={"a": np.ones((1, 3))}),
    ]
    whole = Answers.joined(parts)
    assert whole.values.tolist() == [1.0, 1.0, 0.0]
    assert whole.outputs["a"].shape == (3, 3)
    assert whole.probabilities is None
