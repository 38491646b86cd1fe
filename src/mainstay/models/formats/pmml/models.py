"""PMML's models as nodes of a graph: trees, ensembles, regressions, scorecards.

What a model cannot be asked for without guessing is refused by name; rows without an answer are kept out by the
signature (`fields.Needs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import needed, number, parts
from mainstay.models.formats.pmml.expressions import Expressions
from mainstay.models.formats.pmml.fields import Field, Needs, treated
from mainstay.models.formats.pmml.trees import TreeMaker
from mainstay.models.formats.trees import Tree, write_sum
from mainstay.models.signature import Floats

MODELS = ("TreeModel", "MiningModel", "RegressionModel", "Scorecard")
SUMMED = ("sum", "average", "weightedAverage")
VOTED = ("majorityVote", "weightedMajorityVote")


@dataclass(frozen=True)
class Result:
    """What a model says: `value` (n, 1), or `label` (n, 1) as class positions and, where known, `probabilities`."""

    value: str | None = None
    classes: tuple[str, ...] = ()
    label: str | None = None
    probabilities: str | None = None
    missing: bool = False
    sources: frozenset[str] = frozenset()


class Models:
    """Reads models into one graph."""

    def __init__(self, graph: Graph, needs: Needs, classes: Sequence[str], everywhere: frozenset[str]) -> None:
        self.graph, self.needs, self.classes, self.everywhere = graph, needs, tuple(classes), everywhere
        self.splits: dict[str, list[Floats]] = {}
        """Split points by field, as trees ask."""

    def result(self, model: Element, outer: Mapping[str, Field]) -> Result:
        """What a model says."""
        if model.tag not in MODELS:
            raise CannotImport(f"{model.tag} of the PMML file is not read: the models read are {', '.join(MODELS)}.")
        schema = model.find("MiningSchema")
        if schema is None:
            raise CannotImport(f"A {model.tag} of the PMML file has no MiningSchema.")
        scope = treated(outer, schema, self.graph, self.needs)
        scope = {**self._global(outer), **scope}
        local = model.find("LocalTransformations")
        for element in () if local is None else local.findall("DerivedField"):
            scope[needed(element, "name")] = Expressions(self.graph, scope).derived(element)
        read = {"TreeModel": self._tree, "MiningModel": self._mining, "RegressionModel": self._regression}.get(
            model.tag, self._scorecard
        )
        return self._targets(model, read(model, scope))

    def _global(self, outer: Mapping[str, Field]) -> dict[str, Field]:
        """The fields of the TransformationDictionary, which every model sees."""
        return {name: each for name, each in outer.items() if name in self.everywhere}

    def _outputs(self, model: Element, found: Result) -> dict[str, Field]:
        output = model.find("Output")
        fields: dict[str, Field] = {}
        for element in () if output is None else output.findall("OutputField"):
            name, feature = needed(element, "name"), element.get("feature", "predictedValue")
            tensor = None
            if feature == "predictedValue" and found.value is not None:
                tensor = found.value
            elif feature == "probability" and found.probabilities is not None and element.get("value") in found.classes:
                place = found.classes.index(element.get("value") or "")
                tensor = self.graph.add("Gather", found.probabilities, self.graph.constant([place], np.int64), axis=1)
            elif feature == "transformedValue":
                fields[name] = Expressions(self.graph, fields).derived(element)
            if tensor is not None:
                single = element.get("dataType") == "float"
                if single:
                    tensor = self.graph.cast(self.graph.cast(tensor, "float32"), "float64")
                fields[name] = Field(
                    name, tensor, "number", missing=found.missing, single=single, sources=found.sources
                )
        return fields

    def _targets(self, model: Element, found: Result) -> Result:
        targets = model.find("Targets")
        for target in () if targets is None else targets.findall("Target"):
            if found.value is None:
                if target.find("TargetValue") is not None:
                    raise CannotImport("Prior probabilities in Targets of the PMML file are not read.")
                continue
            value, graph = found.value, self.graph
            for name, op in (("min", "Max"), ("max", "Min")):
                if target.get(name) is not None:
                    value = graph.add(op, value, graph.constant(number(target, name)))
            if target.get("rescaleFactor") is not None:
                value = links.times(graph, value, number(target, "rescaleFactor"))
            if number(target, "rescaleConstant", 0.0):
                value = graph.add("Add", value, graph.constant(number(target, "rescaleConstant")))
            cast = target.get("castInteger")
            if cast is not None:
                if cast not in ("ceiling", "floor"):
                    raise CannotImport(f"castInteger={cast!r} in Targets of the PMML file is not read.")
                value = graph.add("Ceil" if cast == "ceiling" else "Floor", value)
            found = replace(found, value=value)
        return found

    # Trees.

    def _tree(self, model: Element, scope: Mapping[str, Field]) -> Result:
        places: dict[str, int] = {}
        tree, ends = self._made(model, scope, places)
        x = self._joined(scope, places)
        if model.get("functionName") == "regression":
            return self._result(scope, places, value=self._sum(x, [(tree, _scores(ends))], "sum", ()))
        table, labels = self._distribution(ends)
        at = self._place(x, tree)
        label = self.graph.add("Gather", self.graph.constant(labels), at, axis=0)
        probabilities = (
            None
            if table is None
            else self.graph.add("Gather", self.graph.constant(table), links.flat(self.graph, at), axis=0)
        )
        return self._result(scope, places, classes=self.classes, label=label, probabilities=probabilities)

    def _made(
        self, model: Element, scope: Mapping[str, Field], places: dict[str, int]
    ) -> tuple[Tree | None, list[Element | None]]:
        root = model.find("Node")
        if root is None:
            raise CannotImport("A TreeModel of the PMML file has no Node.")
        for node in root.iter():
            if node.tag in ("Regression", "DecisionTree"):
                raise CannotImport(f"{node.tag} inside of a tree of the PMML file is not read.")
        tree, ends = TreeMaker(model, scope, places, self.needs).made(root)
        if tree is not None:
            names = {place: name for name, place in places.items()}
            numeric = tree.mode != 6
            for column in np.unique(tree.feature[numeric]).tolist():
                points = tree.threshold[numeric & (tree.feature == column)]
                self.splits.setdefault(names[column], []).append(points[np.isfinite(points)])
        return tree, ends

    def _joined(self, scope: Mapping[str, Field], places: dict[str, int]) -> str:
        """The fields side by side, as trees split on them."""
        tensors = [scope[name].tensor for name in places]
        if not tensors:
            return next(iter(scope.values())).tensor
        return tensors[0] if len(tensors) == 1 else self.graph.add("Concat", *tensors, axis=1)

    def _place(self, x: str, tree: Tree | None) -> str:
        """(n, 1) int64: the end that a row comes to."""
        trees = [tree or Tree.constant(0.0)]
        return self.graph.cast(write_sum(self.graph, x, trees, targets=1, dtype="float64"), "int64")

    def _sum(self, x: str, trees: Sequence[tuple[Tree | None, Floats]], how: str, weights: Sequence[float]) -> str:
        valued = []
        for place, (tree, scores) in enumerate(trees):
            factor = weights[place] if how == "weightedAverage" else 1.0
            valued.append(
                Tree.constant(float(scores[0]) * factor) if tree is None else replace(tree, leaves=scores * factor)
            )
        found = write_sum(
            self.graph, x, valued, targets=1, dtype="float64", average=how == "average" and len(valued) > 1
        )
        if how == "weightedAverage":
            return self.graph.add("Div", found, self.graph.constant(float(sum(weights))))
        return found

    def _distribution(self, ends: Sequence[Element | None]) -> tuple[Floats | None, Floats]:
        """The probabilities of each end (ends, classes), or None, and its label (ends,)."""
        table = np.full((len(ends), len(self.classes)), np.nan)
        labels = np.zeros(len(ends))
        full = True
        for row, end in enumerate(ends):
            if end is None:
                continue  # rows without an answer are kept out
            shares = end.findall("ScoreDistribution")
            if shares:
                counts = {needed(each, "value"): each for each in shares}
                if unknown := [value for value in counts if value not in self.classes]:
                    raise CannotImport(
                        f"A tree of the PMML file counts the class {unknown[0]!r}, which the target has not."
                    )
                if all(each.get("probability") is not None for each in shares):
                    found = [number(counts[c], "probability") if c in counts else 0.0 for c in self.classes]
                    table[row] = found
                else:
                    found = [number(counts[c], "recordCount") if c in counts else 0.0 for c in self.classes]
                    table[row] = np.array(found) / (sum(found) or 1.0)
            else:
                full = False
            score = end.get("score")
            labels[row] = float(np.argmax(table[row])) if score is None else float(self._class(score))
        return (table if full else None), labels

    def _class(self, text: str) -> int:
        if text not in self.classes:
            raise CannotImport(f"A model of the PMML file answers {text!r}, which is no class of the target.")
        return self.classes.index(text)

    # Ensembles.

    def _mining(self, model: Element, scope: Mapping[str, Field]) -> Result:
        segmentation = model.find("Segmentation")
        if segmentation is None:
            raise CannotImport("A MiningModel of the PMML file has no Segmentation, and others are not read.")
        how = needed(segmentation, "multipleModelMethod")
        segments = segmentation.findall("Segment")
        inner = []
        for segment in segments:
            if segment.find("True") is None:
                raise CannotImport(
                    "A Segment of the PMML file has a condition, and only segments that hold always are read."
                )
            inner.append(next(child for child in parts(segment, "True", "VariableWeight")))
            only_true = segment.find("VariableWeight")
            if only_true is not None:
                raise CannotImport("VariableWeight of the PMML file is not read.")
        if not inner:
            raise CannotImport("A Segmentation of the PMML file has no segments.")
        weights = [number(segment, "weight", 1.0) for segment in segments]
        if how == "modelChain":
            return self._chain(inner, scope)
        regression = model.get("functionName") == "regression"
        if how == "selectFirst":
            return self.result(inner[0], scope)
        if regression and how in SUMMED and all(_plain_tree(each) for each in inner):
            return self._forest(inner, scope, how, weights)
        results = [self.result(each, scope) for each in inner]
        if regression and how in SUMMED:
            return self._added(results, how, weights)
        if not regression and how in (*VOTED, "average", "weightedAverage"):
            return self._shared(results, how, weights)
        raise CannotImport(
            f"The multipleModelMethod {how!r} of the PMML file is not read for a {model.get('functionName')}."
        )

    def _chain(self, models: Sequence[Element], scope: Mapping[str, Field]) -> Result:
        known = dict(scope)
        found = Result()
        for each in models:
            found = self.result(each, known)
            if each is not models[-1]:
                known.update(self._outputs(each, found))
        return found

    def _forest(
        self, models: Sequence[Element], scope: Mapping[str, Field], how: str, weights: Sequence[float]
    ) -> Result:
        places: dict[str, int] = {}
        made = []
        for each in models:
            schema = each.find("MiningSchema")
            assert schema is not None
            inside = {**self._global(scope), **treated(scope, schema, self.graph, self.needs)}
            if any(inside[name].tensor != scope[name].tensor for name in inside if name in scope):
                raise CannotImport(
                    "A tree of a forest in the PMML file treats values in its own way, which is not read."
                )
            tree, ends = self._made(each, scope, places)
            made.append((tree, _scores(ends)))
        x = self._joined(scope, places)
        return self._result(scope, places, value=self._sum(x, made, how, weights))

    def _added(self, results: Sequence[Result], how: str, weights: Sequence[float]) -> Result:
        graph, found = self.graph, ""
        for place, each in enumerate(results):
            assert each.value is not None
            part = links.times(graph, each.value, weights[place] if how == "weightedAverage" else 1.0)
            found = part if not place else graph.add("Add", found, part)
        if how != "sum":
            total = float(sum(weights)) if how == "weightedAverage" else float(len(results))
            found = graph.add("Div", found, graph.constant(total))
        return Result(value=found, missing=any(r.missing for r in results), sources=_sources(results))

    def _shared(self, results: Sequence[Result], how: str, weights: Sequence[float]) -> Result:
        """Mean probabilities, or votes as shares."""
        graph, found = self.graph, ""
        weights = weights if how.startswith("weighted") else [1.0] * len(results)
        for place, each in enumerate(results):
            if how in VOTED:
                assert each.label is not None
                every = graph.constant(np.arange(len(self.classes), dtype=np.float64)[None, :])
                part = graph.cast(graph.add("Equal", each.label, every), "float64")
            elif each.probabilities is None:
                raise CannotImport("A model of the PMML file gives no probabilities to average.")
            else:
                part = each.probabilities
            part = links.times(graph, part, weights[place])
            found = part if not place else graph.add("Add", found, part)
        probabilities = graph.add("Div", found, graph.constant(float(sum(weights))))
        return Result(
            classes=self.classes,
            probabilities=probabilities,
            label=self._most(probabilities),
            missing=any(r.missing for r in results),
            sources=_sources(results),
        )

    def _most(self, probabilities: str) -> str:
        graph = self.graph
        return graph.cast(graph.add("ArgMax", probabilities, axis=1, keepdims=1), "float64")

    def _result(
        self,
        scope: Mapping[str, Field],
        places: dict[str, int],
        *,
        value: str | None = None,
        classes: tuple[str, ...] = (),
        label: str | None = None,
        probabilities: str | None = None,
    ) -> Result:
        sources = frozenset().union(*(scope[name].sources for name in places))
        return Result(value, classes, label, probabilities, False, sources)

    # Regression.

    def _regression(self, model: Element, scope: Mapping[str, Field]) -> Result:
        tables = model.findall("RegressionTable")
        how = model.get("normalizationMethod", "none")
        scores, sources = [], frozenset[str]()
        for table in tables:
            score, used = self._table(table, scope)
            scores.append(score)
            sources |= used
        graph = self.graph
        if model.get("functionName") == "regression":
            if len(scores) != 1:
                raise CannotImport("A regression of the PMML file has several tables.")
            if how in ("softmax", "logit"):
                return Result(value=links.sigmoid(graph, scores[0]), sources=sources)
            if how in ("none", "exp"):
                return Result(value=scores[0] if how == "none" else graph.add("Exp", scores[0]), sources=sources)
            raise CannotImport(f"The normalizationMethod {how!r} of the PMML file is not read for a regression.")
        named = [needed(table, "targetCategory") for table in tables]
        raw = graph.add("Concat", *scores, axis=1) if len(scores) > 1 else scores[0]
        if how == "softmax" and len(scores) > 1:
            shares = links.softmax(graph, raw)
        elif how == "logit" and len(scores) == 2:
            first = links.sigmoid(graph, scores[0])
            shares = graph.add("Concat", first, graph.add("Sub", graph.constant(1.0), first), axis=1)
        elif how == "none" and len(scores) > 1:
            total = graph.add("Concat", *scores[:-1], axis=1) if len(scores) > 2 else scores[0]
            rest = graph.add(
                "Sub", graph.constant(1.0), graph.add("ReduceSum", total, graph.constant([1], np.int64), keepdims=1)
            )
            shares = graph.add("Concat", total, rest, axis=1)
        elif how == "simplemax" and len(scores) > 1:
            shares = links.shares(graph, raw)
        else:
            raise CannotImport(
                f"The normalizationMethod {how!r} of the PMML file is not read for {len(scores)} classes."
            )
        order = [named.index(c) if c in named else -1 for c in self.classes]
        if sorted(order) != list(range(len(named))):
            raise CannotImport(
                f"The tables of a regression in the PMML file are of {', '.join(named)}, and the target has "
                f"{', '.join(self.classes)}."
            )
        if order != list(range(len(order))):
            shares = graph.add("Gather", shares, graph.constant(order, np.int64), axis=1)
        return Result(classes=self.classes, probabilities=shares, label=self._most(shares), sources=sources)

    def _table(self, table: Element, scope: Mapping[str, Field]) -> tuple[str, frozenset[str]]:
        graph, sources = self.graph, frozenset[str]()
        fields, factors, others = [], [], []
        ask = Expressions(graph, scope)
        for term in parts(table):
            if term.tag == "NumericPredictor":
                made = ask.field(needed(term, "name"))
                self._must(made)
                exponent = number(term, "exponent", 1.0)
                if exponent != 1.0:
                    raised = graph.add("Pow", made.tensor, graph.constant(exponent))
                    others.append(links.times(graph, raised, number(term, "coefficient")))
                else:
                    fields.append(made.tensor)
                    factors.append(number(term, "coefficient"))
            elif term.tag == "CategoricalPredictor":
                made = ask.field(needed(term, "name"))
                if made.kind != "code":
                    raise CannotImport(f"A CategoricalPredictor of the PMML file names the number {made.name!r}.")
                fields.append(
                    graph.cast(
                        graph.add("Equal", made.tensor, graph.constant(made.code(needed(term, "value")))), "float64"
                    )
                )
                factors.append(number(term, "coefficient"))
            elif term.tag == "PredictorTerm":
                product = graph.constant([[number(term, "coefficient")]])
                for reference in term.findall("FieldRef"):
                    made = ask.field(needed(reference, "field"), reference)
                    self._must(made)
                    product = graph.add("Mul", product, made.tensor)
                    sources |= made.sources
                others.append(product)
                continue
            else:
                raise CannotImport(f"{term.tag} in a RegressionTable of the PMML file is not read.")
            sources |= made.sources
        found = graph.constant([[number(table, "intercept", 0.0)]])
        if fields:
            joined = graph.add("Concat", *fields, axis=1) if len(fields) > 1 else fields[0]
            found = graph.add("Add", graph.add("MatMul", joined, graph.constant(np.array(factors)[:, None])), found)
        else:
            zero = graph.add("Mul", next(iter(scope.values())).tensor, graph.constant(0.0))
            found = graph.add("Add", graph.add("Where", graph.add("IsNaN", zero), graph.constant(0.0), zero), found)
        for each in others:
            found = graph.add("Add", found, each)
        return found, sources

    def _must(self, made: Field) -> None:
        """A number of a sum must be there."""
        if made.kind != "number":
            raise CannotImport(
                f"The categories of {made.name!r} are used as numbers in the PMML file, which is not read."
            )
        if not made.missing:
            return
        if not self.needs.ask(self.needs.present, made.sources):
            raise CannotImport(
                f"A regression of the PMML file has no answer where {made.name!r} is missing, as it may become."
            )

    # Scorecards.

    def _scorecard(self, model: Element, scope: Mapping[str, Field]) -> Result:
        characteristics = model.find("Characteristics")
        if characteristics is None:
            raise CannotImport("A Scorecard of the PMML file has no Characteristics.")
        places: dict[str, int] = {}
        made: list[tuple[Tree | None, Floats]] = []
        for each in characteristics.findall("Characteristic"):
            # The first attribute whose predicate is true gives its points, as the children of a node do.
            root = Element("Node")
            root.append(Element("True"))
            for attribute in each.findall("Attribute"):
                if attribute.find("ComplexPartialScore") is not None:
                    raise CannotImport("ComplexPartialScore of the PMML file is not read.")
                kid = Element("Node", {"score": needed(attribute, "partialScore")})
                kid.extend([child for child in attribute if child.tag != "Extension"])
                root.append(kid)
            tree, ends = self._made_of(root, scope, places)
            made.append((tree, _scores(ends)))
        start = number(model, "initialScore", 0.0)
        value = self._sum(self._joined(scope, places), [(None, np.array([start])), *made], "sum", ())
        return self._result(scope, places, value=value)

    def _made_of(
        self, root: Element, scope: Mapping[str, Field], places: dict[str, int]
    ) -> tuple[Tree | None, list[Element | None]]:
        model = Element("TreeModel")
        model.append(root)
        return self._made(model, scope, places)


def _plain_tree(model: Element) -> bool:
    return model.tag == "TreeModel" and all(model.find(tag) is None for tag in ("Targets", "LocalTransformations"))


def _scores(ends: Sequence[Element | None]) -> Floats:
    return np.array([np.nan if end is None else number(end, "score") for end in ends], dtype=np.float64)


def _sources(results: Sequence[Result]) -> frozenset[str]:
    return frozenset().union(*(each.sources for each in results))
