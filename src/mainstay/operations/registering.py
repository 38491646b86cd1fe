"""`mainstay.register`: a model that somebody trained himself becomes a version."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.formats.frames import retaken, take
from mainstay.models.package import Decision, Draft, encoded
from mainstay.models.packaging import Built
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import Signature
from mainstay.operations import lineage
from mainstay.operations.home import actor, state_of
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation, evaluate
from mainstay.training.gates import Gate, GateResult, decide, named, parse, passed
from mainstay.training.metrics import PRIMARY
from mainstay.training.report import ReportInput, render


def register(
    model: Any,
    *,
    name: str,
    X: Any,
    X_test: Any,
    y_test: Any,
    target: str | None,
    gates: Sequence[str],
    slices: Sequence[str],
    threshold: float | None,
    positive: Any,
    trusted: Sequence[str],
    folder: Path,
) -> Version:
    """As `mainstay.register` says."""
    if (X_test is None) != (y_test is None):
        raise MainstayError("X_test and y_test belong together: give both, or neither.")
    named_target = target or getattr(y_test, "name", None) or "prediction"
    built = draft_of(model, X, X_test=X_test, y_test=y_test, target=str(named_target), trusted=trusted)
    served = Model.load(built.draft.package(), trusted=trusted)
    decision = _decision(served.signature, threshold, positive)
    if decision is not None:
        built = draft_of(
            model, X, X_test=X_test, y_test=y_test, target=str(named_target), trusted=trusted, decision=decision
        )
        served = Model.load(built.draft.package(), trusted=trusted)
    conditions = [parse(text, served.signature.task) for text in gates]
    evaluation, results = None, []
    if y_test is not None:
        evaluation = _evaluated(
            served, X=X, X_test=X_test, y_test=y_test, slices=slices, gates=conditions, positive=positive
        )
        results = decide(conditions, evaluation)
    draft = _with_attestations(built, model, name, evaluation=evaluation, results=results, folder=folder)
    with Registry.open(state_of(folder)) as registry:
        return registry.add(
            name,
            draft,
            passed=passed(results),
            actor=actor(),
            summary=_summary(model, built, evaluation, results),
        )


def _decision(signature: Signature, threshold: float | None, positive: Any) -> Decision | None:
    if threshold is None:
        return None
    if signature.task != "binary":
        raise MainstayError(f"A threshold belongs to two classes; this is a {signature.task} model.")
    return Decision(positive=_positive(signature, positive), threshold=threshold)


def _positive(signature: Signature, positive: Any) -> int:
    if positive is None:
        return 1
    if positive not in signature.labels:
        raise MainstayError(f"positive = {positive!r} is none of the labels {list(signature.labels)}.")
    return signature.labels.index(positive)


def _evaluated(
    model: Model, *, X: Any, X_test: Any, y_test: Any, slices: Sequence[str], gates: Sequence[Gate], positive: Any
) -> Evaluation:
    frame = retaken(X_test, take(X)).reset_index(drop=True)
    signature = model.signature
    truth = _truth(signature, y_test)
    decision = model.spec.decision
    if signature.task == "binary" and decision is None:
        decision = Decision(positive=_positive(signature, positive), threshold=0.5)
    kept = named(gates)
    columns = sorted({*slices, *kept})
    if unknown := [column for column in columns if column not in frame.columns]:
        raise MainstayError(f"slices names {unknown[0]!r}, which is no column of X_test.")
    by_column = {column: frame[column].tolist() for column in columns}

    def scored(answers: Answers) -> Evaluation:
        return evaluate(answers, truth, signature, slices=by_column, keep=kept, decision=decision)

    evaluation = scored(model.answer(model.cells(frame)))
    return msgspec.structs.replace(evaluation, baseline=scored(_constant(signature, truth)))


def _truth(signature: Signature, y_test: Any) -> Any:
    values = np.asarray(y_test).reshape(-1)
    if signature.task == "regression":
        return values.astype(np.float64)
    index = {label: position for position, label in enumerate(signature.labels)}
    return np.array([index[value] for value in values.tolist()], dtype=np.int64)


def _constant(signature: Signature, truth: Any) -> Answers:
    """The best constant answer to the test rows: harder to beat than one that had to be learnt."""
    rows = len(truth)
    if signature.task == "regression":
        return Answers(values=np.full(rows, float(np.mean(truth))))
    shares = np.bincount(truth, minlength=len(signature.labels)) / rows
    return Answers(
        labels=np.full(rows, int(np.argmax(shares)), dtype=np.int64), probabilities=np.tile(shares, (rows, 1))
    )


def _with_attestations(
    built: Built, model: Any, name: str, *, evaluation: Evaluation | None, results: list[GateResult], folder: Path
) -> Draft:
    origin = lineage.Lineage(
        at=datetime.now(UTC),
        actor=actor(),
        command="mainstay.register",
        data={},
        configuration="",
        project="",
        seed=0,
        split={},
        git=lineage.commit_of(folder),
        python=lineage.python_version(),
        platform=lineage.platform_name(),
        libraries=lineage.libraries(),
    )
    attestations = {
        **built.draft.attestations,
        files.LINEAGE: encoded(origin),
        files.ENVIRONMENT: lineage.environment(),
    }
    if evaluation is not None:
        attestations[files.EVALUATION] = encoded(evaluation)
        attestations[files.REPORT] = render(
            ReportInput(
                model=name,
                evaluation=evaluation,
                gates=results,
                created=f"{origin.at:%Y-%m-%d %H:%M:%S} UTC",
                description=type(model).__name__,
                parity=msgspec.to_builtins(built.parity),
                notes=[f"Served as {built.format}: {built.reason}"] if built.reason else [],
            )
        )
    return Draft(built.draft.content, attestations)


def _summary(model: Any, built: Built, evaluation: Evaluation | None, results: list[GateResult]) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "description": type(model).__name__,
        "format": built.format,
        "gates": msgspec.to_builtins(results),
    }
    if evaluation is not None:
        summary["primary"] = PRIMARY[evaluation.task]
        summary["metrics"] = msgspec.to_builtins(evaluation.metrics)
    return summary
