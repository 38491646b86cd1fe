"""`mainstay.toml`: a person's whole configuration, read and checked."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from mainstay.errors import MainstayError, did_you_mean
from mainstay.models.signature import ColumnType, Label, Task
from mainstay.project_rollout import RolloutTable, problems_of_rollout
from mainstay.settings import Struct

FILE = "mainstay.toml"
STATE = ".mainstay"
"""Folder of a project's registry, blobs and running servers."""

CANDIDATES = (
    "linear",
    "decision_tree",
    "random_forest",
    "gradient_boosting",
    "hist_gradient_boosting",
    "lightgbm",
    "xgboost",
    "svm",
    "neural_network",
)
EVENTS = (
    "registered",
    "registered_again",
    "attested",
    "alias_moved",
    "alias_removed",
    "deployed",
    "undeployed",
    "deployed_beside",
    "undeployed_beside",
    "key_created",
    "key_rotated",
    "key_revoked",
    "key_forgotten",
    "rollout_started",
    "rollout_step",
    "rollout_paused",
    "rollout_resumed",
    "rollout_promoting",
    "rollout_completed",
    "rollout_rolling_back",
    "rollout_rolled_back",
    "rollout_superseded",
    "rollout_approved",
    "rollout_verdict",
)
"""The kinds of events that webhooks can be told of."""
LONGEST_ORPHANED = 86_400.0
"""Seconds; of `[serve] orphaned_for`."""
LONGEST_TIMEOUT = 3600.0
"""Seconds that a request may take at most."""
_FROM_ENVIRONMENT = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9_.\[\]:-]{1,253}")
_COLLECTOR = re.compile(r"https?://[^/@\s]+(/[^?#\s]*)?\Z")
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class ProjectError(MainstayError):
    """The project file is missing or says something that cannot be meant."""


class Data(Struct, frozen=True):
    """Where the rows come from: `path` (a file or a folder of files), or `url` with `query`."""

    path: str | None = None
    """The file, or a folder of files, seen from the project's folder."""
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    """Of the file; by default, as its name says (a further .gz is gzip)."""
    separator: str | None = None
    """Between fields; by default, detected."""
    quote: str | None = None
    """Around fields that hold a separator; "" for none; by default, detected."""
    encoding: str = "utf-8"
    """Of text files."""
    header: bool = True
    """Whether the first row holds the names of the columns."""
    columns: tuple[str, ...] = ()
    """Names of the columns, where the file has no header."""
    missing: tuple[str, ...] = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
    """Texts that mean a missing value, in training and when serving."""
    url: str | None = None
    """A database (SQLAlchemy URL); write ${NAME} for what comes from the environment, as a password must."""
    query: str | None = None
    """With `url`: the query whose rows are trained on."""


class Cleaning(Struct, frozen=True):
    """What is done to values before an estimator sees them; kept in the package and repeated when serving."""

    impute: Literal["median", "mean", "zero", "refuse"] = "median"
    """A missing number becomes this. "refuse": rows with one are refused, in training and when serving."""
    clip: tuple[float, float] | None = None
    """Numbers are held between these quantiles of the training rows, such as [0.001, 0.999]."""
    rare: int = 1
    """A category seen fewer times than this in training counts as unseen."""
    drop_duplicates: bool = False
    """Whether identical rows are trained on once. Duplicates never straddle a split either way."""


class Split(Struct, frozen=True):
    """Which rows are held out for evaluation, never seen by the search."""

    kind: Literal["stratified", "time", "group"] = "stratified"
    """The same shares of the target on both sides, the latest rows held out, or groups kept together."""
    by: str | None = None
    """The column of the time order, or of the groups that stay together."""
    test: float = 0.2
    """Share of rows held out."""


class Search(Struct, frozen=True):
    """Which estimators are tried, how long, and how the best is chosen."""

    budget: float = 60.0
    """Seconds."""
    trials: int | None = None
    """A fixed number of trials in place of a budget: the same seed and data give the same model."""
    candidates: tuple[str, ...] = CANDIDATES
    """Families of estimators to try."""
    folds: int = 5
    """Of the cross-validation that compares trials."""
    metric: str | None = None
    """What is maximised on validation folds; by default roc_auc, log_loss for several classes, rmse for numbers."""
    imbalance: Literal["none", "class_weight", "resample"] = "none"
    """What is done where one class is rare: weights, or rows drawn again."""
    ensemble: Literal["none", "vote", "stack"] = "none"
    """Whether the best few are combined, where that is better on validation folds."""


