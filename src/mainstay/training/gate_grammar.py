"""The grammar of a gate.

    gate    = metric ["." ("low" | "high")] ["[" column "=" value "]"] (">=" | "<=" | ">" | "<") sum
    sum     = product {("+" | "-") product}
    product = atom {("*" | "/") atom}
    atom    = number | "champion" | "baseline" | "-" atom | "(" sum ")"

A column or value may stand in double quotes, with a backslash before a quote or backslash in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NAMES = ("champion", "baseline")
_TOKEN = re.compile(r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|(?P<name>\w+)|(?P<sign>.))")
_HEAD = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\.\s*(\w+))?\s*")
_QUOTED = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*', re.DOTALL)
_HOLDS = re.compile(r"\s*(>=|<=|>|<)(?!=)")
_DEEPEST = 50
_LONGEST = 200


class Refusal(Exception):
    """Why a text is not a gate, as the middle of a sentence."""


@dataclass(frozen=True)
class Expression:
    """A limit: a number, a name, or two expressions with an operator between them."""

    operator: Literal["number", "name", "+", "-", "*", "/"]
    number: float = 0.0
    name: str = ""
    sides: tuple[Expression, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names in it."""
        own = frozenset({self.name}) if self.operator == "name" else frozenset[str]()
        return own.union(*(side.names for side in self.sides))

    def value(self, known: Mapping[str, float]) -> float:
        """Its value where the names have these. Raises ZeroDivisionError."""
        if self.operator == "number":
            return self.number
        if self.operator == "name":
            return known[self.name]
        left, right = (side.value(known) for side in self.sides)
        if self.operator == "+":
            return left + right
        if self.operator == "-":
            return left - right
        return left * right if self.operator == "*" else left / right


@dataclass(frozen=True)
class Parsed:
    """The parts of a gate."""

    metric: str
    bound: Literal["value", "low", "high"]
    slice: tuple[str, str] | None
    holds: str
    limit: Expression


def read(text: str) -> Parsed:
    """The parts of a gate. Raises Refusal."""
    head = _HEAD.match(text)
    if head is None:
        raise Refusal("it does not start with a metric")
    metric, bound = head.group(1), head.group(2) or "value"
    if bound not in {"value", "low", "high"}:
        raise Refusal(f"after {metric!r} stands {bound!r}, where only 'low' or 'high' of its interval can")
    at = head.end()
    part = None
    if text[at : at + 1] == "[":
        part, at = _slice(text, at + 1)
    holds = _HOLDS.match(text, at)
    if holds is None:
        raise Refusal("it has no >=, <=, > or < after the metric")
    limit = _Limit(text[holds.end() :]).read()
    which: Literal["value", "low", "high"] = "low" if bound == "low" else "high" if bound == "high" else "value"
    return Parsed(metric, which, part, holds.group(1), limit)


def _slice(text: str, at: int) -> tuple[tuple[str, str], int]:
    column, at = _word(text, at, until="=")
    value, at = _word(text, at, until="]")
    return (column, value), at


def _word(text: str, at: int, *, until: str) -> tuple[str, int]:
    """A column or value, and the place after the character that ends it."""
    quoted = _QUOTED.match(text, at)
    if quoted is not None:
        word, end = re.sub(r"\\(.)", r"\1", quoted.group(1), flags=re.DOTALL), quoted.end()
        if text[end : end + 1] != until:
            raise Refusal(f"{until!r} is missing after {quoted.group(0).strip()}")
        return word, end + 1
    end = text.find(until, at)
    word = text[at:end].strip()
    if end < 0 or (until == "=" and "]" in word):
        raise Refusal(f"the slice has no {until!r}")
    if '"' in word:
        raise Refusal(f"a quote in {word!r} has no partner")
    if not word:
        raise Refusal(f"nothing stands before {until!r} in the slice")
    return word, end + 1


class _Limit:
    """Reads an expression from its tokens, left to right."""

    def __init__(self, text: str) -> None:
        self._tokens = [
            (str(found.lastgroup), found.group(str(found.lastgroup)))
            for found in _TOKEN.finditer(text.strip())
            if found.lastgroup
        ]
        self._at = 0

    def read(self) -> Expression:
        if not self._tokens:
            raise Refusal("no limit stands after the sign")
        if len(self._tokens) > _LONGEST:
            raise Refusal("its limit is too long")
        found = self._sum(0)
        if self._at < len(self._tokens):
            raise Refusal(f"{self._tokens[self._at][1]!r} stands where the limit should have ended")
        return found

    def _sum(self, depth: int) -> Expression:
        found = self._product(depth)
        while (sign := self._take("+", "-")) is not None:
            found = Expression("+" if sign == "+" else "-", sides=(found, self._product(depth)))
        return found

    def _product(self, depth: int) -> Expression:
        found = self._atom(depth)
        while (sign := self._take("*", "/")) is not None:
            found = Expression("*" if sign == "*" else "/", sides=(found, self._atom(depth)))
        return found

    def _atom(self, depth: int) -> Expression:
        if depth > _DEEPEST:
            raise Refusal("its limit is nested too deeply")
        if self._take("-") is not None:
            return Expression("-", sides=(Expression("number"), self._atom(depth + 1)))
        if self._take("(") is not None:
            found = self._sum(depth + 1)
            if self._take(")") is None:
                raise Refusal("a ')' is missing")
            return found
        if self._at == len(self._tokens):
            raise Refusal("the limit ends too early")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            if not math.isfinite(float(text)):
                raise Refusal(f"{text} is too large a number")
            return Expression("number", number=float(text))
        if kind == "name" and text in NAMES:
            return Expression("name", name=text)
        raise Refusal(f"{text!r} stands where a number, 'champion' or 'baseline' should")

    def _take(self, *signs: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at] in {("sign", sign) for sign in signs}:
            self._at += 1
            return self._tokens[self._at - 1][1]
        return None
