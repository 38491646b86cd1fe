"""`mainstay ensemble`: registered versions become the parts of a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.blending import Ask, Part, Parts, build
from mainstay.models.combining import Combination, Method
from mainstay.models.formats.composite import HELD
from mainstay.models.package import Decision
from mainstay.models.packaging import Built
from mainstay.models.runtime import Model
from mainstay.models.signature import Label
from mainstay.models.uniting import CannotBlend
from mainstay.operations.blending_judge import Judge
from mainstay.operations.blending_rows import Rows, chosen, rows_of
from mainstay.operations.home import state_of
from mainstay.operations.lineage import Part as Origin
from mainstay.operations.lineage import lineage_of
from mainstay.operations.operator import admitted
from mainstay.operations.recording import Verdict, page_of, plain, record
from mainstay.operations.registries import opened
from mainstay.operations.split_rules import every_rule, files_of, halving
from mainstay.operations.telling import subscribe
from mainstay.operations.trust import trusted_types
from mainstay.registry.refs import model_name
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation
from mainstay.training.gates import GateResult, parse
from mainstay.training.splitting import SplitRule, held_out
from mainstay.training.values import cells_of
from mainstay.training.weighing import TooFewRows, fitted

FEW = 200
"""Fewer rows than this judge a blend loosely."""


class BlendedPart(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    content_id: str
    weight: float | None
    metrics: dict[str, dict[str, float | None]]
    """On the rows that the blend was judged on."""


class BlendedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay ensemble` answers."""

    version: str
    passed: bool
    """Whether it may be deployed without an override."""
    method: str
    format: str
    """"onnx": one graph; "ensemble": its parts, asked one by one."""
    reason: str
    """Why it is not one graph, where it is not."""
    content_id: str
    inputs: list[str]
    labels: list[bool | int | str]
    threshold: float | None
    parts: list[BlendedPart]
    fitted_rows: int
    """Rows that weights or a stack were fitted on; others than it was judged on."""
    rows: int
    """Rows that it was judged on."""
    largest_difference: float | None
    """Of its answers to those of its parts, combined by hand."""
    metrics: dict[str, dict[str, float | None]]
    gates: list[GateResult]
    notes: list[str]
    report: str


