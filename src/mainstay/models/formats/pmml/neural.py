"""PMML's NeuralNetwork, in double precision. https://dmg.org/pmml/v4-4-1/NeuralNetwork.html"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph
from mainstay.models.formats.pmml.document import needed, number, parts
from mainstay.models.formats.pmml.expressions import Expressions, line_points
from mainstay.models.formats.pmml.links import arctan
from mainstay.models.formats.pmml.reading import Reading, Result
from mainstay.models.formats.pmml.scopes import Scope
from mainstay.models.signature import Floats

MOST_WEIGHTS = 50_000_000
"""Of one layer, written out in full: 400 MB."""
_WHAT = "A NeuralNetwork"
_RADIAL = "radialBasis"
_ONE = {"logistic": "Sigmoid", "tanh": "Tanh", "exponential": "Exp", "sine": "Sin", "cosine": "Cos"}


def read(reading: Reading, model: Element, scope: Scope) -> Result:
    """The value or the classes of a NeuralNetwork."""
    network = _Network(reading, model)
    network.inputs(scope)
    layers = model.findall("NeuralLayer")
    if not layers:
        raise CannotImport("A NeuralNetwork of the PMML file has no NeuralLayer.")
    for layer in layers:
        network.layer(layer)
    outputs = model.findall("NeuralOutputs/NeuralOutput")
    if model.get("functionName") == "regression":
        return _value(network, outputs, scope)
    named, columns = [], []
    for output in outputs:
        expression = _expression(output, scope)
        if expression.tag != "NormDiscrete":
            raise CannotImport(f"{expression.tag} as an output of a classifying NeuralNetwork is not read.")
        named.append(needed(expression, "value"))
        columns.append(network.neuron(needed(output, "outputNeuron")))
    if not columns:
        raise CannotImport("A NeuralNetwork of the PMML file has no NeuralOutput.")
    return reading.classified(reading.joined(columns), named, network.sources, _WHAT)


def _value(network: _Network, outputs: list[Element], scope: Scope) -> Result:
    if len(outputs) != 1:
        raise CannotImport(f"A regression by a NeuralNetwork of the PMML file has {len(outputs)} outputs: one is read.")
    expression, value = _expression(outputs[0], scope), network.neuron(needed(outputs[0], "outputNeuron"))
    if expression.tag == "NormContinuous":
        value = _denormalized(network.reading.graph, expression, value)
    elif expression.tag != "FieldRef":
        raise CannotImport(f"{expression.tag} as the output of a NeuralNetwork of the PMML file is not read.")
    return Result(value=value, sources=network.sources)


def _expression(output: Element, scope: Scope) -> Element:
    """What an output's neuron stands for: the expression by which its target was made a number for the training."""
    derived = output.find("DerivedField")
    found = None if derived is None else next(parts(derived, "Value"), None)
    if found is None:
        raise CannotImport("A NeuralOutput of the PMML file has no expression.")
    if found.tag == "FieldRef" and (defined := scope.definition(needed(found, "field"))) is not None:
        return next(parts(defined, "Value"), found)
    return found


def _denormalized(graph: Graph, element: Element, value: str) -> str:
    """The number that NormContinuous makes this value of; beyond the ends, the lines go on."""
    points = line_points(element)
    if any(low == high for (_, low), (_, high) in pairwise(points)):
        raise CannotImport("NormContinuous at an output of the PMML file is flat, and cannot be turned around.")
    rising = points[0][1] < points[1][1]
    if any((low < high) is not rising for (_, low), (_, high) in pairwise(points)):
        raise CannotImport("NormContinuous at an output of the PMML file rises and falls, and cannot be turned around.")
    found = ""
    for (a, low), (b, high) in pairwise(points):
        share = graph.add("Div", graph.add("Sub", value, graph.constant(low)), graph.constant(high - low))
        line = graph.add("Add", graph.constant(a), links.times(graph, share, b - a))
        beyond = "Greater" if rising else "Less"
        found = graph.add("Where", graph.add(beyond, value, graph.constant(low)), line, found) if found else line
    return found


