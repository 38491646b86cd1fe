"""`mainstay import`: a model that another program wrote to a file becomes a version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models import package as files
from mainstay.models.formats.foreign.native_folder import ORIGIN
from mainstay.models.formats.foreign.protocol import Imported, Told
from mainstay.models.importing import called, check_apart, draft_of_file, format_of
from mainstay.models.package import Decision
from mainstay.models.runtime import Model
from mainstay.operations.home import state_of
from mainstay.operations.lineage import lineage_of
from mainstay.operations.loading import loaded
from mainstay.operations.recording import Verdict, page_of, plain, record
from mainstay.operations.registering import constant_answers, truth_of
from mainstay.operations.registries import opened
from mainstay.operations.seen_rows import LEAST
from mainstay.operations.split_rules import Origin, files_in, left_of, rules_in
from mainstay.operations.tables import slice_values, table_of, truth_for
from mainstay.operations.telling import subscribe
from mainstay.operations.trust import trusted_types
from mainstay.registry.refs import model_name
from mainstay.registry.store import Registry
from mainstay.serving.uv import resolve
from mainstay.training.evaluation import Evaluation, evaluate
from mainstay.training.gates import Champion, Gate, GateResult, decide, named, parse
from mainstay.training.values import cells_of

_ORIGIN = ORIGIN[files.LINEAGE]
_UNJUDGED = (
    "It was not evaluated, so it has passed no gate: import it with --evaluate DATA --target COLUMN, or deploy it with "
    "--override and a reason."
)


class ImportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay import` answers."""

    version: str
    passed: bool
    """Whether it may be deployed without an override."""
    source: str
    """The format of the file."""
    description: str
    content_id: str
    inputs: list[str]
    labels: list[bool | int | str]
    largest_difference: float | None
    """Of its answers to those of its own library, over synthetic rows; None where it has no such library."""
    metrics: dict[str, dict[str, float | None]]
    gates: list[GateResult]
    notes: list[str]


_STANDS_FOR = ("manifest.json", "mainstay-model.toml")


def import_file(
    folder: Path,
    path: Path,
    *,
    name: str,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    nullable: Sequence[str] = (),
    target: str | None = None,
    general: bool = False,
    logits: bool = False,
    data: Path | None = None,
    gates: Sequence[str] = (),
    positive: str | None = None,
) -> ImportedVersion:
    """Registers the model of a file as the next version of `name`.

    Args:
        columns, labels, nullable: what the file does not say: names of inputs, of classes, columns that may be missing.
        target: the column that is predicted.
        general: whether the model's outputs are answered as they are.
        logits: whether what it gives for its classes are logits.
        data: rows to evaluate it on, with their true answers; without, it is not evaluated, and has not passed.
        gates: that it is held against there; by default, a trivial baseline must be beaten.
        positive: of two classes, the one to find; by default the last.

    Raises:
        CannotImport, MissingExtra, PackageCorrupt, UntrustedTypes: the file.
        DataError, InputError, GateError, EvaluationError: the rows. BadName.
    """
    model_name(name)
    path = called(path)
    if data is None and (gates or positive is not None):
        raise MainstayError(
            "Gates and the positive label are for rows: give them with --evaluate DATA --target COLUMN."
        )
    for text in gates:
        parse(text)
    told = Told(
        columns=tuple(columns),
        labels=tuple(labels),
        nullable=tuple(nullable),
        target=target,
        trusted=trusted_types(folder),
        general=general,
        logits=logits,
        opened=partial(loaded, folder),
        locked=lambda requirements, python: resolve(requirements, python=python),
    )
    check_apart(path, told)
    made = draft_of_file(path, told)
    served = loaded(folder, made.draft.package())
    signature = served.signature
    conditions = [parse(text, signature.judged) for text in gates]
    origin_said = _origin(made)
    origin = Origin(path.name, rules_in(origin_said, _ORIGIN), files_in(origin_said, _ORIGIN))
    evaluation, left = (
        (None, "") if data is None else _evaluated(folder, served, data, conditions, positive, origin=origin)
    )
    with opened(folder) as registry:
        subscribe(folder, registry)
        verdict = Verdict(
            description=made.description,
            built=made.built,
            evaluation=evaluation,
            gates=[] if evaluation is None else decide(conditions, evaluation, champion=_champion(registry, name)),
            notes=[*made.notes, *_served_as(made), *_unjudged(evaluation), *([left] if left else [])],
        )
        told_of = [msgspec.to_builtins(rule) for rule in origin.rules]
        lineage = lineage_of(
            folder,
            command="mainstay import",
            data=_source(path),
            # What a version has seen it has seen wherever it goes.
            split=told_of[0] if len(told_of) == 1 else None,
            splits=told_of if len(told_of) > 1 else (),
            seen=origin.files,
        )
        page = page_of(name, verdict, lineage)
        version = record(registry, state_of(folder), name, verdict, origin=lineage, page=page).version
    return ImportedVersion(
        version=version.ref,
        passed=verdict.passed,
        source=format_of(path).NAME,
        description=made.description,
        content_id=version.content_id,
        inputs=list(signature.names),
        labels=list(signature.labels),
        largest_difference=_difference(made),
        metrics={} if evaluation is None else plain(evaluation.metrics),
        gates=list(verdict.gates),
        notes=list(verdict.notes),
    )


