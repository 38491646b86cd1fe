# ruff: noqa: E501 - the lines of a file are its own
"""PMML files by hand: a body in a frame, and the kinds of models that are read."""

from __future__ import annotations

FIELDS = """
<DataField name="x" optype="continuous" dataType="double"/>
<DataField name="z" optype="continuous" dataType="float"/>
<DataField name="c" optype="categorical" dataType="string"><Value value="red"/><Value value="green"/><Value value="deep blue"/></DataField>
<DataField name="value" optype="continuous" dataType="double"/>
<DataField name="class" optype="categorical" dataType="string"><Value value="no"/><Value value="yes"/></DataField>
"""
SCHEMA = """<MiningSchema><MiningField name="{target}" usageType="target"/>
<MiningField name="x"/><MiningField name="z"/><MiningField name="c"/></MiningSchema>"""
INNER = """<MiningSchema><MiningField name="x"/><MiningField name="z"/><MiningField name="c"/></MiningSchema>"""


def document(body: str, *, transformations: str = "", fields: str = FIELDS) -> str:
    return f"""<?xml version="1.0"?>
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/>
<DataDictionary>{fields}</DataDictionary>{transformations}{body}</PMML>"""


def tree(strategy: str = "", *, schema: str = "", outer: str = "regression", extra: str = "") -> str:
    schema = schema or SCHEMA.format(target="value")
    return f"""<TreeModel functionName="{outer}" splitCharacteristic="multiSplit" {strategy}>{schema}{extra}
<Node id="1" score="0.5" defaultChild="3"><True/>
  <Node id="2" score="1" defaultChild="5"><SimplePredicate field="x" operator="lessOrEqual" value="0.1"/>
    <Node id="4" score="2"><SimplePredicate field="z" operator="lessThan" value="0.3"/></Node>
    <Node id="5" score="3"><SimplePredicate field="z" operator="greaterOrEqual" value="0.3"/></Node>
  </Node>
  <Node id="3" score="4" defaultChild="7"><SimplePredicate field="x" operator="greaterThan" value="0.1"/>
    <Node id="6" score="5"><SimpleSetPredicate field="c" booleanOperator="isIn"><Array n="2" type="string">red "deep blue"</Array></SimpleSetPredicate></Node>
    <Node id="7" score="6"><SimpleSetPredicate field="c" booleanOperator="isNotIn"><Array n="2" type="string">red "deep blue"</Array></SimpleSetPredicate></Node>
  </Node>
</Node></TreeModel>"""


COMPOUND = f"""<TreeModel functionName="regression" noTrueChildStrategy="returnLastPrediction">{SCHEMA.format(target="value")}
<Node score="1"><True/>
  <Node score="2"><CompoundPredicate booleanOperator="and"><SimplePredicate field="x" operator="greaterThan" value="0.1"/><SimplePredicate field="z" operator="lessThan" value="0.3"/></CompoundPredicate></Node>
  <Node score="3"><CompoundPredicate booleanOperator="surrogate"><SimplePredicate field="x" operator="lessThan" value="-0.5"/><SimplePredicate field="c" operator="equal" value="green"/><False/></CompoundPredicate></Node>
  <Node score="4"><CompoundPredicate booleanOperator="or"><SimplePredicate field="z" operator="isMissing"/><SimplePredicate field="c" operator="notEqual" value="red"/></CompoundPredicate></Node>
</Node></TreeModel>"""

CLASSES = f"""<TreeModel functionName="classification" missingValueStrategy="lastPrediction">{SCHEMA.format(target="class")}
<Output><OutputField name="p(no)" optype="continuous" dataType="double" feature="probability" value="no"/><OutputField name="p(yes)" optype="continuous" dataType="double" feature="probability" value="yes"/></Output>
<Node score="no" recordCount="10"><True/><ScoreDistribution value="no" recordCount="6"/><ScoreDistribution value="yes" recordCount="4"/>
  <Node score="yes" recordCount="4"><SimplePredicate field="x" operator="greaterThan" value="0.1"/><ScoreDistribution value="no" recordCount="1"/><ScoreDistribution value="yes" recordCount="3"/></Node>
  <Node score="no" recordCount="6"><SimplePredicate field="x" operator="lessOrEqual" value="0.1"/><ScoreDistribution value="no" recordCount="5"/><ScoreDistribution value="yes" recordCount="1"/></Node>
</Node></TreeModel>"""


