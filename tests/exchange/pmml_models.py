# ruff: noqa: E501 - the lines of a file are its own
"""PMML files by hand: general regressions, naive Bayes, neural networks, support vector machines, segmentations."""

from __future__ import annotations

from pmml_documents import CLASSES, SCHEMA, document

PROBABILITIES = CLASSES[CLASSES.index("<Output>") : CLASSES.index("<Node")]
THREE_FIELDS = """
<DataField name="x" optype="continuous" dataType="double"/>
<DataField name="z" optype="continuous" dataType="double"/>
<DataField name="c" optype="categorical" dataType="string"><Value value="red"/><Value value="green"/><Value value="deep blue"/></DataField>
<DataField name="value" optype="continuous" dataType="double"/>
<DataField name="class" optype="{optype}" dataType="string"><Value value="low"/><Value value="mid"/><Value value="high"/></DataField>
"""
TWO_FIELDS = THREE_FIELDS.replace(
    '<Value value="low"/><Value value="mid"/><Value value="high"/>', '<Value value="no"/><Value value="yes"/>'
).format(optype="categorical")
THREE_OUTPUT = (
    "<Output>"
    + "".join(
        f'<OutputField name="p({c})" optype="continuous" dataType="double" feature="probability" value="{c}"/>'
        for c in ("low", "mid", "high")
    )
    + "</Output>"
)
PARAMETERS = """<ParameterList>{names}</ParameterList>
<FactorList><Predictor name="c"/></FactorList><CovariateList><Predictor name="x"/><Predictor name="z"/></CovariateList>
<PPMatrix><PPCell value="1" predictorName="x" parameterName="p1"/><PPCell value="2" predictorName="z" parameterName="p2"/>
<PPCell value="red" predictorName="c" parameterName="p3"/><PPCell value="green" predictorName="c" parameterName="p4"/><PPCell value="1" predictorName="x" parameterName="p4"/></PPMatrix>""".format(
    names="".join(f'<Parameter name="p{i}"/>' for i in range(5))
)
BETAS = (0.3, -0.25, 0.05, 0.4, -0.15)


def cells(betas=BETAS, category: str = "", first: int = 0) -> str:
    target = f' targetCategory="{category}"' if category else ""
    return "".join(
        f'<PCell{target} parameterName="p{i}" df="1" beta="{beta}"/>' for i, beta in enumerate(betas, start=first)
    )


def general(kind: str, body: str, *, function: str = "regression", extra: str = "", output: str = "") -> str:
    target = "value" if function == "regression" else "class"
    return f"""<GeneralRegressionModel functionName="{function}" modelType="{kind}" {extra}>{SCHEMA.format(target=target)}{output}
{PARAMETERS}<ParamMatrix>{body}</ParamMatrix></GeneralRegressionModel>"""


LINKS = {
    "identity": "",
    "log": "",
    "logc": "",
    "logit": "",
    "probit": "",
    "cloglog": "",
    "loglog": "",
    "negbin": 'distParameter="0.7"',
    "power": 'linkParameter="3"',
    "oddspower": 'linkParameter="2"',
}
ABOVE = (6.0, -0.25, 0.05, 0.4, -0.15)
BELOW = (-6.0, -0.25, 0.05, 0.4, -0.15)


def linked(link: str) -> str:
    # The negative binomial is defined below zero, and a power above it.
    betas = {"negbin": BELOW, "power": ABOVE, "oddspower": ABOVE}.get(link, BETAS)
    return document(
        general("generalizedLinear", cells(betas), extra=f'linkFunction="{link}" distribution="normal" {LINKS[link]}'),
        fields=TWO_FIELDS,
    )


def ordinal(link: str) -> str:
    body = cells((-0.4,), "low") + cells((0.9,), "mid") + cells(BETAS[1:], first=1)
    model = general(
        "ordinalMultinomial", body, function="classification", extra=f'cumulativeLink="{link}"', output=THREE_OUTPUT
    )
    return document(model, fields=THREE_FIELDS.format(optype="ordinal"))