class Serve(Struct, frozen=True):
    """How the server listens."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every network."""
    port: int = 8080
    """Port to listen on; 0 takes a free one."""
    grpc_port: int | None = None
    """Port for gRPC; without one, it is not spoken."""
    workers: int = 1
    """Processes that answer."""
    max_body: int = 20_000_000
    """Largest request body, in bytes."""
    tls_cert: str | None = None
    """File of a certificate (PEM), seen from here; with it and its key the server speaks https."""
    tls_key: str | None = None
    """File of the certificate's private key (PEM), readable by its owner alone."""
    hosts: tuple[str, ...] = ()
    """Names that the server is called by, such as ["ml.example.org"]; addresses and localhost are right anyway."""
    origins: tuple[str, ...] = ()
    """Web pages of others that may ask the server, such as ["https://ml.example.org"]."""
    max_batch_rows: int = 128
    """Most rows of several requests that a slow model is asked at once; 1 asks each request alone."""
    queue: int = 256
    """Most requests that wait for one slow model in each worker; more are refused with 429."""
    timeout: float = 30.0
    """Seconds that a request may take, unless it says less; then it is refused with 504."""
    orphaned_for: float = 60.0
    """Seconds that workers go on when the server was killed, for another to take the port over; 0: not at all."""
    otlp: str | None = None
    """URL of an OpenTelemetry collector that takes traces over HTTP, such as "http://127.0.0.1:4318"."""
    trace_share: float = 1.0
    """With `otlp`: share of the requests to trace, of those whose caller does not say; 0.01 is one in a hundred."""


class Place(Struct, frozen=True):
    """Where the versions are kept: in this folder's .mainstay, unless it says otherwise."""

    url: str | None = None
    """A PostgreSQL database for several machines; write ${NAME} for what comes from the environment, as a password
    must."""
    blobs: str | None = None
    """Where the files of versions are: a folder, seen from the project's, or "s3://BUCKET/PREFIX"; needed by `url`."""


class Webhook(Struct, frozen=True):
    """Who is told of what happens."""

    url: str
    """Where events are posted to: https, or, with allow_private, http; ${NAME} comes from the environment."""
    secret: str
    """What messages are signed with: "${NAME}", as it comes from the environment alone."""
    events: tuple[str, ...] = ()
    """Which kinds of events; none: all."""
    allow_private: bool = False
    """Whether the URL may lead into a private network, or to this machine."""


class Project(Struct, frozen=True):
    """The whole of `mainstay.toml`."""

    name: str
    """Of the model: its versions are NAME:1, NAME:2, …"""
    target: str
    """The column that is predicted."""
    data: Data
    """Where the rows come from."""
    task: Task
    """What kind of answer the target asks for."""
    positive: Label | None = None
    """For a binary task: the label whose probability the threshold is held against."""
    seed: int = 0
    """Of everything random."""
    threshold: float | str = 0.5
    """0.5, another probability, "max_f1" or "cost(5, 1)": of a missed positive, and of a false alarm."""
    train: str | None = None
    """The user's own function, "module:function", in place of the search."""
    gates: tuple[str, ...] = ()
    """Conditions a version must meet before it may be served, such as "roc_auc >= 0.75"."""
    slices: tuple[str, ...] = ()
    """Columns whose values are evaluated one by one."""
    columns: dict[str, ColumnType] = msgspec.field(default_factory=dict)
    """The inputs, with their types."""
    left_out: dict[str, str] = msgspec.field(default_factory=dict)
    """Columns that are not inputs, with the reason."""
    cleaning: Cleaning = Cleaning()
    split: Split = Split()
    search: Search = Search()
    serve: Serve = Serve()
    rollout: RolloutTable = RolloutTable()
    registry: Place = Place()
    webhooks: tuple[Webhook, ...] = ()
    """Tables [[webhooks]]: who is told of what happens; see the page on webhooks."""


def load(folder: Path) -> Project:
    """The project of a folder.

    Raises:
        ProjectError: no project file, not TOML, an unknown key, a wrong type, or values that do not fit together.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProjectError(
            f"There is no {FILE} in {folder.resolve()}: run mainstay init DATA --target COLUMN first, "
            "or go to the project's folder."
        ) from None
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8.") from error
    return parse(text, name=str(path))


def parse(text: str, *, name: str = FILE) -> Project:
    """The project that a TOML text describes; `name` stands in errors. Raises as `load`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{name} is not valid TOML: {error}.") from error
    _refuse_unknown(raw, Project, name, "")
    try:
        project = msgspec.convert(raw, Project)
    except msgspec.ValidationError as error:
        raise ProjectError(f"{name}: {_readable(str(error))}") from error
    return checked(project, name=name)


def checked(project: Project, *, name: str = FILE) -> Project:
    """The project, if its values fit together. Raises ProjectError."""
    for problem in (
        *_problems_of_columns(project),
        *_problems_of_data(project),
        *_problems_of_search(project.search),
        *_problems_of_serve(project.serve),
        *problems_of_rollout(project.rollout, project.columns),
        *_problems_of_webhooks(project.webhooks),
    ):
        raise ProjectError(f"{name}: {problem}")
    return project


def _problems_of_columns(project: Project) -> Iterator[str]:
    known = [*project.columns, *project.left_out]
    if project.target in known:
        yield f"the target {project.target!r} cannot stand in [columns] or [left_out] too."
    if both := set(project.columns) & set(project.left_out):
        yield f"{min(both)!r} stands in [columns] and in [left_out]: choose one."
    if not project.columns:
        yield "[columns] names no input column."
    for column in project.slices:
        if column not in known:
            yield f"slices names {column!r}, which is no column.{did_you_mean(column, known)}"


