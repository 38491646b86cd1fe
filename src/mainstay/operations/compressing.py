"""`mainstay compress`: a smaller model of a version, kept only where what it loses can be borne."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import CheckFailed, MainstayError, did_you_mean
from mainstay.models import package as files
from mainstay.models.answers import Answers
from mainstay.models.compressing import NotItself, graph_of, latencies, model_of, repacked
from mainstay.models.package import Package, encoded
from mainstay.models.packaging import Built
from mainstay.models.runtime import Model
from mainstay.operations.home import state_of
from mainstay.operations.lineage import Part, lineage_of
from mainstay.operations.loading import loaded
from mainstay.operations.operator import admitted
from mainstay.operations.recording import Recorded, Verdict, page_of, plain, record
from mainstay.operations.registries import opened
from mainstay.operations.shrinking import TECHNIQUES, Shrinking, Technique
from mainstay.operations.split_rules import files_of
from mainstay.operations.telling import subscribe
from mainstay.operations.unseen import Told, Unseen, of_arrays, of_file, of_project
from mainstay.operations.watching import Silent, Watcher
from mainstay.registry.records import Version
from mainstay.registry.refs import model_name
from mainstay.registry.store import Registry
from mainstay.training.compression import MAX_LOSS, Compression, Loss, Size, loss_of
from mainstay.training.gates import GateResult, decide
from mainstay.training.intervals import Pairing

_KEPT = {"quantize": "8-bit weights", "float16": "half-precision weights", "prune_trees": "fewer trees"}


class LossTooLarge(CheckFailed):
    """A smaller model loses more than is allowed, so it is not registered."""


class CompressedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay compress` answers."""

    version: str
    """Empty where nothing was registered."""
    reason: str
    """Why nothing was registered; empty where it was."""
    passed: bool
    """Whether it may be deployed without an override."""
    source: str
    kept: list[str]
    compression: Compression
    metrics: dict[str, dict[str, Any]]
    gates: list[GateResult]
    notes: list[str]
    content_id: str
    report: str


@dataclass(frozen=True)
class Rows:
    """Rows that the version was not trained on: a file, or arrays; without either, the project's own."""

    data: Path | None = None
    target: str | None = None
    X: Any = None
    y: Any = None
    gates: Sequence[str] = ()


def compress(
    folder: Path,
    ref: str,
    *,
    techniques: Sequence[Technique],
    max_loss: float = MAX_LOSS,
    metric: str | None = None,
    name: str | None = None,
    rows: Rows | None = None,
    watch: Watcher | None = None,
) -> CompressedVersion:
    """Makes a version smaller, and registers that as the next version where its loss holds.

    Args:
        ref: of an ONNX version.
        techniques: that are tried; those are kept that save bytes and whose loss holds.
        max_loss: of the metric: in its own units where it lies between 0 and 1, else as a share of what it was.
        metric: by default the task's primary one.
        name: of the model; by default the version's own.
        rows: by default the project's data, of which the version's own training left some rows out.

    Raises:
        VersionNotFound and its like, PackageCorrupt, NotSigned; CannotCompress: it is no ONNX model.
        SignatureError: a general model has no metric that a loss could be stated in.
        CheckFailed: there are too few rows that it was not trained on; UnknownMeasure; MainstayError: wrong words.
        DataError, InputError, GateError; MachineError.
    """
    watch, rows = watch or Silent(), rows or Rows()
    _check_words(techniques, max_loss, rows)
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        version = registry.version(ref)
        target = model_name(name or version.model)
        package = admitted(folder, registry, version)
        model = loaded(folder, package)
        model.check_golden()
        # What is no ONNX, or has no metric, is refused before any row is read.
        graph_of(package), model.signature.judged
        choose = len(techniques) > 1 or "prune_trees" in techniques
        watch.stage("Reading the rows that the version was not trained on")
        told = Told(version, package, model, tuple(rows.gates), target, choose)
        unseen = _unseen(folder, told, rows, watch=watch)
        work = Shrinking(package, model, unseen, metric=metric, max_loss=max_loss)
        for technique in TECHNIQUES:
            if technique in techniques:
                watch.stage(f"Trying --{_flag(technique)}")
                work.attempt(technique)
        watch.stage("Judging the smaller model")
        judged = _judged(version, work)
        if judged.built is None:
            return _answer(version, judged)
        watch.stage("Registering")
        return _registered(folder, registry, version, judged, name=target)


def compressed(
    folder: Path,
    ref: str,
    *,
    quantize: bool,
    float16: bool,
    prune_trees: bool,
    max_loss: float,
    metric: str | None,
    name: str | None,
    data: Path | None,
    target: str | None,
    X_test: Any,
    y_test: Any,
    gates: Sequence[str],
) -> Version:
    """As `mainstay.compress` says. Raises LossTooLarge where nothing is registered, and as `compress`."""
    asked: dict[Technique, bool] = {"quantize": quantize, "float16": float16, "prune_trees": prune_trees}
    done = compress(
        folder,
        ref,
        techniques=[technique for technique, wanted in asked.items() if wanted],
        max_loss=max_loss,
        metric=metric,
        name=name,
        rows=Rows(data=data, target=target, X=X_test, y=y_test, gates=gates),
    )
    if not done.version:
        raise LossTooLarge(done.reason)
    with opened(folder, create=False) as registry:
        return registry.version(done.version)