def mining(how: str, target: str = "regression") -> str:
    name = "value" if target == "regression" else "class"
    output = "" if target == "regression" else CLASSES[CLASSES.index("<Output>") : CLASSES.index("<Node")]
    inner = [
        (
            tree('missingValueStrategy="defaultChild"', schema=INNER),
            tree('missingValueStrategy="lastPrediction"', schema=INNER),
        )
        if target == "regression"
        else (_inner_class("x", "0.1"), _inner_class("z", "0.3"), _inner_class("x", "-0.5"))
    ][0]
    segments = "".join(f'<Segment id="{i}" weight="{i + 0.5}"><True/>{each}</Segment>' for i, each in enumerate(inner))
    return f"""<MiningModel functionName="{target}">{SCHEMA.format(target=name)}{output}
<Segmentation multipleModelMethod="{how}">{segments}</Segmentation></MiningModel>"""


def _inner_class(name: str, limit: str) -> str:
    return f"""<TreeModel functionName="classification" missingValueStrategy="lastPrediction">{INNER}
<Node score="no"><True/><ScoreDistribution value="no" recordCount="3"/><ScoreDistribution value="yes" recordCount="2"/>
<Node score="yes"><SimplePredicate field="{name}" operator="greaterThan" value="{limit}"/><ScoreDistribution value="no" recordCount="1"/><ScoreDistribution value="yes" recordCount="7"/></Node>
<Node score="no"><SimplePredicate field="{name}" operator="lessOrEqual" value="{limit}"/><ScoreDistribution value="no" recordCount="5"/><ScoreDistribution value="yes" recordCount="1"/></Node>
</Node></TreeModel>"""


BOOSTED = f"""<MiningModel functionName="classification">{SCHEMA.format(target="class")}
<Segmentation multipleModelMethod="modelChain">
<Segment id="1"><True/><MiningModel functionName="regression">{INNER}<Output><OutputField name="raw" optype="continuous" dataType="double" feature="predictedValue" isFinalResult="false"/></Output><Targets><Target rescaleConstant="-3.25" rescaleFactor="0.5"/></Targets>
<Segmentation multipleModelMethod="sum"><Segment id="a"><True/>{tree('missingValueStrategy="defaultChild"', schema=INNER)}</Segment><Segment id="b"><True/>{tree('missingValueStrategy="defaultChild"', schema=INNER)}</Segment></Segmentation></MiningModel></Segment>
<Segment id="2"><True/><RegressionModel functionName="classification" normalizationMethod="logit"><MiningSchema><MiningField name="class" usageType="target"/><MiningField name="raw"/></MiningSchema>{CLASSES[CLASSES.index("<Output>") : CLASSES.index("<Node")]}
<RegressionTable intercept="0.25" targetCategory="yes"><NumericPredictor name="raw" coefficient="1.5"/></RegressionTable><RegressionTable intercept="0" targetCategory="no"/></RegressionModel></Segment>
</Segmentation></MiningModel>"""

REPLACED = SCHEMA.format(target="value").replace(
    'name="x"/>', 'name="x" missingValueReplacement="0.5" outliers="asExtremeValues" lowValue="-1" highValue="1"/>'
)


def regression(how: str = "none", *, schema: str = REPLACED) -> str:
    return f"""<RegressionModel functionName="regression" normalizationMethod="{how}">{schema}
<RegressionTable intercept="0.3"><NumericPredictor name="x" coefficient="1.25"/><NumericPredictor name="z" exponent="2" coefficient="-0.5"/>
<CategoricalPredictor name="c" value="red" coefficient="0.7"/><CategoricalPredictor name="c" value="green" coefficient="-0.2"/>
<PredictorTerm coefficient="0.1"><FieldRef field="x"/><FieldRef field="z"/></PredictorTerm></RegressionTable></RegressionModel>"""


