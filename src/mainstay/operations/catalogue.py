"""What a person can ask of the registry: list, show, compare, what happened; and moving an alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.package import Package
from mainstay.models.tensors import Tensor
from mainstay.operations.expecting import expected
from mainstay.operations.home import actor
from mainstay.operations.registries import opened
from mainstay.operations.telling import subscribe
from mainstay.registry.errors import AliasMoved, ModelNotFound
from mainstay.registry.records import Status, Version

_T = TypeVar("_T")
UNEVALUATED = "not evaluated"
"""What a version is called that no rows judged."""
_STATES: Mapping[Status, str] = {
    "deployed": "deployed",
    "candidate": "in the rollout that runs",
    "beside": "deployed beside the champion",
    "ready": "passed its gates",
    "failed": "failed a gate",
}


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One version, as a line."""

    version: str
    passed: bool
    evaluated: bool
    """Whether there were rows to judge it by; what was not evaluated has passed no gate."""
    deployed: bool
    """Whether it takes its model's traffic."""
    beside: bool
    """Whether it is served beside the one that does."""
    candidate: bool
    """Whether it is the other version of the rollout that runs."""
    aliases: list[str]
    metric: str
    description: str
    format: str
    created_at: str
    actor: str


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    versions: list[Listed]
    next: str | None
    """The last of them, where there are older ones: the next page is what comes before it."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of a version, but for its model."""

    version: str
    content_id: str
    facts: dict[str, str]
    inputs: list[tuple[str, str, str]]
    """Name, type, and what becomes of missing values."""
    metrics: dict[str, dict[str, Any]]
    gates: list[dict[str, Any]]
    lineage: dict[str, Any]
    files: list[tuple[str, int, str]]
    """Name, size in bytes, SHA-256."""
    notes: list[str]
    """What whoever registered it was told: rows that were left out, why it is not ONNX."""


class MetricPair(msgspec.Struct, frozen=True, kw_only=True):
    metric: str
    one: float | None
    other: float | None
    difference: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions side by side."""

    one: str
    other: str
    metrics: list[MetricPair]
    facts: list[tuple[str, str, str]]
    notes: list[str]


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: str
    actor: str
    kind: str
    model: str | None
    version: str | None
    reason: str
    evidence: dict[str, Any]


class Events(msgspec.Struct, frozen=True, kw_only=True):
    events: list[Happened]
    next: int | None
    """The id of the first of them, where there are older ones: the next page is what comes before it."""


class Pointed(msgspec.Struct, frozen=True, kw_only=True):
    alias: str
    version: str
    before: str | None


def listed(folder: Path, model: str | None, *, limit: int, before: str | None = None) -> Listing:
    """The newest versions, of one model or of all; those before one, where it is given.

    Raises:
        NoRegistry, ModelNotFound, VersionNotFound and its like; MainstayError: `before` is of another model.
    """
    with opened(folder, create=False) as registry:
        last = None if before is None else registry.version(before)
        if last is not None and model not in (None, last.model):
            raise MainstayError(f"{last.ref} is no version of {model}: name one that the last page ended with.")
        found, more = _page(registry.versions(model, limit=limit + 1, before=last), limit)
        names: dict[str, list[str]] = {}
        for name in {version.model for version in found}:
            for alias in registry.aliases(name):
                names.setdefault(alias.ref, []).append(alias.name)
    lines = [_line(version, names.get(version.ref, [])) for version in found]
    return Listing(versions=lines, next=found[-1].ref if more else None)


def shown(folder: Path, ref: str) -> Shown:
    """A version in full. Raises NoRegistry, VersionNotFound and its like, PackageCorrupt."""
    with opened(folder, create=False) as registry:
        version = registry.version(ref)
        package = registry.package(version)
        aliases = [alias.name for alias in registry.aliases(version.model) if alias.number == version.number]
    lineage = document(package, files.LINEAGE)
    return Shown(
        version=version.ref,
        content_id=version.content_id,
        facts=_facts(version, package, aliases, lineage),
        inputs=[
            (column.name, column.type, "accepted" if column.nullable else "refused")
            for column in package.signature.inputs
        ]
        + [(tensor.name, _taken(tensor), "refused") for tensor in package.signature.tensors],
        metrics=metrics_of(package),
        gates=version.summary.get("gates", []),
        lineage=lineage,
        files=[(name, entry.size, entry.sha256) for name, entry in package.manifest.files.items()],
        notes=version.summary.get("notes", []),
    )


def compared(folder: Path, one: str, other: str) -> Comparison:
    """Two versions' evaluations and making. Raises as `shown`."""
    left, right = shown(folder, one), shown(folder, other)
    names = [*left.metrics, *(name for name in right.metrics if name not in left.metrics)]
    facts = [
        (name, left.facts.get(name, ""), right.facts.get(name, ""))
        for name in {**left.facts, **right.facts}
        if left.facts.get(name) != right.facts.get(name)
    ]
    return Comparison(
        one=left.version,
        other=right.version,
        metrics=[_pair(name, left.metrics.get(name), right.metrics.get(name)) for name in names],
        facts=facts,
        notes=list(_cautions(left, right)),
    )