CONTRASTS = """<FactorList><Predictor name="c" contrastMatrixType="Helmert"><Categories><Category value="red"/><Category value="green"/><Category value="deep blue"/></Categories>
<Matrix nbRows="3" nbCols="3"><Array type="real" n="3">0.5 -0.25 1</Array><Array type="real" n="3">-1 2 0.125</Array><Array type="real" n="3">3 0 -4</Array></Matrix></Predictor></FactorList>"""
BAYES = f"""<NaiveBayesModel functionName="classification" threshold="0.001">{SCHEMA.format(target="class")}{PROBABILITIES}
<BayesInputs><BayesInput fieldName="c"><PairCounts value="red"><TargetValueCounts><TargetValueCount value="no" count="10"/><TargetValueCount value="yes" count="3"/></TargetValueCounts></PairCounts>
<PairCounts value="green"><TargetValueCounts><TargetValueCount value="no" count="0"/><TargetValueCount value="yes" count="7"/></TargetValueCounts></PairCounts>
<PairCounts value="deep blue"><TargetValueCounts><TargetValueCount value="no" count="5"/><TargetValueCount value="yes" count="2"/></TargetValueCounts></PairCounts></BayesInput>
<BayesInput fieldName="z"><DerivedField name="zone" optype="categorical" dataType="string"><Discretize field="z"><DiscretizeBin binValue="low"><Interval closure="openOpen" rightMargin="0.5"/></DiscretizeBin><DiscretizeBin binValue="high"><Interval closure="closedOpen" leftMargin="0.5"/></DiscretizeBin></Discretize></DerivedField>
<PairCounts value="low"><TargetValueCounts><TargetValueCount value="no" count="4"/><TargetValueCount value="yes" count="8"/></TargetValueCounts></PairCounts>
<PairCounts value="high"><TargetValueCounts><TargetValueCount value="no" count="11"/><TargetValueCount value="yes" count="4"/></TargetValueCounts></PairCounts></BayesInput>
<BayesInput fieldName="x"><TargetValueStats><TargetValueStat value="no"><GaussianDistribution mean="0.2" variance="0.8"/></TargetValueStat><TargetValueStat value="yes"><GaussianDistribution mean="1.1" variance="0.3"/></TargetValueStat></TargetValueStats></BayesInput></BayesInputs>
<BayesOutput fieldName="class"><TargetValueCounts><TargetValueCount value="no" count="15"/><TargetValueCount value="yes" count="12"/></TargetValueCounts></BayesOutput></NaiveBayesModel>"""

INPUTS = """<NeuralInputs numberOfInputs="3"><NeuralInput id="i0"><DerivedField optype="continuous" dataType="double"><NormContinuous field="x"><LinearNorm orig="-1" norm="0"/><LinearNorm orig="2" norm="1"/></NormContinuous></DerivedField></NeuralInput>
<NeuralInput id="i1"><DerivedField optype="continuous" dataType="double"><FieldRef field="z"/></DerivedField></NeuralInput>
<NeuralInput id="i2"><DerivedField optype="continuous" dataType="double"><NormDiscrete field="c" value="red"/></DerivedField></NeuralInput></NeuralInputs>"""


def _neurons(layer: int, names: tuple[str, ...], size: int, extra: str = "") -> str:
    draw = [((7 * layer + 3 * i) % 11 - 5) / 8 for i in range(size * (len(names) + 1))]
    made = ""
    for place in range(size):
        weights = draw[place * (len(names) + 1) :]
        cons = "".join(
            f'<Con from="{name}" weight="{weight}"/>' for name, weight in zip(names, weights[1:], strict=False)
        )
        made += f'<Neuron id="{layer}.{place}" bias="{weights[0]}" {extra}>{cons}</Neuron>'
    return made


