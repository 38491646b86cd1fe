"""Versions: added, found, listed; never changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, insert, select

from mainstay.models.package import GOLDEN, SIGNATURE, SPEC, Draft, FileEntry, Manifest
from mainstay.registry import events, schema
from mainstay.registry.errors import (
    AliasNotFound,
    AttestationExists,
    IncompletePackage,
    ModelNotFound,
    NotDeployed,
    VersionNotFound,
)
from mainstay.registry.ids import new_id
from mainstay.registry.records import Version
from mainstay.registry.refs import CHAMPION, Ref
from mainstay.registry.transactions import as_kept

_V, _M, _D, _A = schema.version.c, schema.model.c, schema.deployment.c, schema.attestation.c
_B = schema.beside.c
_R = schema.rollout.c
# Not a join: asked of one version, SQLite then looks into the index of the running ones alone.
_IN_ROLLOUT = (
    select(_R.id)
    .where(_R.model_id == _V.model_id, _R.ended_at.is_(None), (_R.candidate_id == _V.id) | (_R.stable_id == _V.id))
    .correlate(schema.version)
    .exists()
)


def query_with(prefix: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """Versions, and these columns of what joins them, whose names then begin with `prefix`; see `parted`."""
    return query().add_columns(*(column.label(prefix + str(column.key)) for column in columns))


def parted(row: Row[Any], prefix: str) -> tuple[Version, dict[str, Any]]:
    """The version in a row of `query_with`, and the values of the columns beside it, by name."""
    beside, own = {}, {}
    for name, value in row._mapping.items():  # noqa: SLF001 — SQLAlchemy's public name for a row as a mapping
        if name.startswith(prefix):
            beside[name.removeprefix(prefix)] = value
        else:
            own[name] = value
    return Version(**own), beside


def query() -> Select[Any]:
    return (
        select(
            *(column for column in _V if column.name != "model_id"),
            _M.name.label("model"),
            _D.version_id.is_not(None).label("deployed"),
            _B.version_id.is_not(None).label("beside"),
            (_D.version_id.is_(None) & _IN_ROLLOUT).label("candidate"),
        )
        .join(schema.model, _M.id == _V.model_id)
        .join(schema.deployment, _D.version_id == _V.id, isouter=True)
        # By both: that is its primary key.
        .join(schema.beside, (_B.model_id == _V.model_id) & (_B.version_id == _V.id), isouter=True)
    )


# Made once: making a statement takes longer than SQLite takes to run it.
_CALLED = query().where(_M.name == bindparam("called"))
_NUMBERED = _CALLED.where(_V.number == bindparam("numbered"))
_DEPLOYED = _CALLED.where(_D.version_id.is_not(None))
_ALIASED = _CALLED.join(schema.alias, schema.alias.c.version_id == _V.id).where(
    schema.alias.c.name == bindparam("aliased")
)
_NEWEST = _CALLED.order_by(_V.number.desc()).limit(1)
_BY_ID = query().where(_V.id == bindparam("known"))
# Not ordered: for that, SQLite would go through all versions of the model by number.
_TWINS = query().where(_V.model_id == bindparam("of"), _V.content_id == bindparam("answers"))
_LATEST = select(func.max(_V.number)).where(_V.model_id == bindparam("of"))
# FOR UPDATE, where the database has it, makes numbers of one model wait for each other.
_LOCKED = select(_M.id).where(_M.name == bindparam("called")).with_for_update()
_ADD, _ADD_ATTESTATION = insert(schema.version), insert(schema.attestation)


def format_of(draft: Draft) -> str:
    """The format of a draft that has all that serving a version takes.

    Raises:
        IncompletePackage: a file is missing.
        PackageCorrupt, SignatureError: a file cannot be understood.
    """
    package = draft.package()
    for name in (SPEC, SIGNATURE, GOLDEN):
        if name not in draft.content:
            raise IncompletePackage(name)
    spec = package.spec
    if spec.file not in draft.content:
        raise IncompletePackage(spec.file)
    _ = package.signature
    return spec.format


def add(
    connection: Connection,
    model: str,
    manifest: Manifest,
    *,
    kind: str,
    passed: bool,
    actor: str,
    summary: Mapping[str, Any],
    at: datetime,
) -> Version:
    """A new version under the model's next number, or the one that has these files and this verdict already."""
    model_id = _model(connection, model, at)
    twins = connection.execute(_TWINS, {"of": model_id, "answers": manifest.content_id})
    same_answers = sorted((record(row) for row in twins), key=lambda twin: twin.number)
    for twin in same_answers:
        if twin.passed == passed and attestations(connection, twin.id, original=True) == manifest.attestations:
            events.write(connection, events.REGISTERED_AGAIN, at=at, actor=actor, model=model, version=twin.number)
            return twin
    version_id, number = new_id(at), _latest(connection, model_id) + 1
    row: dict[str, Any] = {
        "id": version_id,
        "number": number,
        "content_id": manifest.content_id,
        "format": kind,
        "passed": passed,
        "summary": as_kept(summary),
        "actor": actor,
        "created_at": at,
    }
    connection.execute(_ADD, {**row, "model_id": model_id})
    _attest(connection, version_id, manifest.attestations, original=True, actor=actor, at=at)
    evidence = {"content_id": manifest.content_id, "passed": passed, "summary": dict(summary)}
    if same_answers:
        evidence["same_content_as"] = same_answers[0].ref
    events.write(connection, events.REGISTERED, at=at, actor=actor, model=model, version=number, evidence=evidence)
    return Version(**row, model=model, deployed=False)


