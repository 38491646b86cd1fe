"""Signatures and formulas that the browser tests serve."""

from __future__ import annotations

import math

from standin import Served, sigmoid

from mainstay.models.package import Decision
from mainstay.models.signature import Cells, Column, Signature

EVIL = "<img src=x onerror=window.hacked=1>'\"; touch hacked; \n`touch hacked` $(touch hacked)"


def credit() -> Served:
    signature = Signature(
        inputs=(
            Column(name="amount", type="number", minimum=250.0, maximum=18424.0, typical=2319.5),
            Column(name="duration", type="number", minimum=4.0, maximum=72.0, typical=18.0, nullable=True),
            Column(
                name="purpose", type="category", categories=("car", "radio/tv", "education", "new\nline"), typical="car"
            ),
            Column(name="foreign", type="boolean", typical="true"),
            Column(name="opened", type="datetime", minimum=946684800.0, maximum=1262304000.0),
            Column(name="remarks", type="text", nullable=True),
        ),
        task="binary",
        target="class",
        labels=("bad", "good"),
        set_aside=("customer",),
        missing_tokens=("", "?"),
    )

    def score(cells: Cells) -> list[float]:
        amount, duration, purpose, foreign = (float(x) for x in cells.numbers[0, :4])
        remarks = cells.texts[5][0] or ""
        x = 1.5 - amount / 4000 - (0.0 if math.isnan(duration) else duration / 60) - 0.3 * purpose + 0.2 * foreign
        p = sigmoid(x + 0.5 * remarks.count("'") + 0.25 * remarks.count("\n"))
        return [1 - p, p]

    return Served("credit", signature, score, decision=Decision(1, 0.42))


def bikes() -> Served:
    signature = Signature(
        inputs=(Column(name="temp", type="number", minimum=-8.0, maximum=41.0, typical=15.2),),
        task="regression",
        target="rentals",
    )
    return Served("bikes", signature, lambda cells: 40.0 + 7.25 * float(cells.numbers[0, 0]))


def wines(labels: int = 30) -> Served:
    signature = Signature(
        inputs=tuple(
            Column(name=f"measure {i}", type="number", minimum=0.0, maximum=1.0, typical=0.5) for i in range(18)
        ),
        task="multiclass",
        target="grape",
        labels=tuple(range(labels)),
    )

    def score(cells: Cells) -> list[float]:
        weights = [math.exp(-abs(i - 10 * float(cells.numbers[0, 0]))) for i in range(labels)]
        return [weight / sum(weights) for weight in weights]

    return Served("wines", signature, score)


def hostile() -> Served:
    """Every name that a data file can bring in, as an attack."""
    signature = Signature(
        inputs=(
            Column(
                name=EVIL, type="category", categories=(EVIL, "</option><script>window.hacked=1</script>"), typical=EVIL
            ),
            Column(name="__proto__", type="text", typical="it's\na \u202e\\ line\u2028\x7f"),
            Column(name="inputs", type="number", minimum=0.0, maximum=10.0, typical=1.5),
        ),
        task="binary",
        target="<b>target</b>",
        labels=("<script>window.hacked=1</script>", "__proto__"),
        set_aside=("constructor",),
    )

    def score(cells: Cells) -> list[float]:
        p = sigmoid(float(cells.numbers[0, 2]) - 1 + len(cells.texts[1][0] or "") / 100 + float(cells.numbers[0, 0]))
        return [1 - p, p]

    return Served("hostile", signature, score, decision=Decision(1, 0.5))
