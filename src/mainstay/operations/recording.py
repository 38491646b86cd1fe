"""A packaged model becomes a version: with its evaluation, origin and environment, and a report to open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mainstay.models import package as files
from mainstay.models.package import Draft, encoded
from mainstay.models.packaging import Built
from mainstay.operations.home import actor
from mainstay.operations.lineage import Lineage, environment
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.training.evaluation import Evaluation
from mainstay.training.gates import GateResult, passed
from mainstay.training.metrics import PRIMARY
from mainstay.training.report import ReportInput, render

REPORTS = "reports"


@dataclass(frozen=True)
class Verdict:
    """What is known of a model, however it was made."""

    description: str
    built: Built
    evaluation: Evaluation | None
    """None where there were no rows to judge by."""
    gates: Sequence[GateResult] = ()
    notes: Sequence[str] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Further attestations."""

    @property
    def passed(self) -> bool:
        return self.evaluation is not None and passed(self.gates)


@dataclass(frozen=True)
class Recorded:
    """A registered version, and where its report lies."""

    version: Version
    report: Path | None
    """None where there is none, or it could not be written."""


def record(
    registry: Registry, root: Path, model: str, verdict: Verdict, *, origin: Lineage, page: ReportInput | None
) -> Recorded:
    """Registers a version, and puts a copy of its report beside the registry.

    Args:
        root: the project's state folder.
        page: what the report tells; None where nothing was evaluated.

    Raises:
        BadName; MachineError: the registry cannot be written.
    """
    attestations = {
        **verdict.built.draft.attestations,
        files.LINEAGE: encoded(origin),
        files.ENVIRONMENT: environment(),
        **verdict.documents,
    }
    report = None if page is None else render(page)
    if verdict.evaluation is not None:
        attestations[files.EVALUATION] = encoded(verdict.evaluation)
    if report is not None:
        attestations[files.REPORT] = report
    version = registry.add(
        model,
        Draft(verdict.built.draft.content, attestations),
        passed=verdict.passed,
        actor=actor(),
        summary=_summary(verdict),
    )
    return Recorded(version, None if report is None else _copied(root / REPORTS, version, report))


def page_of(name: str, verdict: Verdict, origin: Lineage) -> ReportInput | None:
    """The report of a model that came from elsewhere; None where it was not evaluated."""
    if verdict.evaluation is None:
        return None
    return ReportInput(
        model=name,
        evaluation=verdict.evaluation,
        gates=list(verdict.gates),
        created=f"{origin.at:%Y-%m-%d %H:%M:%S} UTC",
        description=verdict.description,
        parity=msgspec.to_builtins(verdict.built.parity),
        notes=list(verdict.notes),
    )


def plain(estimates: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Metrics as plain values: value, low, high by name."""
    return {name: msgspec.to_builtins(estimate) for name, estimate in estimates.items()}


def _summary(verdict: Verdict) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "description": verdict.description,
        "format": verdict.built.format,
        "gates": msgspec.to_builtins(list(verdict.gates)),
    }
    if verdict.notes:
        summary["notes"] = list(verdict.notes)
    if verdict.evaluation is not None:
        summary["primary"] = PRIMARY[verdict.evaluation.task]
        summary["metrics"] = plain(verdict.evaluation.metrics)
    return summary


def _copied(folder: Path, version: Version, report: bytes) -> Path | None:
    """The report under a name that a browser opens. Its original is a file of the version, so that a full disk here
    costs nothing but the copy."""
    path = folder / f"{version.model}-{version.number}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(report)
    except OSError:
        return None
    return path