def network(activation: str = "tanh", *, hidden: str = "", extra: str = "") -> str:
    """A regression, whose last layer is also connected with an input."""
    first = _neurons(1, ("i0", "i1", "i2"), 3, extra)
    last = _neurons(2, ("1.0", "1.1", "1.2", "i0"), 1)
    return f"""<NeuralNetwork functionName="regression" activationFunction="{activation}" {hidden}>{SCHEMA.format(target="value")}{INPUTS}
<NeuralLayer>{first}</NeuralLayer><NeuralLayer activationFunction="identity" normalizationMethod="none">{last}</NeuralLayer>
<NeuralOutputs><NeuralOutput outputNeuron="2.0"><DerivedField optype="continuous" dataType="double"><NormContinuous field="value"><LinearNorm orig="-10" norm="-1000"/><LinearNorm orig="20" norm="0.5"/><LinearNorm orig="50" norm="1000"/></NormContinuous></DerivedField></NeuralOutput></NeuralOutputs></NeuralNetwork>"""


ACTIVATIONS = (
    "logistic",
    "tanh",
    "identity",
    "exponential",
    "reciprocal",
    "square",
    "Gauss",
    "sine",
    "cosine",
    "Elliott",
    "arctan",
    "rectifier",
    "threshold",
)
CLASSIFYING = f"""<NeuralNetwork functionName="classification" activationFunction="logistic">{SCHEMA.format(target="class")}{PROBABILITIES}
<LocalTransformations><DerivedField name="is yes" optype="continuous" dataType="double"><NormDiscrete field="class" value="yes"/></DerivedField><DerivedField name="is no" optype="continuous" dataType="double"><NormDiscrete field="class" value="no"/></DerivedField></LocalTransformations>{INPUTS}
<NeuralLayer>{_neurons(1, ("i0", "i1", "i2"), 3)}</NeuralLayer><NeuralLayer activationFunction="identity" normalizationMethod="softmax">{_neurons(2, ("1.0", "1.1", "1.2"), 2)}</NeuralLayer>
<NeuralOutputs><NeuralOutput outputNeuron="2.0"><DerivedField optype="categorical" dataType="string"><FieldRef field="is yes"/></DerivedField></NeuralOutput><NeuralOutput outputNeuron="2.1"><DerivedField optype="categorical" dataType="string"><FieldRef field="is no"/></DerivedField></NeuralOutput></NeuralOutputs></NeuralNetwork>"""

DICTIONARY = """<VectorDictionary numberOfVectors="3"><VectorFields numberOfFields="3"><FieldRef field="x"/><FieldRef field="z"/><CategoricalPredictor name="c" value="red" coefficient="1"/></VectorFields>
<VectorInstance id="a"><REAL-SparseArray n="3"><Indices>1 3</Indices><REAL-Entries>0.5 1</REAL-Entries></REAL-SparseArray></VectorInstance>
<VectorInstance id="b"><Array type="real" n="3">-1.25 0.75 0</Array></VectorInstance><VectorInstance id="d"><REAL-SparseArray n="3"><Indices>2</Indices><REAL-Entries>-2</REAL-Entries></REAL-SparseArray></VectorInstance></VectorDictionary>"""
KERNELS = {
    "linear": "<LinearKernelType/>",
    "polynomial": '<PolynomialKernelType gamma="0.5" coef0="0.25" degree="3"/>',
    "radial basis": '<RadialBasisKernelType gamma="0.3"/>',
    "sigmoid": '<SigmoidKernelType gamma="0.2" coef0="0.1"/>',
}


def machine(names: str, start: float, *alphas: float, extra: str = "") -> str:
    vectors = "".join(f'<SupportVector vectorId="{name}"/>' for name in names)
    values = "".join(f'<Coefficient value="{alpha}"/>' for alpha in alphas)
    return f'<SupportVectorMachine {extra}><SupportVectors numberOfSupportVectors="{len(names)}">{vectors}</SupportVectors><Coefficients absoluteValue="{start}">{values}</Coefficients></SupportVectorMachine>'


