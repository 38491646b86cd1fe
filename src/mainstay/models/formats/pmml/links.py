"""Inverse link functions and the functions of one number that they are made of, in double precision.

ONNX Runtime has no Erf and no Atan in double precision, so the two are written out.
https://dmg.org/pmml/v4-4-1/GeneralRegression.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mainstay.models.formats import links
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.graph import Graph

CUMULATIVE = ("logit", "probit", "cloglog", "loglog", "cauchit")

# Hart, Computer Approximations (1968), table 5666, as given by G. West, Better approximations to cumulative normal
# functions, Wilmott (2005); below the other bound, a continued fraction.
_NORMAL_ABOVE = (
    3.52624965998911e-02,
    0.700383064443688,
    6.37396220353165,
    33.912866078383,
    112.079291497871,
    221.213596169931,
    220.206867912376,
)
_NORMAL_BELOW = (
    8.83883476483184e-02,
    1.75566716318264,
    16.064177579207,
    86.7807322029461,
    296.564248779674,
    637.333633378831,
    793.826512519948,
    440.413735824752,
)
_NORMAL_FAR = 7.07106781186547
# S. Moshier, Methods and Programs for Mathematical Functions (1989): atan as x + x^3 P(x^2) / Q(x^2).
_ATAN_ABOVE = (
    -8.750608600031904122785e-1,
    -1.615753718733365076637e1,
    -7.500855792314704667340e1,
    -1.228866684490136173410e2,
    -6.485021904942025371773e1,
)
_ATAN_BELOW = (
    1.0,
    2.485846490142306297962e1,
    1.650270098316988542046e2,
    4.328810604912902668951e2,
    4.853903996359136964868e2,
    1.945506571482613964425e2,
)


def inverse(  # noqa: PLR0911 - one answer a link
    graph: Graph, link: str, eta: str, *, distribution: float | None = None, power: float | None = None
) -> str:
    """The mean from the linear predictor.

    Args:
        graph: where to.
        link: the link function's name in PMML.
        eta: the linear predictor.
        distribution: the ancillary parameter of the negative binomial (`negbin`).
        power: the parameter of `power` and `oddspower`.

    Raises:
        CannotImport: a link that is not known, or one without its parameter.
    """
    one = graph.constant(1.0)
    match link:
        case "identity":
            return eta
        case "log":
            return graph.add("Exp", eta)
        case "logc":
            return graph.add("Sub", one, graph.add("Exp", eta))
        case "logit":
            return links.sigmoid(graph, eta)
        case "probit":
            return normal(graph, eta)
        case "cloglog":
            return graph.add("Sub", one, graph.add("Exp", graph.add("Neg", graph.add("Exp", eta))))
        case "loglog":
            return graph.add("Exp", graph.add("Neg", graph.add("Exp", graph.add("Neg", eta))))
        case "cauchit":
            turned = graph.add("Mul", arctan(graph, eta), graph.constant(1.0 / math.pi))
            return graph.add("Add", graph.constant(0.5), turned)
        case "negbin":
            factor = _given(distribution, "negbin", "distParameter")
            less = graph.add("Sub", graph.add("Exp", graph.add("Neg", eta)), one)
            return graph.add("Div", one, links.times(graph, less, factor))
        case "power" | "oddspower":
            return _powered(graph, link, eta, _given(power, link, "linkParameter"))
    raise CannotImport(f"The link function {link!r} of the PMML file is not known.")


def _given(value: float | None, link: str, name: str) -> float:
    if value is None:
        raise CannotImport(f"The link function {link!r} of the PMML file needs a {name}, and there is none.")
    return value


def _powered(graph: Graph, link: str, eta: str, power: float) -> str:
    one = graph.constant(1.0)
    if link == "power":
        return graph.add("Exp", eta) if power == 0 else graph.add("Pow", eta, graph.constant(1.0 / power))
    if power == 0:
        return links.sigmoid(graph, eta)
    base = graph.add("Add", one, links.times(graph, eta, power))
    return graph.add("Div", one, graph.add("Add", one, graph.add("Pow", base, graph.constant(-1.0 / power))))


def normal(graph: Graph, x: str) -> str:
    """The cumulative distribution of the standard normal: within 3e-16 of the truth."""
    size = graph.add("Abs", x)
    bell = graph.add("Exp", graph.add("Mul", graph.add("Mul", size, size), graph.constant(-0.5)))
    near = graph.add("Div", _polynomial(graph, size, _NORMAL_ABOVE), _polynomial(graph, size, _NORMAL_BELOW))
    depth = graph.add("Add", size, graph.constant(0.65))
    for step in (4.0, 3.0, 2.0, 1.0):
        depth = graph.add("Add", size, graph.add("Div", graph.constant(step), depth))
    far = graph.add("Div", graph.constant(1.0 / math.sqrt(2.0 * math.pi)), depth)
    inside = graph.add("Less", size, graph.constant(_NORMAL_FAR))
    tail = graph.add("Mul", bell, graph.add("Where", inside, near, far))
    # Far out the bell is 0 and a polynomial infinite: their product would be no number.
    tail = graph.add("Where", graph.add("Greater", size, graph.constant(38.6)), graph.constant(0.0), tail)
    above = graph.add("Greater", x, graph.constant(0.0))
    return graph.add("Where", above, graph.add("Sub", graph.constant(1.0), tail), tail)


def arctan(graph: Graph, x: str) -> str:
    """The arcus tangent: within 3e-16 of the truth."""
    size, one = graph.add("Abs", x), graph.constant(1.0)
    large = graph.add("Greater", size, graph.constant(math.tan(3 * math.pi / 8)))
    middle = graph.add("Greater", size, graph.constant(math.tan(math.pi / 8)))
    part = graph.add("Div", graph.add("Sub", size, one), graph.add("Add", size, one))
    within = graph.add("Where", middle, part, size)
    within = graph.add("Where", large, graph.add("Neg", graph.add("Div", one, size)), within)
    start = graph.add("Where", middle, graph.constant(math.pi / 4), graph.constant(0.0))
    start = graph.add("Where", large, graph.constant(math.pi / 2), start)
    square = graph.add("Mul", within, within)
    share = graph.add("Div", _polynomial(graph, square, _ATAN_ABOVE), _polynomial(graph, square, _ATAN_BELOW))
    bent = graph.add("Mul", graph.add("Mul", within, square), share)
    return graph.add("Mul", graph.add("Sign", x), graph.add("Add", start, graph.add("Add", within, bent)))


def _polynomial(graph: Graph, x: str, factors: Sequence[float]) -> str:
    """By Horner's rule, from the highest power on."""
    found = graph.constant(factors[0])
    for factor in factors[1:]:
        found = graph.add("Add", graph.add("Mul", found, x), graph.constant(factor))
    return found