def _check_words(techniques: Sequence[str], max_loss: float, rows: Rows) -> None:
    if not techniques:
        raise MainstayError("Say how to make it smaller: --quantize, --float16, --prune-trees, or several of them.")
    for technique in techniques:
        if technique not in TECHNIQUES:
            raise MainstayError(
                f"{technique!r} is no technique: it is one of {', '.join(TECHNIQUES)}."
                f"{did_you_mean(technique, TECHNIQUES)}"
            )
    if not 0 <= max_loss < 1:
        raise MainstayError(f"--max-loss {max_loss:g} must be at least 0 and below 1, such as 0.005.")
    if (rows.X is None) != (rows.y is None):
        raise MainstayError("X_test and y_test belong together: give both, or neither.")
    if rows.X is not None and rows.data is not None:
        raise MainstayError("Rows come from a file or from X_test and y_test: give one of them.")
    if rows.X is None and rows.data is None and (rows.gates or rows.target):
        raise MainstayError(
            "--target and --gate belong to --evaluate DATA; without it, the project's data and gates are taken."
        )


def _unseen(folder: Path, told: Told, rows: Rows, *, watch: Watcher) -> Unseen:
    if rows.data is not None:
        return of_file(folder, told, rows.data, target=rows.target)
    if rows.X is not None:
        return of_arrays(told, rows.X, rows.y)
    return of_project(folder, told, watch=watch)


@dataclass(frozen=True)
class _Judged:
    """A smaller model, and what the rows that judge say of it."""

    work: Shrinking
    model: Model
    answers: Answers
    told: Compression
    built: Built | None
    """None where it is not to be registered."""
    reason: str
    """Why it is not."""


def _judged(version: Version, work: Shrinking) -> _Judged:
    unseen = work.unseen
    cells = unseen.cells.rows(unseen.judging)
    model = model_of(work.package, work.graph)
    answers, before = model.answer(cells), work.before.rows(unseen.judging)
    one, other = (unseen.scored(each, unseen.judging) for each in (before, answers))
    loss = loss_of(Pairing(one, seed=unseen.seed), other, work.metric)
    built, reason = None, _refusal(work, loss)
    if not reason:
        try:
            built = repacked(work.package, work.graph, source=version.ref, cells=cells)
        except NotItself as error:
            reason = f"Nothing is registered: {error}"
    sizes = _sizes(work, model.package)
    told = Compression(
        source=version.ref,
        content_id=version.content_id,
        kept=work.kept,
        max_loss=work.max_loss,
        chosen_on=len(unseen.choosing),
        loss=loss,
        before=sizes[0],
        after=sizes[1],
        labels_changed=None if one.labels is None or other.labels is None else int(np.sum(one.labels != other.labels)),
        tried=tuple(work.tried),
    )
    return _Judged(work, model, answers, told, built, reason)


def _refusal(work: Shrinking, loss: Loss) -> str:
    """Why the model as it is by now is not registered; empty where it is."""
    if not work.kept:
        return "Nothing is registered. " + " ".join(f"--{_flag(each.technique)}: {each.reason}" for each in work.tried)
    if not loss.holds(work.max_loss):
        return (
            f"Nothing is registered: {loss.told()}, and {work.max_loss:g} is allowed. Bring more rows, or give a "
            "larger --max-loss."
        )
    return ""


def _flag(technique: str) -> str:
    return technique.replace("_", "-")


def _sizes(work: Shrinking, smaller: Package) -> tuple[Size, Size]:
    one, other = latencies([work.package, smaller], work.unseen.cells.rows(slice(0, 1)))
    return Size(bytes=len(work.original), microseconds=one), Size(bytes=len(work.graph), microseconds=other)


def _registered(folder: Path, registry: Registry, version: Version, judged: _Judged, *, name: str) -> CompressedVersion:
    work, unseen, told = judged.work, judged.work.unseen, judged.told
    assert judged.built is not None
    evaluation = unseen.evaluated(judged.answers)
    original = unseen.evaluated(work.before.rows(unseen.judging))
    verdict = Verdict(
        description=f"{version.summary.get('description') or 'ONNX'}, {' and '.join(_KEPT[k] for k in told.kept)}",
        built=judged.built,
        evaluation=evaluation,
        gates=decide(unseen.gates, evaluation, champion=unseen.defend(registry, judged.model, original, evaluation)),
        notes=unseen.notes,
        documents={files.COMPRESSION: encoded(told)},
    )
    origin = lineage_of(
        folder,
        command="mainstay compress",
        data=dict(unseen.data),
        seed=unseen.seed,
        split=msgspec.to_builtins(unseen.rules[0]) if len(unseen.rules) == 1 else None,
        splits=[msgspec.to_builtins(rule) for rule in unseen.rules] if len(unseen.rules) > 1 else (),
        parts=(Part(version=version.ref, content_id=version.content_id),),
        seen=files_of(work.package),
    )
    page = page_of(name, verdict, origin)
    assert page is not None  # it was evaluated
    page = msgspec.structs.replace(page, compression=told)
    done = record(registry, state_of(folder), name, verdict, origin=origin, page=page)
    return _answer(version, judged, done=done, verdict=verdict)


def _answer(
    version: Version, judged: _Judged, *, done: Recorded | None = None, verdict: Verdict | None = None
) -> CompressedVersion:
    evaluation = None if verdict is None else verdict.evaluation
    return CompressedVersion(
        version="" if done is None else done.version.ref,
        reason=judged.reason,
        passed=verdict is not None and verdict.passed,
        source=version.ref,
        kept=list(judged.told.kept) if done else [],
        compression=judged.told,
        metrics={} if evaluation is None else plain(evaluation.metrics),
        gates=[] if verdict is None else list(verdict.gates),
        notes=list(judged.work.unseen.notes),
        content_id="" if done is None else done.version.content_id,
        report="" if done is None or done.report is None else str(done.report),
    )