def vectors(kernel: str, *machines: str, function: str = "regression", extra: str = "") -> str:
    target = "value" if function == "regression" else "class"
    return f"""<SupportVectorMachineModel functionName="{function}" {extra}>{SCHEMA.format(target=target)}{KERNELS[kernel]}{DICTIONARY}{"".join(machines)}</SupportVectorMachineModel>"""


AGAINST_ONE = (
    machine("ab", 0.1, 1.5, -0.5, extra='targetCategory="low" alternateTargetCategory="mid"'),
    machine("abd", -0.2, 0.5, 0.25, -1, extra='targetCategory="low" alternateTargetCategory="high" threshold="0.125"'),
    machine("bd", 0.3, -0.75, 1, extra='targetCategory="mid" alternateTargetCategory="high"'),
)
AGAINST_ALL = (
    machine("ab", 0.1, 1.5, -0.5, extra='targetCategory="mid"'),
    machine("abd", -0.2, 0.5, 0.25, -1, extra='targetCategory="low"'),
    machine("bd", 0.3, -0.75, 1, extra='targetCategory="high"'),
)


def simple(intercept: float, *terms: tuple[str, float], function: str = "regression") -> str:
    """A regression of some numbers, as a segment."""
    own = "".join(f'<MiningField name="{name}"/>' for name, _ in terms)
    predictors = "".join(f'<NumericPredictor name="{name}" coefficient="{factor}"/>' for name, factor in terms)
    if function == "regression":
        return f'<RegressionModel functionName="regression"><MiningSchema>{own}</MiningSchema><RegressionTable intercept="{intercept}">{predictors}</RegressionTable></RegressionModel>'
    return f'<RegressionModel functionName="classification" normalizationMethod="logit"><MiningSchema><MiningField name="class" usageType="target"/>{own}</MiningSchema>{PROBABILITIES}<RegressionTable targetCategory="yes" intercept="{intercept}">{predictors}</RegressionTable><RegressionTable targetCategory="no" intercept="0"/></RegressionModel>'


def segments(how: str, *models: tuple[str, str], function: str = "regression") -> str:
    target, output = ("value", "") if function == "regression" else ("class", PROBABILITIES)
    inner = "".join(
        f'<Segment id="{i}" weight="{i + 0.5}">{predicate or "<True/>"}{model}</Segment>'
        for i, (predicate, model) in enumerate(models)
    )
    return f'<MiningModel functionName="{function}">{SCHEMA.format(target=target)}{output}<Segmentation multipleModelMethod="{how}">{inner}</Segmentation></MiningModel>'


_IS_MISSING = '<SimplePredicate field="x" operator="isMissing"/>'
_BLUE = '<CompoundPredicate booleanOperator="and"><SimplePredicate field="c" operator="equal" value="deep blue"/><SimplePredicate field="z" operator="greaterThan" value="0"/></CompoundPredicate>'


def _chosen(function: str = "regression") -> str:
    models = [(_IS_MISSING, ("z", 2.0)), (_BLUE, ("z", -3.1)), ("<True/>", ("x", 1.5))]
    return segments(
        "selectFirst",
        *[(where, simple(i + 0.5, term, function=function)) for i, (where, term) in enumerate(models)],
        function=function,
    )


THREE = [("", simple(0.5, ("x", 1.0))), ("", simple(-1.0, ("z", 2.0))), ("", simple(0.25, ("x", -0.5), ("z", 0.5)))]
FOUR = [*THREE, ("", simple(3.0, ("x", 2.0)))]
THREE_CLASSIFIERS = [
    ("", simple(a, term, function="classification"))
    for a, term in ((0.5, ("x", 1.0)), (-1.0, ("z", 2.0)), (0.25, ("x", -2.0)))
]
CHAINED = f"""<MiningModel functionName="regression">{SCHEMA.format(target="value")}<Segmentation multipleModelMethod="modelChain">
<Segment id="1"><True/><MiningModel functionName="classification"><MiningSchema><MiningField name="x"/><MiningField name="z"/></MiningSchema><Output><OutputField name="kind" optype="categorical" dataType="string" feature="predictedValue"/><OutputField name="sure" optype="continuous" dataType="double" feature="probability" value="yes"/></Output><Segmentation multipleModelMethod="average"><Segment><True/>{THREE_CLASSIFIERS[0][1]}</Segment></Segmentation></MiningModel></Segment>
<Segment id="2"><True/>{simple(1.0, ("sure", 4.0))}</Segment></Segmentation></MiningModel>"""

