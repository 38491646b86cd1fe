# ruff: noqa: E501 - the lines of a file are its own
"""What a PMML file cannot be asked for is refused by name; a hostile one can do nothing but be refused."""

from __future__ import annotations

import time

import numpy as np
import pmml_documents as basic
import pmml_models as written
import pytest
from pmml_models import TWO_FIELDS

from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError


def _draft(text, tmp_path):
    path = tmp_path / "model.pmml"
    path.write_text(text)
    return draft_of_file(path, Told())


def _derived(*expressions):
    fields = "".join(
        f'<DerivedField name="d{i}" optype="continuous" dataType="double">{each}</DerivedField>'
        for i, each in enumerate(expressions)
    )
    body = f"""<RegressionModel functionName="regression">{basic.SCHEMA.format(target="value")}
<RegressionTable intercept="0"><NumericPredictor name="d0" coefficient="1"/></RegressionTable></RegressionModel>"""
    return basic.document(
        body, transformations=f"<TransformationDictionary>{fields}</TransformationDictionary>", fields=TWO_FIELDS
    )


def _plus(*names):
    return f'<Apply function="+">{"".join(f"<FieldRef field={name!r}/>" for name in names)}</Apply>'


def _defined(count):
    """Functions that each call the one before them twice."""
    functions = "".join(
        f'<DefineFunction name="f{i}" optype="continuous" dataType="double"><ParameterField name="a"/>'
        f'<Apply function="+"><Apply function="f{i - 1}"><FieldRef field="a"/></Apply>'
        f'<Apply function="f{i - 1}"><FieldRef field="a"/></Apply></Apply></DefineFunction>'
        for i in range(1, count)
    )
    first = (
        '<DefineFunction name="f0" optype="continuous" dataType="double"><ParameterField name="a"/>'
        '<Apply function="exp"><FieldRef field="a"/></Apply></DefineFunction>'
    )
    text = _derived(f'<Apply function="f{count - 1}"><FieldRef field="x"/></Apply>')
    return text.replace("<TransformationDictionary>", f"<TransformationDictionary>{first}{functions}")


def _vectors(text, new):
    return written.REGRESSIONS["vectors radial basis"].replace(text, new)


def _network(text, new):
    return written.REGRESSIONS["network tanh"].replace(text, new)


def _general(text, new):
    return written.REGRESSIONS["regression"].replace(text, new)


