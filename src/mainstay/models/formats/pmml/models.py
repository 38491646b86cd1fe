"""PMML's models as nodes of a graph: which module reads which, and what happens to a model's value at the end.

What a model cannot be asked for without guessing is refused by name; rows without an answer are kept out by the
signature (`fields.Needs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree.ElementTree import Element

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml import bayes, general, mining, neural, regressions, single_trees, vectors
from mainstay.models.formats.pmml.document import needed, number
from mainstay.models.formats.pmml.fields import treated
from mainstay.models.formats.pmml.reading import Reading, Result
from mainstay.models.formats.pmml.scopes import Scope

MODELS: dict[str, Callable[[Reading, Element, Scope], Result]] = {
    "TreeModel": single_trees.read_tree,
    "MiningModel": mining.read,
    "RegressionModel": regressions.read,
    "GeneralRegressionModel": general.read,
    "NaiveBayesModel": bayes.read,
    "NeuralNetwork": neural.read,
    "SupportVectorMachineModel": vectors.read,
    "Scorecard": single_trees.read_scorecard,
}
_CASTS = {"ceiling": "Ceil", "floor": "Floor", "round": "Floor"}


class Models(Reading):
    """Reads models into one graph."""

    def result(self, model: Element, outer: Scope) -> Result:
        """What a model says.

        Raises:
            CannotImport: a model that is not read, or without what it needs.
        """
        if model.tag not in MODELS:
            raise CannotImport(f"{model.tag} of the PMML file is not read: the models read are {', '.join(MODELS)}.")
        if model.get("isScorable") == "false":
            raise CannotImport(f"A {model.tag} of the PMML file says that it is not to be scored (isScorable).")
        schema = model.find("MiningSchema")
        if schema is None:
            raise CannotImport(f"A {model.tag} of the PMML file has no MiningSchema.")
        fields = treated(outer, schema, self.graph, self.needs)
        scope = outer.inside(fields, model.findall("LocalTransformations/DerivedField"))
        return self._targets(model, MODELS[model.tag](self, model, scope))

    def _targets(self, model: Element, found: Result) -> Result:
        """The value, as Targets change it; their defaults are for rows without an answer, which are refused."""
        predicted = {
            needed(entry, "name")
            for entry in model.findall("MiningSchema/MiningField")
            if entry.get("usageType") in ("target", "predicted")
        }
        for target in model.findall("Targets/Target"):
            field = target.get("field")
            if field is not None and predicted and field not in predicted:
                raise CannotImport(
                    f"Targets of the PMML file name the field {field!r}, and the model predicts "
                    f"{', '.join(map(repr, sorted(predicted)))}: name that, or leave field out."
                )
            if found.value is None:
                continue
            value, graph = found.value, self.graph
            for name, op in (("min", "Max"), ("max", "Min")):
                if target.get(name) is not None:
                    value = graph.add(op, value, graph.constant(number(target, name)))
            value = links.times(graph, value, number(target, "rescaleFactor", 1.0))
            if number(target, "rescaleConstant", 0.0):
                value = graph.add("Add", value, graph.constant(number(target, "rescaleConstant")))
            cast = target.get("castInteger")
            if cast is not None:
                if cast not in _CASTS:
                    raise CannotImport(f"castInteger={cast!r} in Targets of the PMML file is not known.")
                value = graph.add("Add", value, graph.constant(0.5)) if cast == "round" else value
                value = graph.add(_CASTS[cast], value)
            found = replace(found, value=value)
        return found
