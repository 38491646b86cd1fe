"""From a model that was made to a registered version: evaluated, held against its gates, packaged, told of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mainstay.models import package as files
from mainstay.models.package import encoded
from mainstay.models.packaging import Built
from mainstay.operations.champions import champion
from mainstay.operations.contenders import Contender, cells_for, scored
from mainstay.operations.dvc import pointers
from mainstay.operations.home import state_of
from mainstay.operations.lineage import Lineage, lineage_of
from mainstay.operations.making import Made
from mainstay.operations.preparing import Prepared
from mainstay.operations.recording import Recorded, Verdict, plain, record
from mainstay.operations.watching import Watcher
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation, overfitting
from mainstay.training.gates import GateResult, decide
from mainstay.training.importance import importance
from mainstay.training.metrics import PRIMARY, measure
from mainstay.training.metrics import scored as score_rows
from mainstay.training.report import Finding, ReportInput, TrialPoint

IMPORTANCE_SECONDS = 10.0


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay train` answers."""

    version: str
    passed: bool
    description: str
    format: str
    reason: str
    """Why the model is not served as ONNX, where it is not."""
    metrics: dict[str, dict[str, Any]]
    gates: list[dict[str, Any]]
    parity: dict[str, Any]
    threshold: float | None
    train_rows: int
    test_rows: int
    report: str
    """Path of the report; empty where it could not be written beside the registry, which keeps it all the same."""
    content_id: str
    warnings: list[str]


@dataclass(frozen=True)
class Judged:
    """A model with its evaluation and what its gates said."""

    made: Made
    evaluation: Evaluation
    gates: list[GateResult]


def judge(registry: Registry, prepared: Prepared, made: Made, *, explain: bool = True) -> Judged:
    """Scores a model and its baseline on the held-out rows, and holds it against the project's gates.

    `explain` measures how much each column matters, which takes some seconds.
    """
    test = prepared.table.rows(prepared.test)
    contender, baseline = made.contender, made.baseline
    evaluation = msgspec.structs.replace(
        scored(contender, test, prepared),
        baseline=scored(baseline, test, prepared),
    )
    metric = PRIMARY[prepared.project.task]
    on_training = _training_score(prepared, contender, metric)
    if on_training is not None and metric in evaluation.metrics:
        gap = overfitting(metric, train=on_training, test=evaluation.metrics[metric])
        evaluation = msgspec.structs.replace(evaluation, gap=gap)
    if explain:
        matters = importance(
            contender.answer,
            cells_for(contender, prepared, prepared.test),
            prepared.target.y[prepared.test],
            contender.signature,
            positive=_positive(prepared),
            seconds=IMPORTANCE_SECONDS,
            seed=prepared.project.seed,
        )
        evaluation = msgspec.structs.replace(evaluation, importance=matters)
    against = champion(registry, prepared, contender, baseline)
    return Judged(made, evaluation, decide(prepared.gates, evaluation, champion=against))


def publish(
    registry: Registry,
    prepared: Prepared,
    made: Made,
    *,
    command: str,
    watch: Watcher,
    explain: bool = True,
    replayed: str | None = None,
) -> Trained:
    """Evaluates, packages and registers a model, and writes its report.

    Args:
        replayed: the version whose winner the model is, fitted again.

    Raises:
        ParityFailed: no package answers as the model does. MachineError: the registry cannot be written.
    """
    watch.stage("Evaluating on the held-out rows")
    judged = judge(registry, prepared, made, explain=explain)
    watch.stage("Packaging and proving the package")
    built = made.package()
    watch.stage("Registering")
    origin = lineage_of(
        prepared.folder,
        command=command,
        data=_data(prepared),
        project=prepared.text,
        seed=prepared.project.seed,
        split=msgspec.to_builtins(prepared.division.rule),
        replayed=replayed,
    )
    documents = {files.CHECKS: encoded(prepared.checks)}
    if made.trials is not None:
        documents[files.TRIALS] = encoded(made.trials)
    verdict = Verdict(
        description=made.description,
        built=built,
        evaluation=judged.evaluation,
        gates=judged.gates,
        notes=_warnings(judged, built),
        documents=documents,
    )
    page = _page(prepared, judged, verdict, origin)
    done = record(registry, state_of(prepared.folder), prepared.project.name, verdict, origin=origin, page=page)
    return _trained(prepared, judged, verdict, done)


