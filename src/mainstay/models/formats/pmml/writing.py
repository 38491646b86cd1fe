"""A version's package as plain PMML 4.4: linear models, trees, forests and boosted trees, with their encoder.

Thresholds on features in single precision are moved to the double below which exactly the same numbers lie, so that an
evaluator needs no single precision. https://dmg.org/pmml/v4-4-1/GeneralStructure.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import onnx

from mainstay.models.formats.graph import CannotExport
from mainstay.models.formats.pmml.features import Fields
from mainstay.models.formats.pmml.graphs import Forest, Linear, Understood, understood
from mainstay.models.package import Decision, Package
from mainstay.models.signature import Label, Signature


def pmml_of(package: Package) -> bytes:
    """The PMML file of a version.

    Raises:
        CannotExport: its model or encoder has no equal in plain PMML; says which part.
    """
    spec, signature, encoder = package.spec, package.signature, package.encoder
    if spec.format != "onnx" or encoder is None:
        raise CannotExport("Only versions with an encoder and an ONNX graph of Mainstay's own are written as PMML.")
    model = understood(onnx.load_model_from_string(package.read(spec.file)))
    return _Writer(signature, Fields(signature, encoder), model, spec.decision).document().encode("utf-8")


class _Writer:
    def __init__(self, signature: Signature, fields: Fields, model: Understood, decision: Decision | None) -> None:
        self.signature, self.fields, self.model, self.decision = signature, fields, model, decision
        self.labels = [_spelled(label) for label in signature.labels]
        self.count = 0

    def document(self) -> str:
        derived = "".join(self.fields.derived)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header><Application name="mainstay"/></Header>'
            f"{self.fields.dictionary(self._target())}"
            f"<TransformationDictionary>{derived}</TransformationDictionary>{self._model()}</PMML>\n"
        )

    def _target(self) -> str:
        name = quoteattr(self.signature.target)
        if not self.labels:
            return f'<DataField name={name} optype="continuous" dataType="double"/>'
        values = "".join(f"<Value value={quoteattr(label)}/>" for label in self.labels)
        return f'<DataField name={name} optype="categorical" dataType="string">{values}</DataField>'

    def _model(self) -> str:
        body, link = self.model.body, self.model.link
        schema, output = self.fields.schema(self.signature.target), self._output()
        if isinstance(body, Linear):
            tables = self._linear(body)
            return self._regression(tables, link, schema, output)
        if link == "identity" and body.targets == 1:
            return self._mining(body, 0, schema, "")
        if link == "shares":
            return self._shares(body, schema, output)
        inner = self.fields.schema(None)
        names = [f"raw {target}" for target in range(body.targets)]
        segments = [
            self._mining(
                body,
                target,
                inner,
                f'<Output><OutputField name="{name}" optype="continuous" dataType="double" feature="predictedValue" '
                'isFinalResult="false"/></Output>',
            )
            for target, name in enumerate(names)
        ]
        last = "".join(f'<MiningField name="{name}"/>' for name in names)
        target = f'<MiningField name={quoteattr(self.signature.target)} usageType="target"/>'
        own = f"<MiningSchema>{target}{last}</MiningSchema>"
        tables = [(0.0, [(name, self.model.slope)]) for name in names]
        segments.append(self._regression(tables, link, own, output))
        kind = "classification" if self.labels else "regression"
        return (
            f'<MiningModel functionName="{kind}">{schema}'
            f'<Segmentation multipleModelMethod="modelChain">{_segments(segments)}</Segmentation></MiningModel>'
        )

    def _output(self) -> str:
        if not self.labels:
            return ""
        fields = "".join(
            f'<OutputField name={quoteattr(_share(label))} optype="continuous" dataType="double" '
            f'feature="probability" value={quoteattr(label)}/>'
            for label in self.labels
        )
        if self.decision is not None:
            yes, no = self.labels[self.decision.positive], self.labels[1 - self.decision.positive]
            fields += (
                '<OutputField name="decision" optype="categorical" dataType="string" feature="transformedValue">'
                f'<Apply function="if"><Apply function="greaterOrEqual"><FieldRef field={quoteattr(_share(yes))}/>'
                f'<Constant dataType="double">{self.decision.threshold!r}</Constant></Apply>'
                f'<Constant dataType="string">{_escaped(yes)}</Constant>'
                f'<Constant dataType="string">{_escaped(no)}</Constant></Apply></OutputField>'
            )
        return f"<Output>{fields}</Output>"

    # Regressions.

    def _linear(self, body: Linear) -> list[tuple[float, list[tuple[str, float]]]]:
        return [
            (
                float(start) * self.model.slope,
                [
                    (name, float(weight) * self.model.slope)
                    for name, weight in zip(self.fields.features, column.tolist(), strict=True)
                ],
            )
            for start, column in zip(body.intercepts.tolist(), body.coefficients.T, strict=True)
        ]

    def _regression(
        self, tables: Sequence[tuple[float, list[tuple[str, float]]]], link: str, schema: str, output: str
    ) -> str:
        kind = "classification" if self.labels else "regression"
        how = {"identity": "none", "exp": "exp", "logit": "logit", "softmax": "softmax"}[link]
        written = []
        named: Sequence[str | None] = self.labels or [None]
        if link == "logit":
            named = [self.labels[1]]
        for label, (start, terms) in zip(named, tables, strict=True):
            category = "" if label is None else f" targetCategory={quoteattr(label)}"
            predictors = "".join(
                f'<NumericPredictor name={quoteattr(name)} coefficient="{weight!r}"/>' for name, weight in terms
            )
            written.append(f'<RegressionTable intercept="{start!r}"{category}>{predictors}</RegressionTable>')
        if link == "logit":
            written.append(f'<RegressionTable intercept="0" targetCategory={quoteattr(self.labels[0])}/>')
        return (
            f'<RegressionModel functionName="{kind}" normalizationMethod="{how}">{schema}{output}{"".join(written)}'
            "</RegressionModel>"
        )

    # Trees.

    def _mining(self, body: Forest, target: int, schema: str, output: str) -> str:
        trees = [tree for tree in range(len(body.attributes["tree_roots"])) if self._of(body, tree) == target]
        inner = self.fields.schema(None)
        divisor = "" if body.divisor == 1.0 else f'<Targets><Target rescaleFactor="{1.0 / body.divisor!r}"/></Targets>'
        written = [self._tree(body, tree, inner) for tree in trees]
        how = "average" if body.average else "sum"
        return (
            f'<MiningModel functionName="regression">{schema}{output}{divisor}'
            f'<Segmentation multipleModelMethod="{how}">{_segments(written)}</Segmentation></MiningModel>'
        )

    def _shares(self, body: Forest, schema: str, output: str) -> str:
        inner = self.fields.schema(None)
        trees = [self._tree(body, tree, inner) for tree in range(len(body.attributes["tree_roots"]))]
        return (
            f'<MiningModel functionName="classification">{schema}{output}'
            f'<Segmentation multipleModelMethod="average">{_segments(trees)}</Segmentation></MiningModel>'
        )

    def _of(self, body: Forest, tree: int) -> int:
        """The target of a tree's leaves."""
        at, leaf = int(body.attributes["tree_roots"][tree]), False
        while not leaf:
            leaf = bool(body.attributes["nodes_trueleafs"][at])
            at = int(body.attributes["nodes_truenodeids"][at])
        return int(body.attributes["leaf_targetids"][at])

    def _tree(self, body: Forest, tree: int, schema: str) -> str:
        kind = "regression" if body.table is None else "classification"
        self.count = 0
        node, _ = self._node(body, int(body.attributes["tree_roots"][tree]), False, "<True/>")
        return (
            f'<TreeModel functionName="{kind}" missingValueStrategy="defaultChild" splitCharacteristic="binarySplit">'
            f"{schema}{node}</TreeModel>"
        )

    def _node(self, body: Forest, at: int, leaf: bool, predicate: str) -> tuple[str, str]:
        """A node and its id."""
        self.count += 1
        name, a = f"{self.count}", body.attributes
        if not leaf and a["nodes_trueleafs"][at] and a["nodes_falseleafs"][at]:
            # A constant is one node whose branches meet.
            leaf_at = int(a["nodes_truenodeids"][at])
            if leaf_at == a["nodes_falsenodeids"][at]:
                at, leaf = leaf_at, True
        if leaf:
            return self._leaf(body, float(a["leaf_weights"][at]), name, predicate), name
        yes, no = self._predicates(body, at)
        first, first_id = self._node(body, int(a["nodes_truenodeids"][at]), bool(a["nodes_trueleafs"][at]), yes)
        second, second_id = self._node(body, int(a["nodes_falsenodeids"][at]), bool(a["nodes_falseleafs"][at]), no)
        default = first_id if a["nodes_missing_value_tracks_true"][at] else second_id
        return f'<Node id="{name}" defaultChild="{default}">{predicate}{first}{second}</Node>', name

    def _leaf(self, body: Forest, value: float, name: str, predicate: str) -> str:
        if body.table is None:
            return f'<Node id="{name}" score="{value!r}">{predicate}</Node>'
        shares = body.table[int(value)]
        score = self.labels[int(np.argmax(shares))]
        counts = "".join(
            f'<ScoreDistribution value={quoteattr(label)} recordCount="{share!r}" probability="{share!r}"/>'
            for label, share in zip(self.labels, shares.tolist(), strict=True)
        )
        return f'<Node id="{name}" score={quoteattr(score)}>{predicate}{counts}</Node>'

    def _predicates(self, body: Forest, at: int) -> tuple[str, str]:
        a = body.attributes
        name = quoteattr(self.fields.features[int(a["nodes_featureids"][at])])
        limit, mode = float(a["nodes_splits"][at]), int(a["nodes_modes"][at])
        if mode not in (0, 1):
            raise CannotExport("The trees of this version split on sets of categories, which is not written as PMML.")
        limit = _below(limit, strict=mode == 1, single=body.single)
        if math.isinf(limit):
            there, absent = f'<SimplePredicate field={name} operator="isNotMissing"/>', "<False/>"
            return (there, absent) if limit > 0 else (absent, there)
        return (
            f'<SimplePredicate field={name} operator="lessOrEqual" value="{limit!r}"/>',
            f'<SimplePredicate field={name} operator="greaterThan" value="{limit!r}"/>',
        )


def _below(limit: float, *, strict: bool, single: bool) -> float:
    """The double up to which x passes the test `x <= limit` (or `x < limit`), where x is rounded to single or not."""
    if math.isinf(limit):
        return limit
    if not single:
        return float(np.nextafter(limit, -np.inf)) if strict else limit
    least = np.float32(limit)
    if float(least) > limit or (strict and float(least) == limit):
        least = np.nextafter(least, np.float32(-np.inf))
    # What rounds to `least` lies up to the middle to the next; the middle itself rounds to the even one of the two.
    after = np.nextafter(least, np.float32(np.inf))
    middle = (float(least) + float(after)) / 2
    return middle if np.float32(middle) <= least else float(np.nextafter(middle, -np.inf))


def _segments(models: Sequence[str]) -> str:
    return "".join(f'<Segment id="{number}"><True/>{model}</Segment>' for number, model in enumerate(models, start=1))


def _share(label: str) -> str:
    return f"probability({label})"


def _spelled(label: Label) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _escaped(text: Any) -> str:
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