def _difference(made: Imported) -> float | None:
    parity = made.built.parity
    # A smaller form of another version was held against that one, not against a library.
    return parity.largest_difference if parity.rows and not parity.against else None


def _served_as(made: Imported) -> list[str]:
    return [f"Served as {made.built.format}: {made.built.reason}"] if made.built.reason else []


def _unjudged(evaluation: Evaluation | None) -> list[str]:
    if evaluation is not None:
        return []
    return [_UNJUDGED]


def _origin(made: Imported) -> dict[str, Any]:
    """The lineage that a version's own folder brought along; empty for any other file."""
    package = made.draft.package()
    return package.document(_ORIGIN, dict[str, Any]) if _ORIGIN in package else {}


def _evaluated(
    folder: Path, model: Model, data: Path, gates: Sequence[Gate], positive: str | None, *, origin: Origin
) -> tuple[Evaluation, str]:
    """The evaluation on the rows that the model was not trained on, as far as its origin is known, and what is to be
    told of those that are left out."""
    signature = model.signature
    if signature.tensors or signature.task == "general":
        raise MainstayError(
            "A file of rows holds columns, and this model takes or gives tensors: evaluate it with mainstay.register "
            "and X_test from Python, or import it without --evaluate."
        )
    table, slices = table_of(folder, data.absolute(), missing=signature.missing_tokens or ("", "NA", "NaN", "null"))
    left = left_of([origin], table, data.name)
    rows = np.flatnonzero(left.mask)
    if left.dropped and len(rows) < LEAST:
        raise CheckFailed(
            f"{origin.name} was trained on {left.dropped} of the {len(table)} rows of {data.name}, and of the "
            f"{LEAST} that are needed to judge by {len(rows)} are left: give others with --evaluate."
        )
    table = table.rows(rows)
    truth = truth_for(table, signature)
    if truth is None:
        raise MainstayError(
            f"{data.name} has no full column {signature.target!r} of true answers: name the column with --target."
        )
    if signature.labels and (unknown := [value for value in truth if value not in signature.labels]):
        raise MainstayError(
            f"{data.name} has the answer {unknown[0]!r}, and the model knows "
            f"{', '.join(map(repr, signature.labels))}: name its classes with --labels, in their order."
        )
    y = truth_of(signature, np.array(truth, dtype=object) if signature.labels else truth)
    kept = named(gates)
    decision = _decision(model, positive)
    answers = model.answer(cells_of(table, signature))
    columns = slice_values(table, sorted({*(s for s in slices if s in table.names), *kept}))
    found = evaluate(answers, y, signature, slices=columns, keep=kept, decision=decision)
    base = evaluate(constant_answers(signature, y), y, signature, slices=columns, keep=kept, decision=decision)
    return msgspec.structs.replace(found, baseline=base), left.told(data.name)


def _decision(model: Model, positive: str | None) -> Decision | None:
    labels = model.signature.labels
    if positive is None:
        return model.spec.decision
    spelled = [str(label) for label in labels]
    if len(labels) != 2 or positive not in spelled:
        raise MainstayError(
            f"--positive {positive} is none of two labels: the model has {', '.join(spelled) or 'none'}."
        )
    return Decision(positive=spelled.index(positive), threshold=0.5)


def _champion(registry: Registry, name: str) -> Champion | None:
    """The deployed version, which is not scored: nobody can say that it was not trained on these rows. So a gate
    against it fails closed."""
    deployment = registry.deployment(name)
    if deployment is None:
        return None
    ref = deployment.version.ref
    return Champion(
        ref=ref,
        trouble=f"Whether {ref} or this file was trained on these rows cannot be known, so the two are not compared: "
        "leave the gate out, and see mainstay diff.",
    )


def _source(path: Path) -> dict[str, object]:
    """The file's name and hash; of a folder, those of all its files, or of the one that stands for them: of a class,
    the package has the others, and there lie environments and histories beside them."""
    stands = next((path / name for name in _STANDS_FOR if (path / name).is_file()), None)
    inside = sorted(each for each in path.rglob("*") if each.is_file()) if stands is None else [stands]
    read = {each.relative_to(path).as_posix(): each for each in inside} if path.is_dir() else {path.name: path}
    return {
        "source": path.name,
        "files": {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in read.items()},
    }
