"""`mainstay.register`: a model that somebody trained himself becomes a version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.formats.foreign.protocol import Imported, Told
from mainstay.models.formats.frames import retaken, take
from mainstay.models.formats.objects import Given, check_truth
from mainstay.models.formats.own_rows import check_pairs
from mainstay.models.importing import called, check_apart, draft_of_file
from mainstay.models.package import Decision
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import Label, Signature
from mainstay.models.tensors import Image
from mainstay.operations.home import state_of
from mainstay.operations.lineage import lineage_of
from mainstay.operations.loading import loaded
from mainstay.operations.recording import Verdict, page_of, record
from mainstay.operations.registries import opened
from mainstay.operations.seen_rows import Judged, judged_by
from mainstay.operations.telling import subscribe
from mainstay.operations.trust import trusted_types
from mainstay.registry.records import Version
from mainstay.registry.refs import model_name
from mainstay.registry.store import Registry
from mainstay.serving.uv import resolve
from mainstay.training.evaluation import Evaluation, evaluate
from mainstay.training.gates import Champion, Gate, decide, named, parse


def register(
    model: Any,
    *,
    name: str,
    X: Any,
    X_test: Any,
    y_test: Any,
    target: str | None,
    labels: Sequence[Label],
    columns: Sequence[str],
    shapes: Mapping[str, tuple[int | str, ...]],
    images: Mapping[str, Image],
    logits: bool,
    general: bool,
    gates: Sequence[str],
    slices: Sequence[str],
    threshold: float | None,
    positive: Any,
    trusted: Sequence[str],
    folder: Path,
) -> Version:
    """As `mainstay.register` says."""
    model_name(name)
    _check_words(gates=gates, slices=slices, columns=columns, labels=labels, trusted=trusted)
    if (X_test is None) != (y_test is None):
        raise MainstayError("X_test and y_test belong together: give both, or neither.")
    if y_test is None and (gates or slices):
        raise MainstayError("gates and slices are measured on test rows: give X_test and y_test too.")
    check_pairs(X_test, y_test)
    conditions = [parse(text) for text in gates]
    trusted = (*trusted_types(folder), *trusted)
    named_target = str(target or getattr(y_test, "name", None) or "prediction")
    given = Given(
        X=X,
        X_test=X_test,
        y_test=y_test,
        target=named_target,
        labels=tuple(labels),
        columns=tuple(columns),
        shapes=shapes,
        images=images,
        logits=logits,
        general=general,
        trusted=trusted,
        decision=_decision(model, labels, threshold, positive),
    )
    made = _of_file(Path(model), given, folder, target) if isinstance(model, str | Path) else draft_of(model, given)
    built = made.built
    served = loaded(folder, built.draft.package(), types=trusted)
    conditions = [parse(text, served.signature.judged) for text in gates]
    if positive is not None:
        _check_positive(served, positive)
    evaluation, left = None, ""
    if y_test is not None:
        evaluation, left = _evaluated(
            served,
            X=X,
            X_test=X_test,
            y_test=y_test,
            columns=columns,
            slices=slices,
            gates=conditions,
            positive=positive,
        )
    with opened(folder) as registry:
        subscribe(folder, registry)
        verdict = Verdict(
            description=made.description,
            built=built,
            evaluation=evaluation,
            gates=[] if evaluation is None else decide(conditions, evaluation, champion=_champion(registry, name)),
            notes=[
                *made.notes,
                *([f"Served as {built.format}: {built.reason}"] if built.reason else []),
                *([left] if left else []),
            ],
        )
        origin = lineage_of(folder, command="mainstay.register")
        page = page_of(name, verdict, origin)
        return record(registry, state_of(folder), name, verdict, origin=origin, page=page).version


def _of_file(path: Path, given: Given, folder: Path, target: str | None) -> Imported:
    told = Told(
        columns=given.columns,
        labels=tuple(map(str, given.labels)),
        target=target,
        trusted=given.trusted,
        opened=partial(loaded, folder, types=given.trusted),
        locked=lambda requirements, python: resolve(requirements, python=python),
        general=given.general,
        logits=given.logits,
        images=given.images,
    )
    path = called(path)
    check_apart(path, told)
    return draft_of_file(path, told)


def _champion(registry: Registry, name: str) -> Champion | None:
    """The deployed version, which is not scored: nobody can say that it was not trained on these test rows. So a gate
    against it fails closed."""
    deployment = registry.deployment(name)
    if deployment is None:
        return None
    ref = deployment.version.ref
    trouble = (
        f"Whether the champion {ref} was trained on these test rows cannot be known, so the two are not compared: "
        "leave the gate out, and see mainstay diff."
    )
    return Champion(ref=ref, trouble=trouble)


def _decision(model: Any, named: Sequence[Label], threshold: float | None, positive: Any) -> Decision | None:
    """The decision that is kept in the package: none where no threshold was given, and the model decides itself."""
    if threshold is None:
        return None
    if not isinstance(threshold, int | float | np.number) or not 0 < threshold < 1:
        raise MainstayError(f"threshold = {threshold!r} is no probability: give a number between 0 and 1.")
    labels = list(named) or list(getattr(getattr(model, "best_estimator_", model), "classes_", ()))
    if len(labels) != 2:
        raise MainstayError("A threshold belongs to a classifier of two classes, which this model is not.")
    return Decision(positive=_index(labels, positive), threshold=threshold)


def _check_words(**lists: Sequence[Any]) -> None:
    """A text is a sequence of letters, and meant as none here."""
    for name, given in lists.items():
        if isinstance(given, str):
            raise MainstayError(f"{name} is one text, {given!r}: give a list of them, such as {name}=[{given!r}].")


def _check_positive(model: Model, positive: Any) -> None:
    """Of two classes, one can be named as the one to find, and no other than the model itself finds."""
    labels, decision = model.signature.labels, model.spec.decision
    if len(labels) != 2:
        raise MainstayError("positive belongs to a classifier of two classes, which this model is not: leave it out.")
    found = _index(labels, positive)
    if decision is not None and found != decision.positive:
        raise MainstayError(
            f"positive = {positive!r}, but the model's own threshold is for {labels[decision.positive]!r}: leave "
            "positive out, or give that."
        )


def _index(labels: Sequence[Any], positive: Any) -> int:
    if positive is None:
        return 1
    if positive not in labels:
        raise MainstayError(f"positive = {positive!r} is none of the labels {', '.join(map(repr, labels))}.")
    return labels.index(positive)


def _evaluated(
    model: Model,
    *,
    X: Any,
    X_test: Any,
    y_test: Any,
    columns: Sequence[str],
    slices: Sequence[str],
    gates: Sequence[Gate],
    positive: Any,
) -> tuple[Evaluation, str]:
    """The evaluation on the test rows that the model was not fitted on, and what is to be told of the others."""
    signature = model.signature
    if signature.tensors or X is None or isinstance(X, Mapping):
        if slices or named(gates):
            raise MainstayError("Slices are columns of a table, and this model takes none: leave slices out.")
        frame, cells = None, model.cells(X_test)
        fitted = None if X is None else model.cells(X)
    else:
        taken = take(X, columns)
        frame = retaken(X_test, taken).reset_index(drop=True)
        cells, fitted = model.cells(frame), model.cells(taken.frame)
    check_truth(y_test, len(cells), signature.labels)
    judged = Judged(np.arange(len(cells))) if fitted is None else judged_by(fitted, cells)
    cells, truth = cells.rows(judged.rows), truth_of(signature, y_test)[judged.rows]
    frame = None if frame is None else frame.iloc[judged.rows]
    decision = model.spec.decision
    if signature.task == "binary" and decision is None:
        decision = Decision(positive=_index(signature.labels, positive), threshold=0.5)
    kept = named(gates)
    wanted = sorted({*slices, *kept})
    if unknown := [column for column in wanted if frame is None or column not in frame.columns]:
        raise MainstayError(f"slices names {unknown[0]!r}, which is no column of X_test.")
    by_column = {} if frame is None else {column: frame[column].tolist() for column in wanted}

    def scored(answers: Answers) -> Evaluation:
        return evaluate(answers, truth, signature, slices=by_column, keep=kept, decision=decision)

    evaluation = scored(model.answer(cells))
    return msgspec.structs.replace(evaluation, baseline=scored(constant_answers(signature, truth))), judged.note


def truth_of(signature: Signature, y_test: Any) -> Any:
    values = np.asarray(y_test).reshape(-1)
    if signature.task == "regression":
        return values.astype(np.float64)
    index = {label: position for position, label in enumerate(signature.labels)}
    return np.array([index[value] for value in values.tolist()], dtype=np.int64)


def constant_answers(signature: Signature, truth: Any) -> Answers:
    """The best constant answer to the test rows: harder to beat than one that had to be learnt."""
    rows = len(truth)
    if signature.task == "regression":
        return Answers(values=np.full(rows, float(np.mean(truth))))
    shares = np.bincount(truth, minlength=len(signature.labels)) / rows
    return Answers(
        labels=np.full(rows, int(np.argmax(shares)), dtype=np.int64), probabilities=np.tile(shares, (rows, 1))
    )