def happened(folder: Path, model: str | None, *, limit: int, before: int | None = None) -> Events:
    """The last events, oldest first; those before one, where its id is given. Raises NoRegistry, ModelNotFound."""
    with opened(folder, create=False) as registry:
        if model is not None and model not in (known := registry.models()):
            raise ModelNotFound(model, known)
        found, more = _page(registry.latest_events(model, limit=limit + 1, before=before), limit)
    return Events(
        next=found[-1].id if more else None,
        events=[
            Happened(
                id=event.id,
                at=f"{event.at:%Y-%m-%d %H:%M:%S} UTC",
                actor=event.actor,
                kind=event.kind,
                model=event.model,
                version=None if event.version is None else f"{event.model}:{event.version}",
                reason=event.reason,
                evidence=event.evidence,
            )
            for event in reversed(found)
        ],
    )


def point(folder: Path, ref: str, alias: str, *, reason: str, expecting: str | None = None) -> Pointed:
    """Points an alias at a version, from wherever it is now.

    Args:
        expecting: the version that it has to be at now, such as "credit:1", or "none"; by default anywhere.

    Raises:
        AliasMoved: it is elsewhere, or somebody else moved it meanwhile. BadName, VersionNotFound.
    """
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        version = registry.version(ref)
        at = next((a for a in registry.aliases(version.model) if a.name == alias), None)
        before = None if at is None else registry.version(at.ref)
        if expecting is not None:
            wanted, found = expected(registry, expecting, version.model), None if before is None else before.ref
            if wanted != found:
                by = None if at is None else at.actor
                raise AliasMoved(version.model, alias, expected=wanted, found=found, by=by)
        registry.point(version.model, alias, version, expecting=before, actor=actor(), reason=reason)
    return Pointed(alias=f"{version.model}@{alias}", version=version.ref, before=None if before is None else before.ref)


def is_evaluated(version: Version) -> bool:
    """Whether a version was evaluated, or held against gates."""
    return bool(version.summary.get("metrics") or version.summary.get("gates"))


def document(package: Package, name: str) -> dict[str, Any]:
    """A JSON attestation as plain values; empty where the version has none (a model that its owner registered)."""
    return package.document(name, dict[str, Any]) if name in package else {}


def metrics_of(package: Package) -> dict[str, dict[str, Any]]:
    """The metrics of a version's evaluation: value, low and high by name."""
    metrics: dict[str, dict[str, Any]] = document(package, files.EVALUATION).get("metrics", {})
    return metrics


def _page(found: Sequence[_T], limit: int) -> tuple[Sequence[_T], bool]:
    """At most `limit`, and whether there are more."""
    return found[:limit], len(found) > limit


def _line(version: Version, aliases: list[str]) -> Listed:
    summary = version.summary
    metric = summary.get("primary")
    value = summary.get("metrics", {}).get(metric, {}).get("value")
    return Listed(
        version=version.ref,
        passed=version.passed,
        evaluated=is_evaluated(version),
        deployed=version.deployed,
        beside=version.beside,
        candidate=version.candidate,
        aliases=aliases,
        metric="" if value is None else f"{metric} {value:.4g}",
        description=summary.get("description", ""),
        format=version.format,
        created_at=f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC",
        actor=version.actor,
    )


def _facts(version: Version, package: Package, aliases: list[str], lineage: dict[str, Any]) -> dict[str, str]:
    data = lineage.get("data", {})
    git = lineage.get("git") or {}
    decision = package.spec.decision
    facts = {
        "state": _STATES[version.status] if version.status != "failed" or is_evaluated(version) else UNEVALUATED,
        "aliases": ", ".join(aliases),
        "model": version.summary.get("description", ""),
        "task": package.signature.task,
        "target": package.signature.target,
        "outputs": ", ".join(f"{output.name} {output.told()}" for output in package.signature.outputs),
        "served as": version.format + (f" ({package.spec.reason})" if package.spec.reason else ""),
        "threshold": ""
        if decision is None
        else f"{decision.threshold:.6g} for {package.signature.labels[decision.positive]!r}",
        "created": f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC by {version.actor}",
        "data": ", ".join(f"{name} (sha256 {sha[:12]})" for name, sha in data.get("files", {}).items()),
        "rows": str(data.get("rows", "")),
        "seed": str(lineage.get("seed", "")),
        "git": git.get("commit", "") + (" with local changes" if git.get("dirty") else ""),
        "python": lineage.get("python", ""),
    }
    return {name: value for name, value in facts.items() if value}


def _taken(tensor: Tensor) -> str:
    return tensor.told() + (f" or a picture ({tensor.image.mode})" if tensor.image else "")


def _pair(name: str, left: dict[str, Any] | None, right: dict[str, Any] | None) -> MetricPair:
    one = None if left is None else left["value"]
    other = None if right is None else right["value"]
    difference = None if one is None or other is None else other - one
    return MetricPair(metric=name, one=one, other=other, difference=difference)


def _cautions(left: Shown, right: Shown) -> list[str]:
    one, other = left.lineage.get("data", {}).get("files"), right.lineage.get("data", {}).get("files")
    if one != other or left.lineage.get("split") != right.lineage.get("split"):
        return ["The two were evaluated on different rows: mainstay diff asks both about the same ones."]
    return []