REFUSED = {
    "hazard": (_general('modelType="regression"', 'modelType="CoxRegression"'), "CoxRegression"),
    "kind of a general regression": (_general('modelType="regression"', 'modelType="ridge"'), "'ridge'"),
    "offset": (_general('modelType="regression"', 'modelType="regression" offsetVariable="z"'), "offset"),
    "parameter": (_general('<PCell parameterName="p1"', '<PCell parameterName="q"'), "'q'"),
    "predictor": (_general('predictorName="z"', 'predictorName="w"'), "'w'"),
    "not a number": (_general('beta="0.3"', 'beta="NaN"'), "'NaN'"),
    "without end": (_general('beta="0.3"', 'beta="1e999"'), "finite"),
    "grouped digits": (_general('beta="0.3"', 'beta="1_0"'), "'1_0'"),
    "link": (written.REGRESSIONS["link log"].replace('"log"', '"tanh"'), "'tanh'"),
    "link without its number": (written.REGRESSIONS["link power"].replace('linkParameter="3"', ""), "linkParameter"),
    "ordinal cut": (
        written.CLASSIFIERS["ordinal logit"].replace('targetCategory="mid"', 'targetCategory="high"'),
        "'mid'",
    ),
    "no reference": (
        written.CLASSIFIERS["event"].replace('targetReferenceCategory="no"', "").replace(' targetCategory="yes"', ""),
        "targetReferenceCategory",
    ),
    "impossible": (
        written.CLASSIFIERS["bayes"].replace('threshold="0.001"', 'threshold="0"').replace('"7"', '"0"'),
        "threshold",
    ),
    "count": (written.CLASSIFIERS["bayes"].replace('count="12"', 'count="-1"'), "below zero"),
    "density": (
        written.CLASSIFIERS["bayes"].replace(
            '<GaussianDistribution mean="0.2" variance="0.8"/>', '<PoissonDistribution mean="2"/>'
        ),
        "PoissonDistribution",
    ),
    "variance": (written.CLASSIFIERS["bayes"].replace('variance="0.8"', 'variance="0"'), "variance"),
    "counts of another field": (
        written.CLASSIFIERS["bayes"].replace('<BayesOutput fieldName="class">', '<BayesOutput fieldName="c">'),
        "counts the classes of 'c', and the model's target is 'class'",
    ),
    "activation": (_network('"tanh"', '"swish"'), "'swish'"),
    "later neuron": (_network('<Con from="i0"', '<Con from="2.0"'), "'2.0'"),
    "neuron twice": (_network('id="1.1"', 'id="1.0"'), "'1.0'"),
    "output": (_network('outputNeuron="2.0"', 'outputNeuron="9"'), "'9'"),
    "normed": (_network('normalizationMethod="none"', 'normalizationMethod="max"'), "'max'"),
    "flat output": (_network('norm="0.5"', 'norm="1000"'), "flat"),
    "kernel": (_vectors("RadialBasisKernelType", "StringKernelType"), "RadialBasisKernelType"),
    "no vector": (_vectors('vectorId="d"', 'vectorId="e"'), "'e'"),
    "long vector": (_vectors("<Indices>2<", "<Indices>4<"), "'4' of 3"),
    "short vector": (_vectors("-1.25 0.75 0", "-1.25 0.75"), "2 numbers for 3"),
    "coefficients": (_vectors('<Coefficient value="-2"/>', ""), "3 vectors and 2"),
    "rounded class": (
        written.LABELS["two"].replace(
            "<SupportVectorMachineModel", '<SupportVectorMachineModel alternateBinaryTargetCategory="no"'
        ),
        "alternateBinaryTargetCategory",
    ),
    "all": (written.REGRESSIONS["sum"].replace('"sum"', '"selectAll"'), "selectAll"),
    "condition": (written.REGRESSIONS["select first"].replace('"selectFirst"', '"sum"'), "condition"),
    "median of classes": (written.CLASSIFIERS["max"].replace('"max"', '"median"'), "median"),
    "none chosen": (
        written.REGRESSIONS["select first"].replace(
            "<True/>", '<SimplePredicate field="x" operator="greaterThan" value="0"/>'
        ),
        "select no segment",
    ),
    "function": (_derived('<Apply function="formatNumber"><FieldRef field="x"/></Apply>'), "formatNumber"),
    "text index": (_derived('<TextIndex textField="c"><Constant>a</Constant></TextIndex>'), "TextIndex"),
    "default child": (
        basic.document(
            basic.tree('missingValueStrategy="defaultChild"').replace('defaultChild="5"', 'defaultChild="9"')
        ),
        "the defaultChild '9', which is no child of it",
    ),
    "cycle": (
        _derived(_plus("d1", "x"), _plus("d2", "x"), _plus("d0", "x")),
        "'d0' of the PMML file is made from itself",
    ),
    "twice": (
        _derived(_plus("x", "z")).replace(
            "<TransformationDictionary>",
            '<TransformationDictionary><DerivedField name="d0" optype="continuous" dataType="double"><FieldRef field="x"/></DerivedField>',
        ),
        "twice",
    ),
    "calls itself": (_defined(2).replace('function="f0"', 'function="f1"'), "calls itself"),
    "grows": (_defined(40), "steps"),
    "long chain": (_derived(*[_plus(f"d{i + 1}", "x") for i in range(5000)], _plus("x", "z")), "too many steps"),
    "not scored": (_general('modelType="regression"', 'modelType="regression" isScorable="false"'), "isScorable"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_by_name(name, tmp_path):
    text, said = REFUSED[name]
    begun = time.process_time()
    with pytest.raises(CannotImport, match=said) as caught:
        _draft(text, tmp_path)
    assert "\n" not in str(caught.value)
    assert time.process_time() - begun < 20


def test_another_target_than_the_files_own_is_refused(tmp_path):
    path = tmp_path / "model.pmml"
    path.write_text(written.CLASSIFIERS["bayes"])
    assert draft_of_file(path, Told(target="class")).draft.package().signature.target == "class"
    with pytest.raises(CannotImport, match="calls its target 'class', and --target is 'x'"):
        draft_of_file(path, Told(target="x"))


def test_targets_are_those_of_what_is_predicted(tmp_path):
    text = _derived(_plus("x", "z")).replace(
        "</RegressionModel>", '<Targets><Target field="value" rescaleFactor="2"/></Targets></RegressionModel>'
    )
    assert Model.load(_draft(text, tmp_path).draft.package()).predict([{"x": 1.0, "z": 2.0, "c": "red"}]) == [6.0]
    with pytest.raises(CannotImport, match="name the field 'other', and the model predicts 'value'"):
        _draft(text.replace('Target field="value"', 'Target field="other"'), tmp_path)


def test_an_array_of_a_million_numbers_is_refused_without_its_numbers_in_the_message(tmp_path):
    numbers = " ".join(["0.5"] * 1_000_000)
    with pytest.raises(CannotImport, match="1000000 numbers for 3") as caught:
        _draft(_vectors("-1.25 0.75 0", numbers), tmp_path)
    assert len(str(caught.value)) < 200
    with pytest.raises(CannotImport) as caught:
        _draft(_general('beta="0.3"', f'beta="{numbers}"'), tmp_path)
    assert len(str(caught.value)) < 200


def test_a_layer_too_wide_to_write_out_is_refused_with_the_limit(tmp_path):
    neurons = "".join(f'<Neuron id="w{i}"><Con from="i0" weight="1"/></Neuron>' for i in range(8000))
    other = neurons.replace('id="w', 'id="v')
    layers = f"<NeuralLayer>{neurons}</NeuralLayer><NeuralLayer>{other}</NeuralLayer>"
    text = _network("<NeuralLayer>", f"{layers}<NeuralLayer>")
    with pytest.raises(CannotImport, match="50,000,000"):
        _draft(text, tmp_path)


def test_derived_fields_may_stand_in_any_order_and_unused_ones_may_be_of_any_kind(tmp_path):
    unread = '<Apply function="formatNumber"><FieldRef field="x"/></Apply>'
    model = Model.load(_draft(_derived(_plus("d2", "x"), unread, _plus("z", "z")), tmp_path).draft.package())
    assert model.predict([{"x": 1.0, "z": 2.0, "c": "red"}]) == [5.0]


def test_a_machine_of_coefficients_is_read_and_the_largest_may_win(tmp_path):
    """JPMML reads neither."""
    machines = [
        f'<SupportVectorMachine targetCategory="{name}"><Coefficients absoluteValue="{start}"><Coefficient value="{a}"/>'
        f'<Coefficient value="{b}"/><Coefficient value="0"/></Coefficients></SupportVectorMachine>'
        for name, start, a, b in (("mid", 0.5, 1, 0), ("low", 0.0, 0, 2), ("high", 1.0, -1, -1))
    ]
    text = basic.document(
        written.vectors(
            "linear", *machines, function="classification", extra='svmRepresentation="Coefficients" maxWins="true"'
        ),
        fields=written.THREE_FIELDS.format(optype="categorical"),
    )
    model = Model.load(_draft(text, tmp_path).draft.package())
    rows = [{"x": x, "z": z, "c": "red"} for x, z in ((3.0, 0.0), (0.0, 3.0), (-2.0, -2.0))]
    assert model.predict(rows) == ["mid", "low", "high"]
    smallest = Model.load(_draft(text.replace('maxWins="true"', ""), tmp_path).draft.package())
    assert smallest.predict(rows) == ["high", "high", "low"]


VERIFIED = """<ModelVerification recordCount="3"><VerificationFields><VerificationField field="x" column="data:x"/><VerificationField field="z" column="z"/><VerificationField field="c" column="c"/>{fields}</VerificationFields>
<InlineTable xmlns:data="http://example.org/data">{rows}</InlineTable></ModelVerification>"""


def _verified(text, fields, rows):
    place = text.rindex("</", 0, text.rindex("</"))
    return f"{text[:place]}{VERIFIED.format(fields=fields, rows=rows)}{text[place:]}"


VALUE = '<VerificationField field="value" column="value" precision="1e-6" zeroThreshold="1e-9"/>'
# 0.3 - 0.25 * 1 + 0.05 * 4 + 0.4
GOOD = "<row><data:x>1</data:x><z>2</z><c>red</c><value>0.65</value></row>"
NONE = "<row><z>2</z><c>red</c></row>"


def test_a_file_that_verifies_itself_is_held_to_its_rows(tmp_path):
    made = _draft(_verified(written.REGRESSIONS["regression"], VALUE, GOOD + NONE), tmp_path)
    assert made.notes[0] == "Its answers are those of the 2 rows that the PMML file verifies itself with."


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (GOOD.replace("0.65", "0.6501"), "Row 1 of the ModelVerification in the PMML file has 0.6501 for 'value'"),
        (GOOD + NONE.replace("</c>", "</c><value>1</value>"), "Row 2 .* has an answer, and here it has none: .*'x'"),
        (GOOD.replace("<value>0.65</value>", ""), "has no answer, and here it has one"),
        (GOOD.replace("0.65", "many"), "'many'"),
    ],
)
def test_an_answer_that_the_file_does_not_give_is_a_refusal(rows, said, tmp_path):
    with pytest.raises(CannotImport, match=said):
        _draft(_verified(written.REGRESSIONS["regression"], VALUE, rows), tmp_path)


