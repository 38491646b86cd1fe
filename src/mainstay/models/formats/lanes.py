"""Features on their way through a pipeline, as symbols: which column each is made from, by which steps.

A lane is one input column and the steps behind it; lanes side by side are the features at one place of a pipeline.
`assembled` makes the encoder from the lanes at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.encoder import (
    Affine,
    Block,
    Clip,
    Encoder,
    Function,
    Impute,
    Lookup,
    MissingFlag,
    OneHot,
    Scale,
    Select,
    Single,
    Step,
)
from mainstay.models.text import TextTerms


class CannotTranscribe(MainstayError):
    """A pipeline does something that the encoder has no exact step for."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The pipeline cannot be transcribed: {reason}.")


@dataclass(frozen=True)
class Table:
    """What an encoder makes of the texts of a column. NaN stands for a missing number."""

    known: Mapping[str, float]
    unseen: float
    missing: float


@dataclass(frozen=True)
class Lane:
    """One input column on its way."""

    column: int
    steps: tuple[Step, ...] = ()
    width: int = 1
    raw: bool = False
    """Whether it still holds texts or categories, which no arithmetic can take."""
    fill: str | None = None
    """Of a lane that holds texts, or did: the text that a missing one becomes."""
    table: Table | None = None
    """Of a lane that was raw: its first step, resolved when all categories of the column are known."""
    text: TextTerms | None = None
    """Of a lane of free text: its weights."""
    moment: bool = False
    """Whether it holds a date-time, which scikit-learn's steps do not take as a number."""

    sparse: bool = False
    """Whether scikit-learn holds these features in a sparse matrix, which it scales by another operation."""

    @property
    def single(self) -> bool:
        """Whether its values are held in single precision."""
        return not self.raw and bool(self.steps) and isinstance(self.steps[-1], Single)

    @property
    def handles_missing(self) -> bool:
        """Whether the pipeline says what a missing value becomes, seen in training or not."""
        return self.fill is not None or any(isinstance(step, Impute | MissingFlag) for step in self.steps)

    def then(self, step: Step, width: int | None = None) -> Lane:
        return replace(self, steps=(*self.steps, step), width=self.width if width is None else width)


@dataclass
class Facts:
    """What is learnt about the input columns on the way."""

    names: tuple[str, ...]
    categories: dict[int, dict[str, None]] = field(default_factory=dict)
    """The texts that any encoder knows, in order, by column."""
    closed: set[int] = field(default_factory=set)
    """Columns for which an unseen text is an error."""
    recoded: set[int] = field(default_factory=set)
    """Columns of integers that are taken as categories, since an unseen one is an error."""
    texts: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    def know(self, column: int, categories: Sequence[str]) -> None:
        self.categories.setdefault(column, {}).update(dict.fromkeys(categories))


def width(lanes: Sequence[Lane]) -> int:
    return sum(lane.width for lane in lanes)


def numeric(lanes: Sequence[Lane], what: str, facts: Facts) -> None:
    """Raises CannotTranscribe where a lane holds what no arithmetic can take."""
    for lane in lanes:
        if lane.raw or lane.moment:
            kind = "date-times" if lane.moment else "texts or categories"
            raise CannotTranscribe(f"{what} takes column {facts.names[lane.column]!r}, which holds {kind}, as it is")


def stepped(lanes: Sequence[Lane], make: Callable[[slice], Step]) -> list[Lane]:
    """Each lane with one more step that keeps its width; `make` gives it for the lane's part of the features."""
    found: list[Lane] = []
    start = 0
    for lane in lanes:
        found.append(lane.then(make(slice(start, start + lane.width))))
        start += lane.width
    return found


def singles(lanes: Sequence[Lane]) -> list[Lane]:
    """The features, each as a lane of its own."""
    return [
        part
        for lane in lanes
        for part in ([lane] if lane.width == 1 else [lane.then(Select((i,)), 1) for i in range(lane.width)])
    ]


def held(lanes: Sequence[Lane], *, sparse: bool) -> list[Lane]:
    """The lanes in a sparse matrix, or in a dense one."""
    return [replace(lane, sparse=sparse) for lane in lanes]


def picked(lanes: Sequence[Lane], positions: Sequence[int]) -> list[Lane]:
    """The features at these positions, in this order."""
    where = [(number, offset) for number, lane in enumerate(lanes) for offset in range(lane.width)]
    runs: list[tuple[int, list[int]]] = []
    for position in positions:
        number, offset = where[position]
        if runs and runs[-1][0] == number and offset > runs[-1][1][-1]:
            runs[-1][1].append(offset)
        else:
            runs.append((number, [offset]))
    found: list[Lane] = []
    for number, offsets in runs:
        lane = lanes[number]
        whole = offsets == list(range(lane.width))
        found.append(lane if whole else lane.then(Select(tuple(offsets)), len(offsets)))
    return found


