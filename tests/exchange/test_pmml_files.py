"""PMML files answer as two evaluators of others say, on thresholds, beside them, and with missing values."""

from __future__ import annotations

import itertools

import evaluators
import numpy as np
import pmml_documents as written
import pytest

from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError


def _near(value, kind=np.float64):
    value = kind(value)
    return [float(value), float(np.nextafter(value, kind(-np.inf))), float(np.nextafter(value, kind(np.inf)))]


XS = [None, -3.0, -0.5, 0.05, *_near(0.1), 0.9, 1.0, 4.0]
ZS = [None, -1.0, *_near(0.3, np.float32), 2.0]
SINGLE = ZS[2:5]
"""PMML4S compares a float with a double, and not with the float that PMML says it is; and it divides weighted votes by
their number. JPMML is right in both."""
GAP = (1.0, 4.0)
"""In no bin of `Discretize`: PMML4S gives what is for a missing value, and not the default that PMML asks for."""
ROWS = [{"x": x, "z": z, "c": c} for x, z, c in itertools.product(XS, ZS, [None, "red", "green", "deep blue"])]


def _file(text, tmp_path):
    path = tmp_path / "model.pmml"
    path.write_text(text)
    return path


def _answered(model, rows):
    """Which rows the model takes, and its answers for those."""
    taken = []
    for row in rows:
        try:
            model.read.rows([row])
        except InputError:
            continue
        taken.append(row)
    return taken, model.answer(model.read.rows(taken))


@pytest.mark.parametrize("name", written.REGRESSIONS)
def test_values_are_those_of_two_evaluators(name, tmp_path):
    evaluators.needs_java()
    path = _file(written.REGRESSIONS[name], tmp_path)
    model = Model.load(draft_of_file(path, Told()).draft.package())
    rows, answers = _answered(model, ROWS)
    assert len(rows) > len(ROWS) / 3
    for evaluate in (evaluators.jpmml, evaluators.pmml4s):
        for row, found, said in zip(rows, answers.values, evaluate(path, rows), strict=True):
            if evaluate is evaluators.pmml4s and (
                row["z"] in SINGLE or (name == "transformations" and row["x"] in GAP)
            ):
                continue
            told = said.get("value", said.get("predicted_value"))
            assert evaluators.close(found, told), (evaluate.__name__, row, found, said)


@pytest.mark.parametrize("name", written.CLASSIFIERS)
def test_classes_are_those_of_two_evaluators(name, tmp_path):
    evaluators.needs_java()
    path = _file(written.CLASSIFIERS[name], tmp_path)
    model = Model.load(draft_of_file(path, Told()).draft.package())
    assert model.signature.labels == ("no", "yes")
    rows, answers = _answered(model, ROWS)
    assert len(rows) > len(ROWS) / 3
    for evaluate in (evaluators.jpmml, evaluators.pmml4s):
        for row, share, said in zip(rows, answers.probabilities, evaluate(path, rows), strict=True):
            if evaluate is evaluators.pmml4s and (name == "weighted vote" or row["z"] in SINGLE):
                continue
            for place, label in enumerate(("no", "yes")):
                assert evaluators.close(share[place], said[f"p({label})"]), (evaluate.__name__, row, share, said)
        if evaluate is evaluators.jpmml:
            told = [said["class"] for said in evaluate(path, rows)]
            assert [model.signature.labels[i] for i in answers.labels] == told


def test_rows_that_a_tree_has_no_answer_for_are_refused_by_name(tmp_path):
    path = _file(written.REGRESSIONS["tree, null prediction"], tmp_path)
    made = draft_of_file(path, Told())
    model = Model.load(made.draft.package())
    with pytest.raises(InputError, match="'x'"):
        model.read.rows([{"x": None, "z": 1.0, "c": "red"}])
    assert any("It refuses rows" in note for note in made.notes)


def test_a_value_that_the_dictionary_does_not_list_is_refused_as_pmml_says(tmp_path):
    model = Model.load(draft_of_file(_file(written.REGRESSIONS["regression"], tmp_path), Told()).draft.package())
    with pytest.raises(InputError, match="'grey'"):
        model.read.rows([{"x": 1.0, "z": 1.0, "c": "grey"}])


_TREE = written.tree('missingValueStrategy="defaultChild"')
_HOLE = _TREE.replace('operator="greaterThan" value="0.1"', 'operator="greaterThan" value="0.2"')
REFUSED = {
    "entity": ('<!DOCTYPE PMML [<!ENTITY a "b">]><PMML xmlns="http://www.dmg.org/PMML-4_4"/>', "document type"),
    "outside": (
        '<!DOCTYPE PMML SYSTEM "file:///etc/passwd"><PMML xmlns="http://www.dmg.org/PMML-4_4"/>',
        "document type",
    ),
    "deep": ('<PMML xmlns="http://www.dmg.org/PMML-4_4">' + "<a>" * 1000, "deep"),
    "broken": ('<PMML xmlns="http://www.dmg.org/PMML-4_4"><Header>', "well formed"),
    "old": ('<PMML xmlns="http://www.dmg.org/PMML-3_2"/>', "PMML 4"),
    "kind": (
        written.document(
            f'<RuleSetModel functionName="regression">{written.SCHEMA.format(target="value")}</RuleSetModel>'
        ),
        "RuleSetModel",
    ),
    "clusters": (
        written.document(
            f'<ClusteringModel functionName="clustering">{written.SCHEMA.format(target="value")}</ClusteringModel>'
        ),
        "clustering",
    ),
    "hole": (written.document(_HOLE.replace('defaultChild="3"', "")), "no child is true"),
    "method": (written.document(written.mining("selectAll")), "selectAll"),
    "link": (written.document(written.regression("tanh")), "tanh"),
    "field": (written.document(written.regression(), fields=written.FIELDS.replace('"x"', '"y"')), "'x'"),
    "date": (
        written.document(
            written.regression(), fields=written.FIELDS.replace('dataType="double"/>', 'dataType="date"/>', 1)
        ),
        "date",
    ),
    "number": (written.document(written.regression().replace("1.25", "one")), "'one'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(name, tmp_path):
    text, said = REFUSED[name]
    with pytest.raises(CannotImport, match=said) as caught:
        draft_of_file(_file(text, tmp_path), Told())
    assert "\n" not in str(caught.value)
