"""The encoders of several models as one, over the united signature: each feature is made once, exactly as before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.encoder import (
    Block,
    DateParts,
    Encoder,
    Function,
    Lookup,
    MissingFlag,
    OneHot,
    Select,
    Single,
    Step,
)
from mainstay.models.signature import UNSEEN, Signature
from mainstay.models.text import TextTerms
from mainstay.models.uniting import View


class CannotMerge(MainstayError):
    """Models that cannot be one graph; they are asked one by one, which answers the same."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Merged:
    """One encoder for all parts."""

    encoder: Encoder | None
    """Double precision; None where no part needs a feature."""
    positions: tuple[tuple[int, ...], ...]
    """For each part, the features that are its own, in its order: those of its encoder's blocks, before the steps over
    all of them; of a part without an encoder, its columns but for texts."""


def merged(parts: Sequence[tuple[Signature, Encoder | None, View]]) -> Merged:
    """The encoders of parts, each with its signature and what it sees of the united one.

    Raises:
        CannotMerge: a text is missing, or a category, to one part alone, which no step can say.
    """
    blocks: dict[Block | TextTerms, tuple[int, ...]] = {}
    positions = []
    for signature, encoder, view in parts:
        for index in view.spelled:
            raise CannotMerge(
                f"column {signature.inputs[index].name!r} is a category to one part and a text to another"
            )
        for index in view.missing:
            raise CannotMerge(f"texts that mean a missing value in {signature.inputs[index].name!r} differ")
        own = encoder.blocks if encoder is not None else _columns(signature)
        positions.append(tuple(position for block in own for position in _placed(blocks, block, view)))
    return Merged(Encoder(tuple(blocks)) if blocks else None, tuple(positions))


def _columns(signature: Signature) -> tuple[Block, ...]:
    kept = tuple(index for index, column in enumerate(signature.inputs) if column.type != "text")
    return (Block(kept),) if kept else ()


def _placed(blocks: dict[Block | TextTerms, tuple[int, ...]], block: Block | TextTerms, view: View) -> tuple[int, ...]:
    """Adds a part's block, and gives the positions of its features."""
    if isinstance(block, TextTerms):
        return _added(blocks, msgspec.structs.replace(block, column=view.columns[block.column]))
    found: dict[int, int] = {}
    for recode, run in groupby(range(len(block.columns)), lambda at: block.columns[at] in view.codes):
        chosen = list(run)
        steps, features = of_columns(block, chosen)
        if not features:
            continue
        columns = [block.columns[at] for at in chosen]
        if recode:
            tables = tuple(view.codes[column] for column in columns)
            steps = (Lookup(tables, (UNSEEN,) * len(tables), (None,) * len(tables)), *steps)
        made = Block(tuple(view.columns[column] for column in columns), steps)
        found.update(zip(features, _added(blocks, made), strict=True))
    return tuple(found[feature] for feature in sorted(found))


def _added(blocks: dict[Block | TextTerms, tuple[int, ...]], block: Block | TextTerms) -> tuple[int, ...]:
    if block not in blocks:
        start = sum(len(positions) for positions in blocks.values())
        blocks[block] = tuple(range(start, start + Encoder((block,)).width))
    return blocks[block]


def of_columns(block: Block, chosen: Sequence[int]) -> tuple[tuple[Step, ...], list[int]]:
    """A block's steps for some of its columns (positions among them), and which of its features these are."""
    origins, wanted = list(range(len(block.columns))), frozenset(chosen)
    steps: list[Step] = []
    for step in block.steps:
        kept = [index for index, origin in enumerate(origins) if origin in wanted]
        match step:
            case MissingFlag() | Function() | Single():
                steps.append(step)
            case Select(kept=order):
                place = {index: position for position, index in enumerate(kept)}
                steps.append(Select(tuple(place[index] for index in order if index in place)))
                origins = [origins[index] for index in order]
            case OneHot(sizes=sizes):
                steps.append(OneHot(tuple(sizes[index] for index in kept)))
                origins = [origin for origin, size in zip(origins, sizes, strict=True) for _ in range(size)]
            case DateParts(parts=parts):
                steps.append(step)
                origins = [origin for origin in origins for _ in parts]
            case _:  # every other step has one entry a column in each of its parameters
                values = (tuple(getattr(step, name)[index] for index in kept) for name in step.__struct_fields__)
                steps.append(type(step)(*values))
    return tuple(steps), [index for index, origin in enumerate(origins) if origin in wanted]
