"""PMML's trees as trees of `TreeEnsemble`: multi-way splits, compound predicates and every way with missing values.

Along each path it is kept what is known of the fields, so that a test whose outcome is known is not made: of two
children that are the opposite of each other, one test is left. A row for which no child is true has no answer. Where
that comes of a missing or an unknown value, the columns behind it are noted as needed, and the signature refuses such
rows by name; where it comes of a number, the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.pmml.document import array, needed
from mainstay.models.formats.pmml.fields import Field, Needs
from mainstay.models.formats.trees import LEQ, MEMBER, Tree

MOST_NODES = 3_000_000
PREDICATES = ("SimplePredicate", "SimpleSetPredicate", "CompoundPredicate", "True", "False")
Goal = tuple[Any, ...]
"""Where to go: ("node", element), ("kids", element, place), ("leaf", element), ("null",), or the rest of a compound."""


@dataclass(frozen=True)
class Known:
    """What is known of fields on a path."""

    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The least and greatest number that a field may have, if it is present."""
    codes: Mapping[str, frozenset[float]] = field(default_factory=dict)
    gone: Mapping[str, bool] = field(default_factory=dict)
    """Whether a field is missing, where that is known."""

    def told(self, name: str, *, gone: bool) -> Known:
        return replace(self, gone={**self.gone, name: gone})

    def untold(self, name: str) -> Known:
        return replace(self, gone={key: value for key, value in self.gone.items() if key != name})