FUNCTIONS = """<TransformationDictionary>
<DefineFunction name="bend" optype="continuous" dataType="double"><ParameterField name="a" optype="continuous" dataType="double"/><ParameterField name="b" optype="continuous" dataType="double"/><Apply function="+"><FieldRef field="a"/><Apply function="*"><FieldRef field="b"/><FieldRef field="b"/></Apply></Apply></DefineFunction>
<DerivedField name="bent" optype="continuous" dataType="double"><Apply function="bend"><FieldRef field="x"/><FieldRef field="z"/></Apply></DerivedField>
<DerivedField name="late" optype="continuous" dataType="double"><Apply function="-"><FieldRef field="bent"/><Constant dataType="double">1</Constant></Apply></DerivedField>
<DerivedField name="most" optype="continuous" dataType="double"><Apply function="max"><FieldRef field="x"/><FieldRef field="z"/><Constant dataType="double">0.25</Constant></Apply></DerivedField>
<DerivedField name="filled" optype="continuous" dataType="double"><Apply function="*" mapMissingTo="7"><FieldRef field="x"/><Constant dataType="double">2</Constant></Apply></DerivedField>
<DerivedField name="warm" optype="categorical" dataType="boolean"><Apply function="or"><Apply function="equal"><FieldRef field="c"/><Constant dataType="string">red</Constant></Apply><Apply function="greaterThan"><FieldRef field="z"/><Constant dataType="double">0.5</Constant></Apply></Apply></DerivedField>
<DerivedField name="is warm" optype="continuous" dataType="double"><NormDiscrete field="warm" value="true"/></DerivedField>
<DerivedField name="word" optype="categorical" dataType="string"><Apply function="if"><Apply function="lessThan"><FieldRef field="z"/><Constant dataType="double">0</Constant></Apply><Constant dataType="string">under</Constant><FieldRef field="c"/></Apply></DerivedField>
<DerivedField name="is under" optype="continuous" dataType="double"><NormDiscrete field="word" value="under"/></DerivedField>
<DerivedField name="is green" optype="continuous" dataType="double"><NormDiscrete field="word" value="green"/></DerivedField>
<DerivedField name="pair" optype="continuous" dataType="double"><MapValues outputColumn="out" dataType="double" defaultValue="-5"><FieldColumnPair field="c" column="a"/><FieldColumnPair field="word" column="b"/><InlineTable><row><a>red</a><b>under</b><out>1.5</out></row><row><a>green</a><b>green</b><out>2.5</out></row></InlineTable></MapValues></DerivedField>
<DerivedField name="rounded" optype="continuous" dataType="double"><Apply function="round"><Apply function="*"><FieldRef field="z"/><Constant dataType="double">3</Constant></Apply></Apply></DerivedField>
<DerivedField name="small" optype="continuous" dataType="double"><Apply function="+"><Apply function="expm1"><Apply function="/"><FieldRef field="x"/><Constant dataType="double">1000000</Constant></Apply></Apply><Apply function="ln1p"><Apply function="abs"><FieldRef field="x"/></Apply></Apply></Apply></DerivedField>
<DerivedField name="log" optype="continuous" dataType="double"><Apply function="log10"><Apply function="+"><Apply function="abs"><FieldRef field="z"/></Apply><Constant dataType="integer">1</Constant></Apply></Apply></DerivedField>
</TransformationDictionary>"""
USED = ("late", "most", "filled", "is warm", "is under", "is green", "pair", "rounded", "small", "log")
DERIVED = f"""<RegressionModel functionName="regression">{SCHEMA.format(target="value")}<RegressionTable intercept="0">
{"".join(f'<NumericPredictor name="{name}" coefficient="{1.5**place}"/>' for place, name in enumerate(USED))}</RegressionTable></RegressionModel>"""