def attest(connection: Connection, version: Version, name: str, entry: FileEntry, *, actor: str, at: datetime) -> None:
    """Adds an attestation to a version; the same one twice is one.

    Raises:
        VersionNotFound, AttestationExists.
    """
    by_id(connection, version.id, ref=version.ref)
    there = attestations(connection, version.id).get(name)
    if there == entry:
        return
    if there is not None:
        raise AttestationExists(version.ref, name)
    _attest(connection, version.id, {name: entry}, original=False, actor=actor, at=at)
    events.write(
        connection,
        events.ATTESTED,
        at=at,
        actor=actor,
        model=version.model,
        version=version.number,
        evidence={"name": name, "sha256": entry.sha256},
    )


def attestations(connection: Connection, version_id: str, *, original: bool = False) -> dict[str, FileEntry]:
    """The attestations of a version by name; with `original`, those it was registered with."""
    chosen = select(_A.name, _A.sha256, _A.size).where(_A.version_id == version_id).order_by(_A.name)
    if original:
        chosen = chosen.where(_A.original)
    return {row.name: FileEntry(row.sha256, row.size) for row in connection.execute(chosen)}


def blobs_named(connection: Connection) -> tuple[list[tuple[str, str]], set[str]]:
    """Each different list of content files, as the ref of a version and its content id; the attestations' hashes."""
    lists: dict[str, str] = {}
    chosen = select(_M.name, _V.number, _V.content_id).join(schema.model, _M.id == _V.model_id)
    for row in connection.execute(chosen):
        lists.setdefault(row.content_id, f"{row.name}:{row.number}")
    attested = set(connection.execute(select(_A.sha256).distinct()).scalars())
    return [(ref, content_id) for content_id, ref in lists.items()], attested


def find(connection: Connection, ref: Ref) -> Version:
    """The version that a ref names now.

    Raises:
        ModelNotFound, VersionNotFound, AliasNotFound, NotDeployed.
    """
    if ref.number is not None:
        found = connection.execute(_NUMBERED, {"called": ref.model, "numbered": ref.number})
    elif ref.alias == CHAMPION:
        found = connection.execute(_DEPLOYED, {"called": ref.model})
    elif ref.alias is not None:
        found = connection.execute(_ALIASED, {"called": ref.model, "aliased": ref.alias})
    else:
        found = connection.execute(_NEWEST, {"called": ref.model})
    row = found.first()
    if row is None:
        raise _not_found(connection, ref)
    return record(row)


def by_id(connection: Connection, version_id: str, *, ref: str) -> Version:
    """The version with this id; `ref` stands in the error. Raises VersionNotFound."""
    row = connection.execute(_BY_ID, {"known": version_id}).first()
    if row is None:
        raise VersionNotFound(ref, 0)
    return record(row)


def model_id(connection: Connection, model: str) -> str:
    """The id of a model. Raises ModelNotFound."""
    found = connection.execute(select(_M.id).where(_M.name == model)).scalar_one_or_none()
    if found is None:
        raise ModelNotFound(model, models(connection))
    return str(found)


def models(connection: Connection) -> list[str]:
    """The names of all models, in order."""
    return list(connection.execute(select(_M.name).order_by(_M.name)).scalars())


def page(connection: Connection, *, model: str | None, limit: int, before: Version | None) -> list[Version]:
    """Versions, newest first: of one model by number, of all by the time of registration."""
    if model is not None:
        chosen = query().where(_V.model_id == model_id(connection, model)).order_by(_V.number.desc())
        if before is not None:
            chosen = chosen.where(_V.number < before.number)
    else:
        chosen = query().order_by(_V.id.desc())
        if before is not None:
            chosen = chosen.where(_V.id < before.id)
    return [record(row) for row in connection.execute(chosen.limit(limit))]


def record(row: Row[Any]) -> Version:
    return Version(**row._mapping)  # noqa: SLF001 — SQLAlchemy's public name for a row as a mapping


def _model(connection: Connection, name: str, at: datetime) -> str:
    found = connection.execute(_LOCKED, {"called": name}).scalar_one_or_none()
    if found is not None:
        return str(found)
    row = {"id": new_id(at), "name": name, "created_at": at}
    connection.execute(insert(schema.model), row)
    return str(row["id"])


def _latest(connection: Connection, model_id: str) -> int:
    """The highest number of a model; 0: it has no version."""
    return int(connection.execute(_LATEST, {"of": model_id}).scalar() or 0)


def _attest(
    connection: Connection,
    version_id: str,
    entries: Mapping[str, FileEntry],
    *,
    original: bool,
    actor: str,
    at: datetime,
) -> None:
    rows = [
        {
            "version_id": version_id,
            "name": name,
            "sha256": entry.sha256,
            "size": entry.size,
            "original": original,
            "actor": actor,
            "created_at": at,
        }
        for name, entry in entries.items()
    ]
    if rows:
        connection.execute(_ADD_ATTESTATION, rows)


def _not_found(connection: Connection, ref: Ref) -> ModelNotFound | VersionNotFound | AliasNotFound | NotDeployed:
    known = connection.execute(select(_M.id).where(_M.name == ref.model)).scalar_one_or_none()
    if known is None:
        return ModelNotFound(ref.model, models(connection))
    if ref.alias == CHAMPION:
        return NotDeployed(ref.model)
    if ref.alias is not None:
        names = connection.execute(select(schema.alias.c.name).where(schema.alias.c.model_id == known)).scalars()
        return AliasNotFound(ref.model, ref.alias, names)
    return VersionNotFound(str(ref), _latest(connection, known))