def _problems_of_data(project: Project) -> Iterator[str]:
    data, split = project.data, project.split
    if not MODEL_NAME.fullmatch(project.name):
        yield f"name {project.name!r} must be of a-z, 0-9, '_' and '-', at most 63, and start with a letter or digit."
    if (data.path is None) == (data.url is None):
        yield "[data] needs either path or url (with query)."
    if data.url is not None and not data.query:
        yield '[data] url needs a query, such as query = "SELECT * FROM loans".'
    if not 0 < split.test < 1:
        yield f"[split] test = {split.test} must be a share between 0 and 1."
    if split.kind != "stratified" and not split.by:
        yield f'[split] kind = "{split.kind}" needs by = "COLUMN".'
    if project.registry.url is not None and not project.registry.blobs:
        yield '[registry] url needs blobs too: a folder that all machines share, or "s3://BUCKET/PREFIX".'


def _problems_of_search(search: Search) -> Iterator[str]:
    known = f" Known: {', '.join(CANDIDATES)}."
    if not search.candidates:
        yield f"[search] candidates is empty.{known}"
    for candidate in search.candidates:
        if candidate not in CANDIDATES:
            yield f"[search] candidates names {candidate!r}.{did_you_mean(candidate, CANDIDATES) or known}"
    if not search.budget > 0:
        yield f"[search] budget = {search.budget} must be more than 0 seconds."
    if search.trials is not None and search.trials < 1:
        yield f"[search] trials = {search.trials} must be at least 1."
    if search.folds < 2:
        yield f"[search] folds = {search.folds} must be at least 2."


def _problems_of_serve(serve: Serve) -> Iterator[str]:
    for name in ("max_body", "max_batch_rows", "queue", "workers"):
        if (value := getattr(serve, name)) < 1:
            yield f"[serve] {name} = {value} must be at least 1."
    if (serve.tls_cert is None) != (serve.tls_key is None):
        yield "[serve] tls_cert and tls_key go together: write both."
    for origin in serve.origins:
        if not _ORIGIN.fullmatch(origin):
            yield f'[serve] origins names {origin!r}: write scheme, host and port alone, such as "https://example.org".'
    for host in serve.hosts:
        if not _HOST.fullmatch(host):
            yield f'[serve] hosts names {host!r}: write a name alone, such as "ml.example.org".'
    if not 0 < serve.timeout <= LONGEST_TIMEOUT:
        yield f"[serve] timeout = {serve.timeout} must be more than 0 seconds, and at most {LONGEST_TIMEOUT:g}."
    if not 0.0 <= serve.orphaned_for <= LONGEST_ORPHANED:
        yield f"[serve] orphaned_for = {serve.orphaned_for} must be from 0 to {LONGEST_ORPHANED:g} seconds (a day)."
    if serve.otlp is not None and not _COLLECTOR.match(serve.otlp):
        yield f'[serve] otlp = "{serve.otlp}" must be a URL such as "http://127.0.0.1:4318".'
    if not 0 <= serve.trace_share <= 1:
        yield f"[serve] trace_share = {serve.trace_share:g} must be a share between 0 and 1."


def _problems_of_webhooks(webhooks: tuple[Webhook, ...]) -> Iterator[str]:
    seen, known = set(), f" Known: {', '.join(EVENTS)}."
    for hook in webhooks:
        if hook.url in seen:
            yield f"two [[webhooks]] have the url {hook.url!r}: write one, with the events of both."
        seen.add(hook.url)
        if not _FROM_ENVIRONMENT.fullmatch(hook.secret):
            # Not quoted: it may be the secret itself.
            yield (
                '[[webhooks]] secret must be the name of an environment variable, such as "${HOOK_SECRET}": '
                "a secret does not belong into a file."
            )
        for kind in hook.events:
            if kind not in EVENTS:
                yield f"[[webhooks]] events names {kind!r}.{did_you_mean(kind, EVENTS) or known}"


def _refuse_unknown(raw: dict[str, Any], kind: type[Struct], name: str, table: str) -> None:
    """Says which key is unknown and which one was probably meant; msgspec alone would name only the key."""
    hints = get_type_hints(kind)
    for key, value in raw.items():
        where = f" in [{table}]" if table else ""
        if key not in hints:
            raise ProjectError(
                f"{name}: unknown key {key!r}{where}." + (did_you_mean(key, hints) or f" Known: {', '.join(hints)}.")
            )
        hint = hints[key]
        inner = next((t for t in (hint, *get_args(hint)) if isinstance(t, type) and issubclass(t, Struct)), None)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(value, inner, name, f"{table}.{key}" if table else key)


def _readable(message: str) -> str:
    """msgspec's message with the key first: "Expected `int`, got `str` - at `$.search.folds`"."""
    said, _, where = message.partition(" - at `$.")
    said = said.replace("`", "")
    return f"{where.rstrip('`')}: {said[0].lower()}{said[1:]}." if where else f"{said}."