REGRESSIONS = {
    "regression": document(general("regression", cells()), fields=TWO_FIELDS),
    "general linear, contrasts": document(
        general("generalLinear", cells()).replace('<FactorList><Predictor name="c"/></FactorList>', CONTRASTS),
        fields=TWO_FIELDS,
    ),
    **{f"link {link}": linked(link) for link in LINKS},
    "offset and trials": document(
        general(
            "generalizedLinear",
            cells(),
            extra='linkFunction="logit" distribution="binomial" offsetVariable="z" trialsValue="7"',
        ),
        fields=TWO_FIELDS,
    ),
    **{f"network {each}": document(network(each), fields=TWO_FIELDS) for each in ACTIVATIONS},
    "network radial": document(network("radialBasis", hidden='width="1.25" altitude="1.5"'), fields=TWO_FIELDS),
    **{
        f"vectors {kernel}": document(vectors(kernel, machine("abd", 0.25, 1.5, -2, 0.5)), fields=TWO_FIELDS)
        for kernel in KERNELS
    },
    "select first": document(_chosen(), fields=TWO_FIELDS),
    "median of three": document(segments("median", *THREE), fields=TWO_FIELDS),
    "median of four": document(segments("median", *FOUR), fields=TWO_FIELDS),
    "sum": document(segments("sum", *THREE), fields=TWO_FIELDS),
    "weighted average": document(segments("weightedAverage", *THREE), fields=TWO_FIELDS),
    "weighted sum": document(segments("weightedSum", *THREE), fields=TWO_FIELDS),
    "functions": document(DERIVED, transformations=FUNCTIONS, fields=TWO_FIELDS),
}
CLASSIFIERS = {
    "multinomial": document(
        general(
            "multinomialLogistic",
            cells(BETAS, "low") + cells(BETAS[::-1], "high"),
            function="classification",
            extra='targetReferenceCategory="mid"',
            output=THREE_OUTPUT,
        ),
        fields=THREE_FIELDS.format(optype="categorical"),
    ),
    **{f"ordinal {link}": ordinal(link) for link in ("logit", "probit", "cloglog", "loglog", "cauchit")},
    "event": document(
        general(
            "generalizedLinear",
            cells(BETAS, "yes"),
            function="classification",
            extra='linkFunction="logit" distribution="binomial" targetReferenceCategory="no"',
            output=PROBABILITIES,
        ),
        fields=TWO_FIELDS,
    ),
    "bayes": document(BAYES, fields=TWO_FIELDS),
    "network": document(CLASSIFYING, fields=TWO_FIELDS),
    "select first": document(_chosen("classification"), fields=TWO_FIELDS),
    "max": document(segments("max", *THREE_CLASSIFIERS, function="classification"), fields=TWO_FIELDS),
    **{
        f"regression {link}": document(
            simple(0.25, ("x", 0.5), ("z", -0.5), function="classification").replace('"logit"', f'"{link}"'),
            fields=TWO_FIELDS,
        )
        for link in ("probit", "cloglog", "loglog", "cauchit")
    },
}
LABELS = {
    "against one": document(
        vectors("radial basis", *AGAINST_ONE, function="classification", extra='classificationMethod="OneAgainstOne"'),
        fields=THREE_FIELDS.format(optype="categorical"),
    ),
    "against all": document(
        vectors("polynomial", *AGAINST_ALL, function="classification", extra='classificationMethod="OneAgainstAll"'),
        fields=THREE_FIELDS.format(optype="categorical"),
    ),
    "two": document(
        vectors(
            "sigmoid",
            machine("abd", 0.25, 1.5, -2, 0.5, extra='targetCategory="yes" alternateTargetCategory="no"'),
            function="classification",
            extra='threshold="0.5" classificationMethod="OneAgainstOne"',
        ),
        fields=TWO_FIELDS,
    ),
}