@dataclass
class _Network:
    """The neurons made so far: the columns of `layers`, by their ids."""

    reading: Reading
    model: Element
    sources: frozenset[str] = frozenset()
    layers: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def inputs(self, scope: Scope) -> None:
        columns, names = [], []
        ask = Expressions(self.reading.graph, scope, scope.functions)
        for each in self.model.findall("NeuralInputs/NeuralInput"):
            derived, name = each.find("DerivedField"), needed(each, "id")
            if derived is None:
                raise CannotImport(f"The NeuralInput {name!r} of the PMML file has no DerivedField.")
            made = ask.derived(derived, name)
            columns.append(self.reading.number(made, _WHAT))
            names.append(name)
            self.sources |= made.sources
        if not columns:
            raise CannotImport("A NeuralNetwork of the PMML file has no NeuralInput.")
        self._add(self.reading.joined(columns), names)

    def neuron(self, name: str) -> str:
        """(n, 1): what a neuron says."""
        if name not in self.places:
            raise CannotImport(f"The PMML file refers to the neuron {name!r}, which is not there.")
        place = self.places[name]
        layer = max(index for index, start in enumerate(self.starts) if start <= place)
        index = self.reading.graph.constant([place - self.starts[layer]], np.int64)
        return self.reading.graph.add("Gather", self.layers[layer], index, axis=1)

    def layer(self, layer: Element) -> None:
        graph, neurons = self.reading.graph, layer.findall("Neuron")
        names = [needed(each, "id") for each in neurons]
        if not neurons:
            raise CannotImport("A NeuralLayer of the PMML file has no Neuron.")
        how = layer.get("activationFunction") or needed(self.model, "activationFunction")
        x, weights, connected = self._weights(neurons, once=how == _RADIAL)
        if how == _RADIAL:
            found = self._radial(x, weights, connected, layer, neurons)
        else:
            bias = np.array([number(each, "bias", 0.0) for each in neurons])
            found = graph.add("Add", graph.add("MatMul", x, graph.constant(weights)), graph.constant(bias))
            found = self._active(how, found, layer)
        self._add(self._normal(found, layer), names)

    def _add(self, tensor: str, names: list[str]) -> None:
        start = len(self.places)
        for place, name in enumerate(names, start=start):
            if name in self.places:
                raise CannotImport(f"Two neurons of the PMML file are called {name!r}.")
            self.places[name] = place
        self.layers.append(tensor)
        self.starts.append(start)

    def _weights(self, neurons: list[Element], *, once: bool) -> tuple[str, Floats, Floats]:
        """What the layer is connected with (n, inputs), the weights (inputs, neurons), and 1 where there is one."""
        all_ = [[(self._from(con), number(con, "weight")) for con in each.findall("Con")] for each in neurons]
        low = self.starts[-1]
        if any(place < low for cons in all_ for place, _ in cons):
            x, low = self.reading.joined(self.layers), 0
        else:
            x = self.layers[-1]
        width = len(self.places) - low
        if width * len(neurons) > MOST_WEIGHTS:
            raise CannotImport(
                f"A NeuralLayer of the PMML file has {len(neurons):,} neurons over {width:,} others, and at most "
                f"{MOST_WEIGHTS:,} weights are read."
            )
        weights, connected = np.zeros((width, len(neurons))), np.zeros((width, len(neurons)))
        for column, cons in enumerate(all_):
            for place, weight in cons:
                if once and connected[place - low, column]:
                    raise CannotImport(f"The neuron {neurons[column].get('id')!r} of the PMML file is connected twice.")
                weights[place - low, column] += weight
                connected[place - low, column] = 1.0
        return x, weights, connected

    def _from(self, con: Element) -> int:
        name = needed(con, "from")
        if name not in self.places:
            raise CannotImport(f"The PMML file connects the neuron {name!r}, which is in no earlier layer.")
        return self.places[name]

    def _set(self, name: str, layer: Element, otherwise: float | None = None) -> float:
        """A number of the layer, or else of the network."""
        if layer.get(name) is not None:
            return number(layer, name)
        return number(self.model, name, otherwise)

    def _radial(self, x: str, weights: Floats, connected: Floats, layer: Element, neurons: list[Element]) -> str:
        """exp(f ln(altitude) - z / (2 width^2)), z the squared distance over the f connections."""
        graph = self.reading.graph
        widths = [number(e, "width") if e.get("width") is not None else self._set("width", layer) for e in neurons]
        heights = [
            number(e, "altitude") if e.get("altitude") is not None else self._set("altitude", layer, 1.0)
            for e in neurons
        ]
        if min(heights) <= 0 or 0.0 in widths:
            raise CannotImport("A radial basis of the PMML file has a width of zero, or an altitude that is not above.")
        fan = connected.sum(axis=0)
        start = graph.constant(fan * np.log(heights))
        each = graph.add("Sub", graph.add("Unsqueeze", x, graph.constant([1], np.int64)), graph.constant(weights.T))
        each = graph.add("Mul", graph.add("Mul", each, each), graph.constant(connected.T))
        square = graph.add("ReduceSum", each, graph.constant([2], np.int64), keepdims=0)
        away = graph.add("Div", square, graph.constant(2.0 * np.square(widths)))
        return graph.add("Exp", graph.add("Sub", start, away))

    def _active(self, how: str, z: str, layer: Element) -> str:  # noqa: PLR0911 - one answer a function
        graph, one = self.reading.graph, self.reading.graph.constant(1.0)
        if how in _ONE:
            return graph.add(_ONE[how], z)
        match how:
            case "identity":
                return z
            case "threshold":
                limit = graph.constant(self._set("threshold", layer, 0.0))
                return graph.cast(graph.add("Greater", z, limit), "float64")
            case "reciprocal":
                return graph.add("Div", one, z)
            case "square":
                return graph.add("Mul", z, z)
            case "Gauss":
                return graph.add("Exp", graph.add("Neg", graph.add("Mul", z, z)))
            case "Elliott":
                return graph.add("Div", z, graph.add("Add", one, graph.add("Abs", z)))
            case "arctan":
                return graph.add("Mul", arctan(graph, z), graph.constant(2.0 / math.pi))
            case "rectifier":
                return graph.add("Max", z, graph.constant(0.0))
        raise CannotImport(f"The activationFunction {how!r} of the PMML file is not known.")

    def _normal(self, found: str, layer: Element) -> str:
        how = layer.get("normalizationMethod") or self.model.get("normalizationMethod", "none")
        graph = self.reading.graph
        match how:
            case "none":
                return found
            case "softmax":
                return links.softmax(graph, found)
            case "simplemax":
                total = graph.add("ReduceSum", found, graph.constant([1], np.int64), keepdims=1)
                return graph.add("Div", found, total)
        raise CannotImport(f"The normalizationMethod {how!r} of a NeuralNetwork of the PMML file is not known.")
