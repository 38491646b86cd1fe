"""General regressions, naive Bayes, networks, support vectors and segmentations answer as two evaluators of others."""

from __future__ import annotations

import itertools

import evaluators
import pmml_models as written
import pytest

from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError

XS = [None, -3.0, -0.5, 0.05, 0.9, 1.0, 4.0]
ZS = [None, -1.0, 0.3, 0.5, 2.0]
NOT_PMML4S = ("general linear, contrasts", "ordinal loglog", "max")
"""It takes a contrast matrix for none, has exp(-exp(x)) for the inverse of an ordinal log-log, where PMML (and itself,
elsewhere) has exp(-exp(-x)), and averages over all models with the winner, not those that give it the most."""
ROWS = [{"x": x, "z": z, "c": c} for x, z, c in itertools.product(XS, ZS, [None, "red", "green", "deep blue"])]


def _model(text, tmp_path):
    path = tmp_path / "model.pmml"
    path.write_text(text)
    return path, Model.load(draft_of_file(path, Told()).draft.package())


def _answered(model, rows):
    rows = [dict(each) for each in {tuple((name, row[name]) for name in model.signature.names) for row in rows}]
    rows.sort(key=str)
    taken = []
    for row in rows:
        try:
            model.read.rows([row])
        except InputError:
            continue
        taken.append(row)
    assert len(taken) > len(rows) / 3
    return taken, model.answer(model.read.rows(taken))


def _evaluators(name):
    return (evaluators.jpmml,) if name in NOT_PMML4S else (evaluators.jpmml, evaluators.pmml4s)


@pytest.mark.parametrize("name", written.REGRESSIONS)
def test_values_are_those_of_two_evaluators(name, tmp_path):
    evaluators.needs_java()
    path, model = _model(written.REGRESSIONS[name], tmp_path)
    rows, answers = _answered(model, ROWS)
    for evaluate in _evaluators(name):
        for row, found, said in zip(rows, answers.values, evaluate(path, rows), strict=True):
            told = next(said[key] for key in ("value", "predicted_value", "predicted", None) if key in said)
            assert evaluators.close(found, told), (evaluate.__name__, row, found, said)


@pytest.mark.parametrize("name", written.CLASSIFIERS)
def test_classes_are_those_of_two_evaluators(name, tmp_path):
    evaluators.needs_java()
    path, model = _model(written.CLASSIFIERS[name], tmp_path)
    rows, answers = _answered(model, ROWS)
    labels = model.signature.labels
    for evaluate in _evaluators(name):
        for row, share, said in zip(rows, answers.probabilities, evaluate(path, rows), strict=True):
            for place, label in enumerate(labels):
                assert evaluators.close(share[place], said[f"p({label})"]), (evaluate.__name__, row, share, said)
    told = [said["class"] for said in evaluators.jpmml(path, rows)]
    assert [labels[i] for i in answers.labels] == told


@pytest.mark.parametrize("name", written.LABELS)
def test_labels_are_those_of_two_evaluators(name, tmp_path):
    evaluators.needs_java()
    path, model = _model(written.LABELS[name], tmp_path)
    rows, answers = _answered(model, ROWS)
    found = [model.signature.labels[i] for i in answers.labels]
    assert len(set(found)) > 1
    one, other = (
        [said.get("class", said.get("predicted_class")) for said in evaluate(path, rows)]
        for evaluate in (evaluators.jpmml, evaluators.pmml4s)
    )
    for row, mine, *told in zip(rows, found, one, other, strict=True):
        # Where all have one vote, the two differ from each other; PMML says that it is the first.
        assert told == [mine, mine] or (told[0] != told[1] and mine == "low"), row