def test_labels_and_probabilities_are_verified_too(tmp_path):
    fields = '<VerificationField field="class" column="class"/><VerificationField field="p(yes)" column="p" precision="1e-4"/>'
    share = 1 / (1 + np.exp(-0.65))
    row = GOOD.replace("<value>0.65</value>", f"<class>yes</class><p>{share:.6f}</p>")
    text = written.CLASSIFIERS["event"]
    assert "verifies itself" in _draft(_verified(text, fields, row), tmp_path).notes[0]
    with pytest.raises(CannotImport, match="'class', and here it is yes"):
        _draft(_verified(text, fields, row.replace("yes", "no")), tmp_path)
    with pytest.raises(CannotImport, match=r"'p\(yes\)'"):
        _draft(_verified(text, fields, row.replace(f"{share:.6f}", "0.5")), tmp_path)


def test_a_chosen_segment_asks_only_for_what_it_uses(tmp_path):
    model = Model.load(_draft(written.REGRESSIONS["select first"], tmp_path).draft.package())
    assert model.predict([{"x": None, "z": 1.0, "c": "red"}, {"x": 1.0, "z": 1.0, "c": "red"}]) == [2.5, 4.0]
    with pytest.raises(InputError, match="'z'"):
        model.read.rows([{"x": 1.0, "z": None, "c": "red"}])