def _data(prepared: Prepared) -> dict[str, Any]:
    """What the rows came from, with DVC's pointer to it where there is one."""
    found: dict[str, Any] = msgspec.to_builtins(prepared.table.provenance)
    tracked = pointers(prepared.folder, prepared.project.data.path)
    return {**found, "dvc": tracked} if tracked else found


def _training_score(prepared: Prepared, contender: Contender, metric: str) -> float | None:
    """The primary metric on the training rows, to hold beside the held-out one; None where it is undefined."""
    rows = score_rows(
        contender.answer(cells_for(contender, prepared, prepared.train)),
        prepared.target.y[prepared.train],
        task=prepared.project.task,
        classes=len(prepared.signature.labels),
        positive=_positive(prepared),
    )
    return measure(rows).values.get(metric)


def _positive(prepared: Prepared) -> int:
    return 1 if prepared.positive is None else prepared.positive


def _page(prepared: Prepared, judged: Judged, verdict: Verdict, origin: Lineage) -> ReportInput:
    trials = judged.made.trials
    shown = {"split", "project", "configuration", "data"}
    facts = {name: value for name, value in msgspec.to_builtins(origin).items() if name not in shown}
    return ReportInput(
        model=prepared.project.name,
        evaluation=judged.evaluation,
        gates=judged.gates,
        created=f"{origin.at:%Y-%m-%d %H:%M:%S} UTC",
        description=verdict.description,
        inputs=len(prepared.signature.inputs),
        trained_rows=len(prepared.train),
        search_metric="" if trials is None else trials.metric,
        trials=[]
        if trials is None
        else [
            TrialPoint(
                number=trial.number,
                family=trial.plan.description,
                score=trial.score,
                description=trial.reason or ", ".join(f"{k}={v}" for k, v in trial.plan.params.items()),
            )
            for trial in trials.trials
        ],
        findings=[msgspec.convert(msgspec.to_builtins(found), Finding) for found in prepared.checks.findings],
        left_out=prepared.project.left_out,
        parity=msgspec.to_builtins(verdict.built.parity),
        lineage={**facts, "data": origin.data},
        notes=list(verdict.notes),
    )


def _warnings(judged: Judged, built: Built) -> list[str]:
    found = list(judged.made.notes)
    gap, trials = judged.evaluation.gap, judged.made.trials
    if gap is not None and gap.flagged:
        found.append(gap.message)
    elif trials is not None and trials.overfitting is not None and trials.overfitting.flagged:
        found.append(f"The search's winner is over-fitted on validation folds: {trials.overfitting.rule}")
    if built.untrusted:
        found.append(
            f"To serve this version, an operator has to trust {', '.join(built.untrusted)}: "
            "write them in trust.txt, one a line."
        )
    return found


def _trained(prepared: Prepared, judged: Judged, verdict: Verdict, done: Recorded) -> Trained:
    built = verdict.built
    return Trained(
        version=done.version.ref,
        passed=verdict.passed,
        description=verdict.description,
        format=built.format,
        reason=built.reason,
        metrics=plain(judged.evaluation.metrics),
        gates=msgspec.to_builtins(judged.gates),
        parity=msgspec.to_builtins(built.parity),
        threshold=judged.evaluation.threshold,
        train_rows=len(prepared.train),
        test_rows=len(prepared.test),
        report="" if done.report is None else str(done.report),
        content_id=done.version.content_id,
        warnings=list(verdict.notes),
    )