TRANSFORMED = """<TransformationDictionary>
<DerivedField name="bent" optype="continuous" dataType="double"><NormContinuous field="x" mapMissingTo="0.75" outliers="asExtremeValues"><LinearNorm orig="-1" norm="0"/><LinearNorm orig="0.1" norm="2"/><LinearNorm orig="2" norm="3"/></NormContinuous></DerivedField>
<DerivedField name="is red" optype="continuous" dataType="double"><NormDiscrete field="c" value="red" mapMissingTo="0.5"/></DerivedField>
<DerivedField name="binned" optype="continuous" dataType="double"><Discretize field="x" dataType="double" mapMissingTo="9" defaultValue="7"><DiscretizeBin binValue="1"><Interval closure="openClosed" rightMargin="0.1"/></DiscretizeBin><DiscretizeBin binValue="2"><Interval closure="openOpen" leftMargin="0.1" rightMargin="1"/></DiscretizeBin></Discretize></DerivedField>
<DerivedField name="mapped" optype="continuous" dataType="double"><MapValues outputColumn="out" dataType="double" mapMissingTo="-4" defaultValue="-5"><FieldColumnPair field="c" column="in"/><InlineTable><row><in>red</in><out>1.5</out></row><row><in>green</in><out>2.5</out></row></InlineTable></MapValues></DerivedField>
<DerivedField name="applied" optype="continuous" dataType="double"><Apply function="if"><Apply function="isMissing"><FieldRef field="x"/></Apply><Constant dataType="double">3</Constant><Apply function="exp"><Apply function="/"><FieldRef field="bent"/><Constant dataType="double">4</Constant></Apply></Apply></Apply></DerivedField>
</TransformationDictionary>"""
DERIVED = f"""<RegressionModel functionName="regression">{SCHEMA.format(target="value")}<RegressionTable intercept="0">
{"".join(f'<NumericPredictor name="{name}" coefficient="{factor}"/>' for name, factor in (("bent", 1), ("is red", 10), ("binned", 100), ("mapped", 1000), ("applied", 3)))}
</RegressionTable></RegressionModel>"""

SCORECARD = f"""<Scorecard functionName="regression" initialScore="12" useReasonCodes="false">{SCHEMA.format(target="value")}<Characteristics>
<Characteristic name="one"><Attribute partialScore="-3"><SimplePredicate field="x" operator="isMissing"/></Attribute><Attribute partialScore="5"><SimplePredicate field="x" operator="lessOrEqual" value="0.1"/></Attribute><Attribute partialScore="7"><SimplePredicate field="x" operator="greaterThan" value="0.1"/></Attribute></Characteristic>
<Characteristic name="two"><Attribute partialScore="20"><SimplePredicate field="c" operator="equal" value="red"/></Attribute><Attribute partialScore="30"><True/></Attribute></Characteristic>
</Characteristics></Scorecard>"""

REGRESSIONS = {
    "tree, default child": document(tree('missingValueStrategy="defaultChild"')),
    "tree, last prediction": document(tree('missingValueStrategy="lastPrediction"')),
    "tree, null prediction": document(tree('missingValueStrategy="nullPrediction"')),
    "tree, none": document(tree('noTrueChildStrategy="returnLastPrediction"')),
    "compound predicates": document(COMPOUND),
    "sum": document(mining("sum")),
    "average": document(mining("average")),
    "weighted average": document(mining("weightedAverage")),
    "regression": document(regression()),
    "regression, exp": document(regression("exp")),
    "regression, logit": document(regression("logit")),
    "transformations": document(DERIVED, transformations=TRANSFORMED),
    "scorecard": document(SCORECARD),
}
CLASSIFIERS = {
    "tree": document(CLASSES),
    "average": document(mining("average", "classification")),
    "majority vote": document(mining("majorityVote", "classification")),
    "weighted vote": document(mining("weightedMajorityVote", "classification")),
    "boosted": document(BOOSTED),
}
