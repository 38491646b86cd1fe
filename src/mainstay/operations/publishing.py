"""From a model that was made to a registered version: evaluated, held against its gates, packaged, told of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from mainstay.models import package as files
from mainstay.models.package import Draft, encoded
from mainstay.models.packaging import Built
from mainstay.operations import lineage
from mainstay.operations.champions import champion
from mainstay.operations.contenders import scored
from mainstay.operations.home import actor, state_of
from mainstay.operations.making import Made
from mainstay.operations.preparing import Prepared
from mainstay.operations.watching import Watcher
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation, overfitting
from mainstay.training.gates import GateResult, decide, passed
from mainstay.training.importance import importance
from mainstay.training.metrics import PRIMARY, measure
from mainstay.training.metrics import scored as score_rows
from mainstay.training.report import Finding, ReportInput, TrialPoint, render

REPORTS = "reports"
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
    """Path of the report."""
    content_id: str
    warnings: list[str]


@dataclass(frozen=True)
class Judged:
    """A model with its evaluation and what its gates said."""

    made: Made
    evaluation: Evaluation
    gates: list[GateResult]

    @property
    def passed(self) -> bool:
        return passed(self.gates)


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
    on_training = _training_score(prepared, made, metric)
    if on_training is not None and metric in evaluation.metrics:
        gap = overfitting(metric, train=on_training, test=evaluation.metrics[metric])
        evaluation = msgspec.structs.replace(evaluation, gap=gap)
    if explain and contender.signature is prepared.signature:
        matters = importance(
            contender.answer,
            prepared.cells.rows(prepared.test),
            prepared.target.y[prepared.test],
            prepared.signature,
            positive=1 if contender.decision is None else contender.decision.positive,
            seconds=IMPORTANCE_SECONDS,
            seed=prepared.project.seed,
        )
        evaluation = msgspec.structs.replace(evaluation, importance=matters)
    against = champion(registry, prepared, contender, baseline)
    return Judged(made, evaluation, decide(prepared.gates, evaluation, champion=against))


def publish(
    registry: Registry, prepared: Prepared, made: Made, *, command: str, watch: Watcher, explain: bool = True
) -> Trained:
    """Evaluates, packages and registers a model, and writes its report.

    Raises:
        ParityFailed: no package answers as the model does. MachineError: the registry cannot be written.
    """
    watch.stage("Evaluating on the held-out rows")
    judged = judge(registry, prepared, made, explain=explain)
    watch.stage("Packaging and proving the package")
    built = made.package()
    watch.stage("Registering")
    origin = _lineage(prepared, command)
    report = render(_report(prepared, judged, built, origin))
    attestations = {
        **built.draft.attestations,
        files.EVALUATION: encoded(judged.evaluation),
        files.CHECKS: encoded(prepared.checks),
        files.LINEAGE: encoded(origin),
        files.ENVIRONMENT: lineage.environment(),
        files.REPORT: report,
    }
    if made.trials is not None:
        attestations[files.TRIALS] = encoded(made.trials)
    version = registry.add(
        prepared.project.name,
        Draft(built.draft.content, attestations),
        passed=judged.passed,
        actor=actor(),
        summary=_summary(judged, built),
    )
    path = _write_report(state_of(prepared.folder), version, report)
    return _trained(prepared, judged, built, version, path)


def _training_score(prepared: Prepared, made: Made, metric: str) -> float | None:
    """The primary metric on the training rows, to hold beside the held-out one; None where it is undefined."""
    if made.contender.signature is not prepared.signature:
        return None
    decision = made.contender.decision
    rows = score_rows(
        made.contender.answer(prepared.cells.rows(prepared.train)),
        prepared.target.y[prepared.train],
        task=prepared.project.task,
        classes=len(prepared.signature.labels),
        positive=1 if decision is None else decision.positive,
    )
    return measure(rows).values.get(metric)


def _lineage(prepared: Prepared, command: str) -> lineage.Lineage:
    return lineage.Lineage(
        at=datetime.now(UTC),
        actor=actor(),
        command=command,
        data=msgspec.to_builtins(prepared.table.provenance),
        configuration=lineage.text_hash(prepared.text),
        project=prepared.text,
        seed=prepared.project.seed,
        split=msgspec.to_builtins(prepared.division.rule),
        git=lineage.commit_of(prepared.folder),
        python=lineage.python_version(),
        platform=lineage.platform_name(),
        libraries=lineage.libraries(),
    )


def _report(prepared: Prepared, judged: Judged, built: Built, origin: lineage.Lineage) -> ReportInput:
    trials = judged.made.trials
    shown = {"split", "project", "configuration", "data"}
    facts = {name: value for name, value in msgspec.to_builtins(origin).items() if name not in shown}
    return ReportInput(
        model=prepared.project.name,
        evaluation=judged.evaluation,
        gates=judged.gates,
        created=f"{origin.at:%Y-%m-%d %H:%M:%S} UTC",
        description=judged.made.description,
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
        parity=msgspec.to_builtins(built.parity),
        lineage={**facts, "data": origin.data},
        notes=_warnings(judged, built),
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


def _summary(judged: Judged, built: Built) -> dict[str, Any]:
    return {
        "description": judged.made.description,
        "primary": PRIMARY[judged.evaluation.task],
        "metrics": {name: _plain(estimate) for name, estimate in judged.evaluation.metrics.items()},
        "gates": msgspec.to_builtins(judged.gates),
        "format": built.format,
    }


def _trained(prepared: Prepared, judged: Judged, built: Built, version: Version, report: Path) -> Trained:
    return Trained(
        version=version.ref,
        passed=judged.passed,
        description=judged.made.description,
        format=built.format,
        reason=built.reason,
        metrics={name: _plain(estimate) for name, estimate in judged.evaluation.metrics.items()},
        gates=msgspec.to_builtins(judged.gates),
        parity=msgspec.to_builtins(built.parity),
        threshold=judged.evaluation.threshold,
        train_rows=len(prepared.train),
        test_rows=len(prepared.test),
        report=str(report),
        content_id=version.content_id,
        warnings=_warnings(judged, built),
    )


def _plain(estimate: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(estimate)
    return plain


def _write_report(root: Path, version: Version, report: bytes) -> Path:
    """A copy of the report under a name that a browser opens."""
    folder = root / REPORTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{version.model}-{version.number}.html"
    path.write_bytes(report)
    return path