class TreeMaker:
    """Makes one tree; `features` collects the fields that trees split on, by place."""

    def __init__(
        self, model: Element, scope: Mapping[str, Field], features: dict[str, int], needs: Needs, hole: str
    ) -> None:
        """`hole` is what is said where a number leads to no answer."""
        self.hole = hole
        self.scope, self.features, self.needs = scope, features, needs
        self.missing = model.get("missingValueStrategy", "none")
        self.last = model.get("noTrueChildStrategy", "returnNullPrediction") == "returnLastPrediction"
        self.ends: list[Element | None] = []
        """The element that each leaf answers with; None for no answer."""
        self.nodes: list[list[Any]] = []  # feature, threshold, mode, yes, no, missing_yes, members

    def made(self, root: Element) -> tuple[Tree | None, list[Element | None]]:
        """The tree with the numbers of its ends as leaves; None where there is one end alone."""
        try:
            self._test(_predicate(root), ("node", root), ("null",), ("null",), Known())
        except RecursionError:
            raise CannotImport("A tree of the PMML file is too deep.") from None
        if not self.nodes:
            return None, self.ends
        columns = list(zip(*self.nodes, strict=True))
        return (
            Tree(
                feature=np.array(columns[0], dtype=np.int64),
                threshold=np.array(columns[1], dtype=np.float64),
                mode=np.array(columns[2], dtype=np.uint8),
                yes=np.array(columns[3], dtype=np.int64),
                no=np.array(columns[4], dtype=np.int64),
                missing_yes=np.array(columns[5], dtype=np.bool_),
                members=tuple(members for mode, members in zip(columns[2], columns[6], strict=True) if mode == MEMBER),
                leaves=np.arange(len(self.ends), dtype=np.float64),
            ),
            self.ends,
        )

    # Where to go.

    def _go(self, goal: Goal, known: Known) -> int:  # noqa: PLR0911 - one case a goal
        goal = self._settled(goal, known)
        match goal[0]:
            case "node":
                return self._go(("kids", goal[1], 0) if _kids(goal[1]) else ("leaf", goal[1]), known)
            case "kids":
                element, place = goal[1], goal[2]
                kids = _kids(element)
                if place == len(kids):
                    return self._go(("leaf", element) if self.last else ("null",), known)
                yes, no = ("node", kids[place]), ("kids", element, place + 1)
                return self._test(_predicate(kids[place]), yes, no, self._unknown(element, kids, no), known)
            case "leaf":
                if goal[1].get("score") is None and goal[1].find("ScoreDistribution") is None:
                    return self._null(known)
                return self._end(goal[1])
            case "null":
                return self._null(known)
            case _:
                return self._compound(goal[0], goal[1], goal[2], *goal[3:], known=known)

    def _unknown(self, element: Element, kids: list[Element], no: Goal) -> Goal:
        match self.missing:
            case "none":
                return no
            case "lastPrediction":
                return ("leaf", element)
            case "defaultChild":
                name = element.get("defaultChild")
                if name is None:
                    return ("null",)
                child = next((kid for kid in kids if kid.get("id") == name), None)
                if child is None:
                    raise CannotImport(
                        f"A node of the PMML file has the defaultChild {name!r}, which is no child of it."
                    )
                return ("node", child)
            case "nullPrediction" | "weightedConfidence" | "aggregateNodes":
                # The last two answer with several leaves at once: rows that need them are refused as missing.
                return ("null",)
        raise CannotImport(f"The missingValueStrategy {self.missing!r} is not known.")

    def _end(self, element: Element | None) -> int:
        self.ends.append(element)
        return ~(len(self.ends) - 1)

    def _null(self, known: Known) -> int:
        """No answer: because a field is missing, or a category unknown."""
        missing = {name for name, gone in known.gone.items() if gone}
        unknown = {name for name, codes in known.codes.items() if -1.0 in codes}
        if not missing and not unknown:
            raise CannotImport(self.hole)
        for name in missing:
            self._need(self.needs.present, name, "missing")
        if not missing:
            for name in unknown:
                self._need(self.needs.known, name, "not known")
        return self._end(None)

    def _need(self, needed_: set[str], name: str, what: str) -> None:
        sources = self.scope[name].sources
        if not self.needs.ask(needed_, sources):
            raise CannotImport(f"A tree of the PMML file has no answer where {name!r} is {what}, which it may become.")

    # Tests.

    def _test(  # noqa: C901, PLR0911 - one case a predicate
        self, predicate: Element, yes: Goal, no: Goal, unknown: Goal, known: Known
    ) -> int:
        match predicate.tag:
            case "True":
                return self._go(yes, known)
            case "False":
                return self._go(no, known)
            case "CompoundPredicate":
                inner = tuple(child for child in predicate if child.tag in PREDICATES)
                return self._compound(needed(predicate, "booleanOperator"), inner, False, yes, no, unknown, known=known)
            case "SimpleSetPredicate":
                made, codes = self._set(predicate)
                if needed(predicate, "booleanOperator") == "isNotIn":
                    yes, no = no, yes
                return self._member(made, codes, yes, no, unknown, known)
        made = self._field(predicate)
        operator = needed(predicate, "operator")
        if operator in ("isMissing", "isNotMissing"):
            there, absent = (no, yes) if operator == "isMissing" else (yes, no)
            return self._present(made, there, absent, known)
        value = needed(predicate, "value")
        if operator in ("notEqual", "greaterThan", "greaterOrEqual"):
            yes, no = no, yes
        if made.kind == "code":
            if operator not in ("equal", "notEqual"):
                raise CannotImport(f"The categories of {made.name!r} are compared by {operator}, which is not read.")
            return self._member(made, frozenset([made.code(value)]), yes, no, unknown, known)
        limit = made.threshold(value)
        below = (
            float(np.nextafter(np.float32(limit), np.float32(-np.inf)))
            if made.single
            else float(np.nextafter(limit, -np.inf))
        )
        match operator:
            case "lessOrEqual" | "greaterThan":
                return self._at_most(made, limit, yes, no, unknown, known)
            case "lessThan" | "greaterOrEqual":
                return self._at_most(made, below, yes, no, unknown, known)
            case "equal" | "notEqual":
                equal: Goal = ("at most", (made, below), False, no, yes, unknown)
                return self._at_most(made, limit, equal, no, unknown, known)
        raise CannotImport(f"The operator {operator!r} is not known.")

    def _compound(  # noqa: PLR0917 - a test, where it leads, and what is known
        self, kind: str, rest: tuple[Any, ...], odd: bool, yes: Goal, no: Goal, unknown: Goal, *, known: Known
    ) -> int:
        """The rest of a compound predicate, in Kleene's logic; `odd` is what was found so far."""
        if kind == "at most":
            return self._at_most(rest[0], rest[1], yes, no, unknown, known)
        ends = {
            "and": (unknown if odd else yes),
            "or": (unknown if odd else no),
            "xor": (yes if odd else no),
            "surrogate": unknown,
        }
        if kind not in ends:
            raise CannotImport(f"The booleanOperator {kind!r} is not known.")
        if not rest:
            return self._go(ends[kind], known)
        first, others = rest[0], rest[1:]

        def on(found: bool) -> Goal:
            return (kind, others, found, yes, no, unknown)

        match kind:
            case "and":
                return self._test(first, on(odd), no, on(True), known)
            case "or":
                return self._test(first, yes, on(odd), on(True), known)
            case "xor":
                return self._test(first, on(not odd), on(odd), unknown, known)
        return self._test(first, yes, no, on(False), known)

    def _at_most(self, made: Field, limit: float, yes: Goal, no: Goal, unknown: Goal, known: Known) -> int:  # noqa: PLR0917
        low, high = known.bounds.get(made.name, (-np.inf, np.inf))
        if high <= limit or low > limit:
            return self._split(made, None, (yes, known) if high <= limit else (no, known), None, unknown, known)
        above = np.nextafter(np.float32(limit), np.float32(np.inf)) if made.single else np.nextafter(limit, np.inf)
        sides = [
            replace(known, bounds={**known.bounds, made.name: span}) for span in ((low, limit), (float(above), high))
        ]
        return self._split(made, (limit, LEQ, ()), (yes, sides[0]), (no, sides[1]), unknown, known)

    def _member(self, made: Field, codes: frozenset[float], yes: Goal, no: Goal, unknown: Goal, known: Known) -> int:  # noqa: PLR0917
        every = frozenset(float(i) for i in range(len(made.values))) | (frozenset() if made.closed else {-1.0})
        allowed = known.codes.get(made.name, every)
        inside, outside = allowed & codes, allowed - codes
        if not inside or not outside:
            goal = (no, known) if not inside else (yes, known)
            return self._split(made, None, goal, None, unknown, known)
        sides = [replace(known, codes={**known.codes, made.name: part}) for part in (inside, outside)]
        members = tuple(sorted(code for code in inside if code >= 0))
        if -1.0 in inside:
            raise CannotImport(f"A set of {made.name!r} holds what is unknown.")
        return self._split(made, (0.0, MEMBER, members), (yes, sides[0]), (no, sides[1]), unknown, known)

    def _split(  # noqa: PLR0917
        self,
        made: Field,
        test: tuple[float, int, tuple[float, ...]] | None,
        yes: tuple[Goal, Known],
        no: tuple[Goal, Known] | None,
        unknown: Goal,
        known: Known,
    ) -> int:
        """One test (none where its outcome is known: then `yes` is where a present value goes), and missing values."""
        gone = known.gone.get(made.name)
        if gone is True:
            return self._go(unknown, known)
        if not made.missing or gone is False:
            if test is None or no is None:
                return self._go(*yes)
            return self._node(made, test, yes, no, missing_yes=False)
        away = known.told(made.name, gone=True)
        goal = self._settled(unknown, away)
        there = [(g, k.told(made.name, gone=False)) for g, k in ((yes, no) if no else (yes,))]
        for place, (side, facts) in enumerate(there):
            if self._settled(side, facts) == goal and goal[0] in ("node", "leaf"):
                there[place] = (goal, facts.untold(made.name))
                if test is None or no is None:
                    return self._go(*there[0])
                return self._node(made, test, there[0], there[1], missing_yes=place == 0)
        return self._present_then(made, lambda: self._there(made, test, there), (goal, away))

    def _there(self, made: Field, test: Any, there: list[tuple[Goal, Known]]) -> int:
        if test is None:
            return self._go(*there[0])
        return self._node(made, test, there[0], there[1], missing_yes=False)

    def _present(self, made: Field, there: Goal, absent: Goal, known: Known) -> int:
        gone = known.gone.get(made.name, None if made.missing else False)
        if gone is not None:
            return self._go(absent if gone else there, known)
        return self._present_then(
            made,
            lambda: self._go(there, known.told(made.name, gone=False)),
            (absent, known.told(made.name, gone=True)),
        )

    def _present_then(self, made: Field, there: Any, absent: tuple[Goal, Known]) -> int:
        place = self._place(made, (float("inf"), LEQ, ()), missing_yes=False)
        self.nodes[place][3] = there()
        self.nodes[place][4] = self._go(*absent)
        return place

    def _node(
        self, made: Field, test: Any, yes: tuple[Goal, Known], no: tuple[Goal, Known], *, missing_yes: bool
    ) -> int:
        place = self._place(made, test, missing_yes=missing_yes)
        self.nodes[place][3] = self._go(*yes)
        self.nodes[place][4] = self._go(*no)
        return place

    def _place(self, made: Field, test: tuple[float, int, tuple[float, ...]], *, missing_yes: bool) -> int:
        if len(self.nodes) > MOST_NODES:
            raise CannotImport(f"A tree of the PMML file needs more than {MOST_NODES:,} nodes.")
        column = self.features.setdefault(made.name, len(self.features))
        self.nodes.append([column, test[0], test[1], 0, 0, missing_yes, test[2]])
        return len(self.nodes) - 1

    def _settled(self, goal: Goal, known: Known) -> Goal:
        """The goal, past tests whose outcome is known."""
        while goal[0] == "kids" and goal[2] < len(kids := _kids(goal[1])):
            outcome = self._outcome(_predicate(kids[goal[2]]), known)
            if outcome == "?":
                return goal
            if outcome == "yes":
                return ("node", kids[goal[2]])
            after = ("kids", goal[1], goal[2] + 1)
            goal = after if outcome == "no" else self._unknown(goal[1], kids, after)
        return goal

    def _outcome(self, predicate: Element, known: Known) -> str:
        if predicate.tag in ("True", "False"):
            return "yes" if predicate.tag == "True" else "no"
        if predicate.tag == "CompoundPredicate":
            return "?"
        made = self._field(predicate)
        operator = predicate.get("operator") or ""
        gone = known.gone.get(made.name, None if made.missing else False)
        if operator in ("isMissing", "isNotMissing"):
            return "?" if gone is None else "yes" if gone is (operator == "isMissing") else "no"
        if gone is not False:
            return "unknown" if gone else "?"
        if made.kind == "code":
            codes = (
                self._set(predicate)[1]
                if predicate.tag == "SimpleSetPredicate"
                else frozenset([made.code(needed(predicate, "value"))])
            )
            every = frozenset(float(i) for i in range(len(made.values))) | (frozenset() if made.closed else {-1.0})
            allowed = known.codes.get(made.name, every)
            found = "yes" if allowed <= codes else "no" if not allowed & codes else "?"
            turned = operator == "notEqual" or predicate.get("booleanOperator") == "isNotIn"
        else:
            low, high = known.bounds.get(made.name, (-np.inf, np.inf))
            limit = made.threshold(needed(predicate, "value"))
            if operator in ("equal", "notEqual"):
                return "?"
            strict = operator in ("lessThan", "greaterOrEqual")
            found = (
                "yes"
                if (high < limit if strict else high <= limit)
                else "no"
                if (low >= limit if strict else low > limit)
                else "?"
            )
            turned = operator in ("greaterThan", "greaterOrEqual")
        return {"yes": "no", "no": "yes"}.get(found, found) if turned else found

    def _field(self, predicate: Element) -> Field:
        name = needed(predicate, "field")
        if name not in self.scope:
            raise CannotImport(f"A tree of the PMML file asks for the field {name!r}, which is not there.")
        return self.scope[name]

    def _set(self, predicate: Element) -> tuple[Field, frozenset[float]]:
        made, words = self._field(predicate), predicate.find("Array")
        if words is None:
            raise CannotImport(f"A set of the PMML file for {made.name!r} has no Array.")
        if made.kind == "number":
            raise CannotImport(f"The numbers of {made.name!r} are compared with a set, which is not read.")
        return made, frozenset(made.code(word) for word in array(words))


def _kids(element: Element) -> list[Element]:
    return element.findall("Node")


def _predicate(element: Element) -> Element:
    found = next((child for child in element if child.tag in PREDICATES), None)
    if found is None:
        raise CannotImport(f"A {element.tag} of the PMML file has no predicate that is read.")
    return found