def ensemble(
    folder: Path,
    name: str,
    of: Sequence[str],
    *,
    method: str = "mean",
    weights: Sequence[float] | None = None,
    target: str | None = None,
    data: Path | None = None,
    gates: Sequence[str] = (),
    threshold: float | None = None,
    positive: Any = None,
    trusted: Sequence[str] = (),
) -> BlendedVersion:
    """Registers a blend of versions as the next version of `name`.

    Args:
        of: the parts, such as "credit:3" or "credit@champion".
        method: "mean", "vote", "weights" or "stack".
        weights: for "weights", one a part; by default they are fitted on half of the rows that no part was trained on,
            as a stack is, and the blend is judged on the other half.
        target: what is predicted, where the parts call it by several names or by none.
        data: rows that no part was trained on, with true answers; by default, those of the project's data that every
            part held out.
        gates: that it is held against there; by default, a trivial baseline must be beaten.
        threshold: of two classes, the probability from which a row is positive; by default that of the parts where they
            all have the same, else the more probable class.
        positive: of two classes, the one to find; by default the parts' own.
        trusted: types that parts in a native format may hold, beside those of the operator.

    Raises:
        CannotBlend: parts that contradict each other, or a method that they do not fit.
        TooFewRows: there are too few rows to fit weights or a stack on.
        VersionNotFound and its like, NotSigned, PackageCorrupt, UntrustedTypes, GoldenMismatch: a part.
        DataError, InputError, GateError, EvaluationError: the rows. BadName.
    """
    model_name(name)
    how = _method(method, weights, len(of))
    for text in gates:
        parse(text)
    trust = (*trusted_types(folder), *trusted)
    with opened(folder, create=False) as registry:
        _check_once([registry.version(ref).ref for ref in of])
        parts = Parts([_part(folder, registry, ref, trust) for ref in of], target=target)
        _check_method(how, parts)
        conditions = [parse(text, parts.signature.judged) for text in gates]
        decision, asked = _decisions(parts, how, threshold, positive)
        rows, missing = rows_of(folder, [(p.ref, p.package) for p in parts.parts], parts.signature, data)
        if rows is None and gates:
            raise MainstayError(f"There are no rows to hold gates against, since {missing}: {_GIVE}.")
        learnt = _learnt(parts, how, weights, rows, missing)
        judge = Judge(folder, registry, name, parts, tuple(conditions), asked)
        cells = None if rows is None else cells_of(rows.table, parts.signature)
        built = build(parts, learnt.combination, decision=decision, cells=cells, trusted=trust)
        truth = parts.blended(learnt.combination, decision)
        verdict, beside = _judged(judge, truth, learnt, built, missing)
        subscribe(folder, registry)
        origin = lineage_of(
            folder,
            command="mainstay ensemble",
            data=msgspec.to_builtins(rows.table.provenance) if rows is not None and learnt.fitted else None,
            parts=[
                Origin(version=part.ref, content_id=part.package.manifest.content_id, weight=weight)
                for part, weight in zip(parts.parts, _weights_of(learnt.combination, len(of)), strict=True)
            ],
            splits=[msgspec.to_builtins(rule) for rule in learnt.rules],
            seen={found for part in parts.parts for found in files_of(part.package)},
        )
        page = page_of(name, verdict, origin)
        if page is not None:
            page = msgspec.structs.replace(
                page, beside={ref: scores.metrics for ref, scores in beside.items()}, inputs=len(parts.signature.inputs)
            )
        done = record(registry, state_of(folder), name, verdict, origin=origin, page=page)
    evaluation = verdict.evaluation
    return BlendedVersion(
        version=done.version.ref,
        passed=verdict.passed,
        method=how,
        format=built.format,
        reason=built.reason,
        content_id=done.version.content_id,
        inputs=list(parts.signature.names),
        labels=list(parts.signature.labels),
        threshold=None if decision is None else decision.threshold,
        parts=[
            BlendedPart(
                version=portion.version,
                content_id=portion.content_id,
                weight=portion.weight,
                metrics=plain(beside[portion.version].metrics) if portion.version in beside else {},
            )
            for portion in origin.parts
        ],
        fitted_rows=learnt.fitted,
        rows=0 if evaluation is None else evaluation.rows,
        largest_difference=built.parity.largest_difference,
        metrics={} if evaluation is None else plain(evaluation.metrics),
        gates=list(verdict.gates),
        notes=list(verdict.notes),
        report="" if done.report is None else str(done.report),
    )


_LEARNT = {"weights": "Its weights were", "stack": "Its stack was"}
_GIVE = "give rows that no part was trained on, with --evaluate DATA and --target COLUMN"


def _method(method: str, weights: Sequence[float] | None, parts: int) -> Method:
    known: tuple[Method, ...] = get_args(Method)
    found = next((each for each in known if each == method), None)
    if found is None:
        raise CannotBlend(f"{method!r} is no method: it is one of {', '.join(known)}.{did_you_mean(method, known)}")
    if weights is None:
        return found
    if found != "weights":
        raise CannotBlend(f"Weights belong to --method weights, and this is {method}.")
    if len(weights) != parts:
        raise CannotBlend(f"There are {parts} parts and {len(weights)} weights: give one a part, in their order.")
    if any(not weight >= 0 or not np.isfinite(weight) for weight in weights) or not sum(weights) > 0:
        raise CannotBlend(f"Weights are numbers from 0 on, not all of them 0, and these are {list(weights)}.")
    return found


def _check_once(refs: Sequence[str]) -> None:
    for ref in refs:
        if refs.count(ref) > 1:
            raise CannotBlend(
                f"{ref} is named {refs.count(ref)} times, and a part counts once: leave it out, or give it a larger "
                "weight with --method weights --weights."
            )


def _part(folder: Path, registry: Registry, ref: str, trusted: Sequence[str]) -> Part:
    version = registry.version(ref)
    package = admitted(folder, registry, version)
    kind = package.spec.format
    if kind not in HELD:
        raise CannotBlend(f"{version.ref} is served as {kind}, which no blend can hold beside others: leave it out.")
    model = Model.load(package, trusted=trusted)
    model.check_golden()
    return Part(version.ref, package, model)


def _check_method(method: Method, parts: Parts) -> None:
    if method == "vote":
        if parts.signature.task == "regression":
            raise CannotBlend("A vote is for labels, and these parts answer numbers: use --method mean.")
        return
    if parts.signature.task == "regression":
        return
    for part in parts.parts:
        if part.package.golden.probabilities is None:
            raise CannotBlend(f"{part.ref} gives no probabilities, only labels: use --method vote.")


