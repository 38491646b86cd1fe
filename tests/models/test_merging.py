"""One encoder of several: each part's features come out of it, bit by bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.encoder import (
    Affine,
    Bins,
    Block,
    Clip,
    DateParts,
    Encoder,
    Function,
    Impute,
    Lookup,
    Match,
    MissingFlag,
    OneHot,
    Scale,
    Select,
    Single,
    compiled,
)
from mainstay.models.merging import merged
from mainstay.models.signature import Column, Reader, Signature
from mainstay.models.text import TextTerms
from mainstay.models.uniting import united, view_of

LETTERS = "abcd"
NUMBERS = st.floats(-5, 5).map(lambda x: round(x, 3))


TABLES = st.lists(st.none() | NUMBERS, max_size=4).map(tuple)
EDGES = st.lists(NUMBERS, max_size=3).map(lambda x: tuple(sorted(x)))
PARAMETERS = {
    Impute: (NUMBERS,),
    Clip: (st.none() | st.just(-1.0), st.none() | st.just(1.0)),
    Scale: (NUMBERS, st.sampled_from([0.3, 2.0])),
    Affine: (NUMBERS, NUMBERS),
    Match: (st.lists(NUMBERS, max_size=3, unique=True).map(tuple),),
    Lookup: (TABLES, st.none() | NUMBERS, st.none() | NUMBERS),
    Bins: (EDGES,),
    OneHot: (st.integers(0, 3),),
}
"""Of steps with one entry a column in each parameter."""


@st.composite
def steps(draw, width: int):
    """One step over `width` columns, and the width behind it."""
    plain = [MissingFlag(), Function("abs"), Single(), DateParts(("hour", "days"))]
    chosen = draw(st.sampled_from([*PARAMETERS, Select, *plain]))
    if chosen is Select:
        chosen = Select(tuple(draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=4))))
    elif chosen in PARAMETERS:
        lists = (st.lists(values, min_size=width, max_size=width) for values in PARAMETERS[chosen])
        chosen = chosen(*(tuple(draw(values)) for values in lists))
    return chosen, Encoder((Block(tuple(range(width)), (chosen,)),)).width


@st.composite
def blocks(draw, inputs):
    texts = [index for index, column in enumerate(inputs) if column.type == "text"]
    if texts and draw(st.booleans()):
        return TextTerms(column=texts[0], vocabulary=("ab", "cd"), norm=draw(st.sampled_from(["l1", "l2", None])))
    others = [index for index, column in enumerate(inputs) if column.type != "text"]
    columns = tuple(draw(st.lists(st.sampled_from(others), min_size=1, max_size=4)))
    width, made = len(columns), []
    for _ in range(draw(st.integers(0, 4))):
        step, after = draw(steps(width))
        if not after:
            break
        made.append(step)
        width = after
    return Block(columns, tuple(made))


@st.composite
def parts(draw):
    names = draw(st.permutations(["x", "y", "k", "l", "t"]))
    inputs = []
    for name in names[: draw(st.integers(2, 5))]:
        if name in "xy":
            inputs.append(Column(name=name, type="number", nullable=True))
        elif name == "t":
            inputs.append(Column(name=name, type="text", nullable=True))
        else:
            known = tuple(draw(st.lists(st.sampled_from(LETTERS), min_size=1, unique=True)))
            inputs.append(Column(name=name, type="category", nullable=True, categories=known))
    signature = Signature(inputs=tuple(inputs), task="regression").checked()
    if draw(st.integers(0, 4)) == 0:
        return signature, None
    return signature, Encoder(tuple(draw(st.lists(blocks(inputs), min_size=1, max_size=3))))


ROWS = st.fixed_dictionaries(
    {
        "x": st.none() | NUMBERS,
        "y": st.none() | NUMBERS,
        "k": st.none() | st.sampled_from([*LETTERS, "z"]),
        "l": st.none() | st.sampled_from([*LETTERS, "z"]),
        "t": st.none() | st.sampled_from(["", "ab cd", "cd cd ef"]),
    }
)


@given(st.lists(parts(), min_size=2, max_size=3), st.lists(ROWS, min_size=1, max_size=4))
def test_each_parts_features_come_out_of_the_one_encoder(given_parts, rows):
    whole = united([(f"m:{i}", signature) for i, (signature, _) in enumerate(given_parts)])
    views = [view_of(whole, signature) for signature, _ in given_parts]
    found = merged([(*part, view) for part, view in zip(given_parts, views, strict=True)])
    cells = Reader(whole).rows([{name: row[name] for name in whole.names} for row in rows])
    features = np.empty((len(rows), 0)) if found.encoder is None else compiled(found.encoder)(cells)
    for (signature, encoder), view, positions in zip(given_parts, views, found.positions, strict=True):
        seen = view.cells(cells)
        kept = [index for index, column in enumerate(signature.inputs) if column.type != "text"]
        expected = seen.numbers[:, kept] if encoder is None else compiled(encoder)(seen)
        np.testing.assert_array_equal(features[:, list(positions)], expected)


def test_features_that_two_parts_share_are_made_once():
    signature = Signature(inputs=(Column(name="x", type="number"),), task="regression")
    encoder = Encoder((Block((0,), (Scale((1.0,), (2.0,)),)),))
    view = view_of(signature, signature)
    found = merged([(signature, encoder, view)] * 3)
    assert found.encoder == encoder
    assert found.positions == ((0,),) * 3
