"""A candidate tried before a rollout: in a real host process, beside the stable version, without any traffic."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import msgspec
import numpy as np

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.answers import Answers
from mainstay.models.package import Package
from mainstay.models.signature import Cells, InputError, Reader, Signature
from mainstay.operations.interfaces import differences
from mainstay.operations.operator import admitted, allowed_here
from mainstay.operations.trial_rows import trial_rows
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.serving import comparing
from mainstay.serving.asking import ClassEnded, ClassFailed, OwnHost
from mainstay.serving.launch import Allowed

WITHIN = 120.0
"""Seconds in which each of the two has to be loaded and to have answered."""
ALONE = 25
"""Rows that are asked one by one, for the time that one takes."""


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """What one version took."""

    seconds: float | None
    """Median for one row, with the way to the host process and back; None: there was no row to ask."""
    memory: int
    """Bytes of its host process; 0 where the system does not tell."""


class Validated(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate did."""

    golden: int
    """Golden predictions that it gave."""
    rows: int
    """Held-out rows that both versions were asked."""
    changed: int
    """Of them, those that it answers otherwise."""
    candidate: Took
    stable: Took | None
    """None: it could not be asked here."""
    notes: list[str]


class NotValid(CheckFailed):
    """A candidate cannot serve."""

    def __init__(self, ref: str, why: str) -> None:
        self.ref, self.why = ref, why
        super().__init__(f"{ref} is not rolled out, for it cannot serve: {why}")


def validated(
    folder: Path, registry: Registry, stable: Version, candidate: Version, package: Package, *, within: float = WITHIN
) -> Validated:
    """Loads a version in a host process of its own, which answers its golden predictions, then rows that its project
    holds out; and the stable version likewise, for comparison.

    Args:
        package: the candidate's, admitted by the operator.
        within: seconds for each of the two.

    Raises:
        NotValid: it cannot be loaded, gives other answers than its golden ones, fails at a row, answers what is no
            number, or takes too long.
        UntrustedCode, BadOperatorFile; PackageCorrupt; ProjectError.
    """
    allowed, other, notes = allowed_here(folder), None, []
    try:
        other = admitted(folder, registry, stable)
    except MainstayError as error:  # it serves elsewhere; that it cannot be asked here is no fault of the candidate's
        notes.append(f"{stable.ref} could not be asked here: {error}")
    signatures = (package.signature,) if other is None else (package.signature, other.signature)
    rows = trial_rows(folder, candidate.model, signatures)
    if other is not None:
        notes += differences(package.signature, other.signature, stable.ref)
    if rows.note:
        notes.append(f"no held-out rows were asked: {rows.note}")
    try:
        ours, took = _asked(package, allowed, rows.cells[0], within)
    except (ClassFailed, ClassEnded, InputError, _NoAnswer) as error:
        raise NotValid(candidate.ref, str(error)) from error
    theirs, stable_took = None, None
    if other is not None:
        try:
            theirs, stable_took = _asked(other, allowed, rows.cells[1], within)
        except MainstayError as error:
            notes.append(f"{stable.ref} could not be asked here: {error}")
    rows_of_both = changed = 0
    if ours is not None and theirs is not None and other is not None:
        rows_of_both, changed = len(ours), differing(ours, package, theirs, other)
    return Validated(
        golden=len(package.golden.rows),
        rows=rows_of_both,
        changed=changed,
        candidate=took,
        stable=stable_took,
        notes=notes,
    )


class _NoAnswer(MainstayError):
    """Why an answer is none."""


def _asked(package: Package, allowed: Allowed, cells: Cells | None, within: float) -> tuple[Answers | None, Took]:
    """The answers to rows, and what they took. Raises as `OwnHost` does, and _NoAnswer."""
    until = time.monotonic() + within
    with OwnHost(package, allowed, within=within, answers_within=within) as host:
        answers = None
        if cells is not None and len(cells):
            answers = host.run(cells, None)
            _check(answers, len(cells), package.signature)
        alone = cells if cells is not None and len(cells) else _golden(package)
        times = []
        for row in range(min(ALONE, len(alone))):
            begun = time.monotonic()
            if begun >= until:
                raise _NoAnswer(f"it had not answered {len(alone)} rows within {within:g} s")
            host.run(alone.rows(slice(row, row + 1)), None)
            times.append(time.monotonic() - begun)
        took = Took(seconds=statistics.median(times) if times else None, memory=host.memory)
        if time.monotonic() > until:
            raise _NoAnswer(f"it took longer than {within:g} s to load and to answer {len(alone)} rows")
        return answers, took


def _golden(package: Package) -> Cells:
    return Reader(package.signature).rows(package.golden.rows)


def _check(answers: Answers, rows: int, signature: Signature) -> None:
    """Raises _NoAnswer where there is not one answer a row, as the signature has it, or one is no number."""
    if len(answers) != rows:
        raise _NoAnswer(f"it gave {len(answers)} answers to {rows} rows")
    if not comparing.fits(answers, rows, signature):
        raise _NoAnswer(f"what it gave for {rows} rows are no answers of its signature")
    for numbers in (answers.values, answers.probabilities):
        if numbers is not None and not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers.reshape(rows, -1)).all(axis=1))[0])
            raise _NoAnswer(f"its answer to held-out row {row + 1} is no number")


def differing(ours: Answers, package: Package, theirs: Answers, other: Package) -> int:
    """Rows that a candidate (`ours`) answers otherwise than the stable version, as servers compare them."""
    rows = [slice(at, at + 1) for at in range(len(ours))]
    return sum(comparing.changed(theirs.rows(row), ours.rows(row), other.signature, package.signature) for row in rows)