def _decisions(
    parts: Parts, method: Method, threshold: float | None, positive: Any
) -> tuple[Decision | None, Decision | None]:
    """The decision that is kept in the package, and the one that metrics are told by."""
    labels = parts.signature.labels
    if parts.signature.task != "binary":
        if threshold is not None or positive is not None:
            raise MainstayError(
                "A threshold and a positive label belong to two classes, which these parts do not have."
            )
        return None, None
    own = [_in_order(part.model.spec.decision, view.order) for part, view in zip(parts.parts, parts.views, strict=True)]
    first = next((each.positive for each in own if each is not None), 1)
    index = first if positive is None else _position(labels, positive)
    if threshold is not None:
        if not 0 < threshold < 1:
            raise MainstayError(f"The threshold {threshold!r} is no probability: give a number between 0 and 1.")
        kept: Decision | None = Decision(positive=index, threshold=threshold)
    else:
        kept = own[0] if method != "vote" and all(each == own[0] for each in own) else None
    asked = kept or Decision(positive=index, threshold=0.5)
    if asked.positive != index:
        asked = Decision(positive=index, threshold=1 - asked.threshold)
    return kept, asked


def _in_order(decision: Decision | None, order: Sequence[int]) -> Decision | None:
    return None if decision is None else Decision(order.index(decision.positive), decision.threshold)


def _position(labels: Sequence[Label], positive: Any) -> int:
    spelled = [str(label) for label in labels]
    if positive in labels:
        return list(labels).index(positive)
    if positive in spelled:
        return spelled.index(positive)
    raise MainstayError(f"The positive label {positive!r} is none of the parts' labels: {', '.join(spelled)}.")


@dataclass(frozen=True)
class _Learnt:
    combination: Combination
    rows: Rows | None
    """Those that it is judged on."""
    fitted: int
    """How many others it was fitted on."""
    rules: tuple[SplitRule, ...]
    """That hold out every row that neither it nor a part was trained on; none where that is not known."""


def _learnt(parts: Parts, method: Method, weights: Sequence[float] | None, rows: Rows | None, missing: str) -> _Learnt:
    packages = [part.package for part in parts.parts]
    rules = every_rule(packages)
    if method in ("mean", "vote"):
        return _Learnt(Combination(method=method), rows, 0, rules)
    if weights is not None:
        total = sum(weights)
        shares = tuple(weight / total for weight in weights)
        return _Learnt(Combination(method="weights", weights=shares), rows, 0, rules)
    if rows is None:
        raise TooFewRows(f"There are no rows to fit the {method} on, since {missing}: {_GIVE}.")
    signature = parts.signature
    half = halving(packages, target=signature.target, columns=signature.names, missing=rows.table.missing)
    judged = held_out(half, rows.table)
    training = chosen(rows, ~judged)
    rest = chosen(rows, judged)
    found = fitted(method, parts.answers(cells_of(training.table, signature)), training.y, signature)
    if not len(rest.y):
        raise TooFewRows(f"No row is left to judge the {method} by: {_GIVE}.")
    return _Learnt(found, rest, len(training.y), (*rules, half) if rules else ())


def _weights_of(combination: Combination, parts: int) -> list[float | None]:
    return list(combination.weights) if combination.weights else [None] * parts


def _judged(
    judge: Judge, truth: Ask, learnt: _Learnt, built: Built, missing: str
) -> tuple[Verdict, dict[str, Evaluation]]:
    parts = judge.parts
    description = f"Blend of {', '.join(part.ref for part in parts.parts)} ({learnt.combination.method})"
    notes = [f"Served part by part: {built.reason}."] if built.reason else []
    rows = learnt.rows
    if rows is None:
        notes.append(
            f"It was not evaluated, since {missing}; so it has passed no gate: {_GIVE}, or deploy it with --override "
            "and a reason."
        )
        return Verdict(description, built, None, notes=notes), {}
    notes.append(rows.note)
    if learnt.fitted:
        notes.append(
            f"{_LEARNT[learnt.combination.method]} fitted on {learnt.fitted} such rows, and it was judged on "
            f"{len(rows.y)} others."
        )
    if len(rows.y) < FEW:
        notes.append(
            f"Only {len(rows.y)} rows judged it, which tell little: look at the intervals, or bring more with "
            "--evaluate DATA."
        )
    evaluation, beside, gates = judge.judged(truth, rows)
    return Verdict(description, built, evaluation, gates, notes), beside
