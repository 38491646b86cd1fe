"""PMML files that the DMG, R, nyoka and sklearn2pmml wrote answer as two evaluators of others say."""

from __future__ import annotations

from pathlib import Path

import evaluators
import numpy as np
import pytest

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model

FILES = Path(__file__).parent / "files"
ALL = sorted(str(path.relative_to(FILES)) for path in FILES.glob("*/*.pmml"))
_XOR, _CATEGORIES = "dmg/support-vectors-xor.pmml", "dmg/support-vectors-categories.pmml"
NOT = {
    "jpmml": ("dmg/contrasts.pmml", "nyoka/forest-values.pmml", _XOR, _CATEGORIES),
    "pmml4s": ("dmg/contrasts.pmml", "r/nnet.pmml", "sklearn2pmml/stacking.pmml"),
}
"""JPMML finds no contrasts of numbers, no derived field that a tree's own schema does not name, and takes one machine
for two classes to be one against all. PMML4S takes a contrast matrix for none, does not round a float as PMML says, and
wants an attribute that PMML lets be left out."""


def _rows(model, count=40):
    """Rows like those that the model was made for: iris for the ones of scikit-learn, else whole numbers."""
    draw = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        row = {}
        for column in model.signature.inputs:
            if column.type == "category":
                row[column.name] = column.categories[int(draw.integers(len(column.categories)))]
            else:
                low, high = (0.5, 7.5) if column.name.startswith(("sepal", "petal")) else (0, 60)
                row[column.name] = round(float(draw.uniform(low, high)), 1) if low else int(draw.integers(high))
        rows.append(row)
    return rows


def test_there_are_files_of_each_program():
    assert {name.split("/")[0] for name in ALL} == {"dmg", "nyoka", "r", "sklearn2pmml"}


@pytest.mark.parametrize("name", ALL)
def test_a_file_of_another_program_answers_as_two_evaluators_say(name):
    evaluators.needs_java()
    made = draft_of_file(FILES / name, Told())
    verified = any("verifies itself" in note for note in made.notes)
    assert verified is name.startswith("sklearn2pmml/")
    model = Model.load(made.draft.package())
    rows = _rows(model)
    answers = model.answer(model.read.rows(rows))
    for evaluate in (evaluators.jpmml, evaluators.pmml4s):
        if name in NOT[evaluate.__name__]:
            continue
        for place, said in enumerate(evaluate(FILES / name, rows)):
            if answers.values is not None:
                told = next(iter(said.values()))
                assert evaluators.close(answers.values[place], told, 1e-6), (evaluate.__name__, rows[place], said)
            else:
                shares = () if answers.probabilities is None else answers.probabilities[place].tolist()
                label = str(model.signature.labels[answers.labels[place]])
                assert _agreed(model, label, shares, said) > 0, (evaluate.__name__, rows[place], said)


def _agreed(model, answered, shares, said):
    """How many of the things that an evaluator says are the same here; all of them, or it is none."""
    found = 0
    for label, share in zip(model.signature.labels, shares, strict=False):
        for key in (f"probability({label})", f"probability_{label}", f"Probability_{label}"):
            if key in said:
                if not evaluators.close(said[key], share, 1e-6):
                    return 0
                found += 1
    target = model.signature.target
    for key in (target, f"predicted_{target}", f"Predicted_{target}"):
        if key in said:
            if str(said[key]) != answered:
                return 0
            found += 1
    return found


def test_the_contrasts_of_the_standard_are_those_of_its_formula():
    """Neither evaluator reads them right: by hand, after the standard's own text."""
    model = Model.load(draft_of_file(FILES / "dmg/contrasts.pmml", Told()).draft.package())
    row = {"gender": "f", "educ": 12.0, "jobcat": "2", "salbegin": 20000.0}
    female, first, second = 0.5, -0.333333333333, 0.5
    eta = 17.0599111512836 - 2.79578119817189 * female - 0.625739483585618 * 12 - 5.76523337984277 * first
    eta += 17.743574615114 * second + 0.421913613872923 * female * first + 1.1136356754678e-5 * 12 * female * 20000
    np.testing.assert_allclose(model.predict_proba([row])[0, 0], 1 / (1 + np.exp(-eta)), rtol=1e-12)


def test_the_exclusive_or_of_the_standard_is_one():
    model = Model.load(draft_of_file(FILES / _XOR, Told()).draft.package())
    corners = [{"x1": a, "x2": b} for a in (0.0, 1.0) for b in (0.0, 1.0)]
    assert model.predict(corners) == ["no", "yes", "yes", "no"]