def assembled(lanes: Sequence[Lane], facts: Facts, place: Mapping[int, int]) -> Encoder:
    """The encoder of lanes; `place` gives the position in the signature of each column.

    Raises:
        CannotTranscribe: a lane of free text has a step that cannot stand beside other features.
    """
    if not lanes:
        raise CannotTranscribe("no feature is left at its end")
    blocks: list[Block | TextTerms] = []
    groups: list[list[tuple[Lane, tuple[Step, ...]]]] = []
    for lane in lanes:
        steps = (*_table_steps(lane, facts), *lane.steps)
        previous = groups[-1][-1] if groups else None
        if previous and not lane.text and not previous[0].text and _shape(previous[1]) == _shape(steps):
            groups[-1].append((lane, steps))
        else:
            groups.append([(lane, steps)])
    for group in groups:
        first = group[0][0]
        if first.text is not None:
            blocks.append(_placed(first.text, place[first.column]))
            continue
        columns = tuple(place[lane.column] for lane, _ in group)
        blocks.append(Block(columns, _merged([steps for _, steps in group])))
    encoder = Encoder(tuple(blocks), _lifted(lanes))
    try:
        kept = msgspec.json.decode(msgspec.json.encode(encoder), type=Encoder) == encoder
    except msgspec.ValidationError:
        kept = False
    if not kept:  # JSON has no word for NaN and infinity
        raise CannotTranscribe("a step has a parameter that is not a finite number")
    return encoder


def _placed(terms: TextTerms, column: int) -> TextTerms:
    values = {name: getattr(terms, name) for name in terms.__struct_fields__}
    return TextTerms(**{**values, "column": column})


def _table_steps(lane: Lane, facts: Facts) -> tuple[Step, ...]:
    table = lane.table
    if table is None:
        return ()
    known = [table.known.get(category, table.unseen) for category in facts.categories.get(lane.column, {})]
    hot = bool(lane.steps) and isinstance(lane.steps[0], OneHot)
    nothing = table.unseen == -1.0 and (np.isnan(table.missing) or (hot and table.missing == -1.0))
    if nothing and known == [float(code) for code in range(len(known))]:
        return ()
    return (Lookup((_bounds(known),), _bounds([table.unseen]), _bounds([table.missing])),)


def _bounds(values: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _shape(steps: Sequence[Step]) -> tuple[object, ...]:
    return tuple((type(step), step.name) if isinstance(step, Function) else type(step) for step in steps)


def _merged(each: Sequence[tuple[Step, ...]]) -> tuple[Step, ...]:
    """The steps of several lanes of one shape, as the steps of one block."""
    merged: list[Step] = []
    widths = [1] * len(each)
    for steps in zip(*each, strict=True):
        merged.append(_joined(steps, widths))
        widths = [Encoder((Block(tuple(range(old)), (step,)),)).width for step, old in zip(steps, widths, strict=True)]
    return tuple(merged)


def _joined(steps: Sequence[Step], widths: Sequence[int]) -> Step:
    first = steps[0]
    if isinstance(first, MissingFlag | Function | Single):
        return first
    if isinstance(first, Select):
        starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).tolist()
        return Select(
            tuple(
                start + kept
                for start, step in zip(starts, steps, strict=True)
                if isinstance(step, Select)
                for kept in step.kept
            )
        )
    parts = [
        tuple(value for step in steps for value in getattr(step, name)) for name in first.__struct_fields__
    ]  # every other step is made of one tuple a parameter, with one entry a column
    return type(first)(*parts)


def _lifted(lanes: Sequence[Lane]) -> tuple[Step, ...]:
    """The steps of the lanes of free text, as steps over all features that leave the others as they are."""
    # A block has done its own steps by then; a text has not.
    widths = [lane.width if lane.text is None else len(lane.text.vocabulary) for lane in lanes]
    lifted: list[Step] = []
    for number, lane in enumerate(lanes):
        if lane.text is None:
            continue
        for step in lane.steps:
            before, after = sum(widths[:number]), sum(widths[number + 1 :])
            match step:
                case Scale(center=center, divisor=divisor):
                    lifted.append(
                        Scale(
                            (0.0,) * before + center + (0.0,) * after,
                            (1.0,) * before + divisor + (1.0,) * after,
                        )
                    )
                case Affine(factor=factor, offset=offset):
                    lifted.append(
                        Affine(
                            (1.0,) * before + factor + (1.0,) * after,
                            (0.0,) * before + offset + (0.0,) * after,
                        )
                    )
                case Clip(low=low, high=high):
                    lifted.append(
                        Clip((None,) * before + low + (None,) * after, (None,) * before + high + (None,) * after)
                    )
                case Select(kept=kept):
                    chosen = (
                        *range(before),
                        *(before + index for index in kept),
                        *range(before + widths[number], before + widths[number] + after),
                    )
                    lifted.append(Select(chosen))
                    widths[number] = len(kept)
                case _:
                    raise CannotTranscribe(f"the step {type(step).__name__} stands behind weights of text")
    return tuple(lifted)
