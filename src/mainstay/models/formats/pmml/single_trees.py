"""PMML's TreeModel and Scorecard as one `TreeEnsemble`. https://dmg.org/pmml/v4-4-1/TreeModel.html"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import needed, number
from mainstay.models.formats.pmml.reading import Reading, Result
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.formats.pmml.trees import TreeMaker
from mainstay.models.formats.trees import Tree, write_sum
from mainstay.models.signature import Floats

_HOLE = (
    "A tree of the PMML file has no answer for some rows (no child is true): give it a noTrueChildStrategy of "
    "returnLastPrediction."
)
_NONE = (
    "A MiningModel of the PMML file may select no segment for a row: add a last one that holds always, with a "
    "predicate of True."
)
Scored = tuple[Tree | None, Floats]
"""A tree (None where it has one end alone) and the score of each of its ends."""


def read_tree(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value or the classes of a TreeModel."""
    trees = TreeReader(reading, scope)
    if model.get("functionName") == "regression":
        return trees.valued(trees.summed([trees.scored(model, scope)], "sum", [1.0]))
    return trees.classes(model)


def read_scorecard(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value of a Scorecard."""
    characteristics = model.find("Characteristics")
    if characteristics is None:
        raise CannotImport("A Scorecard of the PMML file has no Characteristics.")
    trees = TreeReader(reading, scope)
    made: list[Scored] = [(None, np.array([number(model, "initialScore", 0.0)]))]
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
        made.append(trees.scored(_tree_of(root), scope))
    return trees.valued(trees.summed(made, "sum", [1.0] * len(made)))


def _tree_of(root: Element) -> Element:
    model = Element("TreeModel")
    model.append(root)
    return model


class TreeReader:
    """Trees over the same fields, which stand side by side in one tensor."""

    def __init__(self, reading: Reading, scope: Scope) -> None:
        self.reading, self.scope = reading, scope
        self._places: dict[str, int] = {}

    def scored(self, model: Element, scope: Scope, hole: str = _HOLE) -> Scored:
        """A tree of numbers; `hole` is said where some of them lead to no answer."""
        tree, ends = self._made(model, scope, hole)
        return tree, np.array([np.nan if end is None else number(end, "score") for end in ends], dtype=np.float64)

    def chosen(self, root: Element) -> tuple[str, frozenset[str]]:
        """(n, 1): the score of the child of a node that is true first; and the columns that decide it."""
        tree = self.scored(_tree_of(root), self.scope, _NONE)
        return self.summed([tree], "sum", [1.0]), self._sources()

    def summed(self, trees: Sequence[Scored], how: str, weights: Sequence[float]) -> str:
        """(n, 1): the sum of trees, or their mean."""
        weighted = how.startswith("weighted")
        valued = []
        for (tree, scores), weight in zip(trees, weights, strict=True):
            factor = weight if weighted else 1.0
            valued.append(
                Tree.constant(float(scores[0]) * factor) if tree is None else replace(tree, leaves=scores * factor)
            )
        graph = self.reading.graph
        average = how == "average" and len(valued) > 1
        found = write_sum(graph, self._joined(), valued, targets=1, dtype="float64", average=average)
        if how != "weightedAverage":
            return found
        total = float(sum(weights))
        if total == 0:
            raise CannotImport("The weights of the segments of the PMML file add up to zero.")
        return graph.add("Div", found, graph.constant(total))

    def valued(self, value: str) -> Result:
        """The result with a value of these trees."""
        return Result(value=value, sources=self._sources())

    def classes(self, model: Element) -> Result:
        """The result of one tree of classes."""
        graph = self.reading.graph
        tree, ends = self._made(model, self.scope)
        table, labels = self._distribution(ends)
        trees = [tree or Tree.constant(0.0)]
        at = graph.cast(write_sum(graph, self._joined(), trees, targets=1, dtype="float64"), "int64")
        label = graph.add("Gather", graph.constant(labels), at, axis=0)
        shares = None if table is None else graph.add("Gather", graph.constant(table), links.flat(graph, at), axis=0)
        return Result(classes=self.reading.classes, label=label, probabilities=shares, sources=self._sources())

    def _made(self, model: Element, scope: Scope, hole: str = _HOLE) -> tuple[Tree | None, list[Element | None]]:
        root = model.find("Node")
        if root is None:
            raise CannotImport("A TreeModel of the PMML file has no Node.")
        for node in root.iter():
            if node.tag in ("Regression", "DecisionTree"):
                raise CannotImport(f"{node.tag} inside of a tree of the PMML file is not read.")
        tree, ends = TreeMaker(model, scope, self._places, self.reading.needs, hole).made(root)
        if tree is not None:
            names = {place: name for name, place in self._places.items()}
            numeric = tree.mode != 6
            for column in np.unique(tree.feature[numeric]).tolist():
                points = tree.threshold[numeric & (tree.feature == column)]
                self.reading.splits.setdefault(names[column], []).append(points[np.isfinite(points)])
        return tree, ends

    def _joined(self) -> str:
        """The fields side by side, as trees split on them."""
        tensors = [self.scope[name].tensor for name in self._places]
        return self.reading.joined(tensors) if tensors else self.reading.rows(np.zeros(1))

    def _sources(self) -> frozenset[str]:
        return frozenset().union(*(self.scope[name].sources for name in self._places))

    def _distribution(self, ends: Sequence[Element | None]) -> tuple[Floats | None, Floats]:
        """The probabilities of each end (ends, classes), or None, and its label (ends,)."""
        classes = self.reading.classes
        table = np.full((len(ends), len(classes)), np.nan)
        labels = np.zeros(len(ends))
        full = True
        for row, end in enumerate(ends):
            if end is None:
                continue  # rows without an answer are kept out
            shares = end.findall("ScoreDistribution")
            if shares:
                counts = {needed(each, "value"): each for each in shares}
                if unknown := [value for value in counts if value not in classes]:
                    raise CannotImport(
                        f"A tree of the PMML file counts the class {unknown[0]!r}, which the target has not."
                    )
                if all(each.get("probability") is not None for each in shares):
                    table[row] = [number(counts[c], "probability") if c in counts else 0.0 for c in classes]
                else:
                    found = [number(counts[c], "recordCount") if c in counts else 0.0 for c in classes]
                    table[row] = np.array(found) / (sum(found) or 1.0)
            else:
                full = False
            score = end.get("score")
            labels[row] = float(np.argmax(table[row])) if score is None else float(self.reading.place(score))
        return (table if full else None), labels
