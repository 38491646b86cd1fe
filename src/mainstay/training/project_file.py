"""Writes `mainstay.toml`: every key there is, with its meaning, unit and default. Nothing is hidden.

What is not set (TOML knows no null) stands as a comment that can be uncommented.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from mainstay.project import CANDIDATES, Project
from mainstay.settings import Struct

_BARE = re.compile(r"[A-Za-z0-9_-]+")

_TOP = {
    "name": "Name of the model: its versions are NAME:1, NAME:2, …",
    "target": "The column that is predicted.",
    "task": '"binary", "multiclass" or "regression".',
    "positive": "Binary tasks: the label whose probability the threshold is held against.\n"
    "Default: true, 1 or yes where there is one, else the rarer label.",
    "seed": "Of everything random: the same seed, data and number of trials give the same model. Default: 0.",
    "threshold": "Binary tasks: the probability from which an answer is the positive label. A number between 0 and 1,\n"
    '"max_f1" or "cost(5, 1)" (of a missed positive, and of a false alarm), chosen on validation folds. Default: 0.5.',
    "train": 'Your own training function, "module:function", in place of the search. Default: none.',
    "gates": "Conditions that a version must meet before it may be served, such as\n"
    '["roc_auc >= 0.75", "recall[sex=female] >= 0.6", "roc_auc >= champion - 0.01"].\n'
    "Default: none, which means that a trivial baseline must be beaten.",
    "slices": 'Columns whose values are evaluated one by one, such as ["sex"]. Default: none.',
}
_DATA = {
    "path": "The file, or a folder of files, seen from here.",
    "format": '"csv", "tsv", "jsonl" or "parquet". Default: as the name says; a further .gz is gzip.',
    "separator": 'Between fields, such as ";". Default: detected.',
    "quote": 'Around fields that hold a separator; "" for none. Default: detected.',
    "encoding": 'Of text files, such as "cp1252". Default: "utf-8".',
    "header": "Whether the first row holds the names of the columns. Default: true.",
    "columns": "Names of the columns, where the file has no header. Default: column_1, column_2, …",
    "missing": "Texts that mean a missing value, in training and when serving.",
    "url": "In place of path: a database, as an SQLAlchemy URL. Write ${NAME} for what comes from the environment,\n"
    "as a password must: postgresql+psycopg://reader:${DB_PASSWORD}@host/db",
    "query": "With url: the query whose rows are trained on.",
}
_CLEANING = {
    "impute": 'What a missing number becomes: "median", "mean" or "zero" (of the training rows); with "refuse", rows\n'
    'that lack a number are refused, in training and when serving. Default: "median".',
    "clip": "Numbers are held between these two quantiles of the training rows, such as [0.001, 0.999]. Default: none.",
    "rare": "A category seen in fewer training rows than this counts as unseen. Default: 1, so none does.",
    "drop_duplicates": "Whether identical rows are used once. They never stand on both sides of the split either way.\n"
    "Default: false.",
}
_SPLIT = {
    "kind": '"stratified" (the same proportions of the target on both sides), "time" (the latest are held out) or\n'
    '"group" (rows with one value of `by` stay together). Default: "stratified".',
    "by": "The column of the time order, or of the groups.",
    "test": "Share of the rows held out for the evaluation, never seen by the search, between 0 and 1. Default: 0.2.",
}
_SEARCH = {
    "budget": "Seconds that the search may take. Default: 60.",
    "trials": "A fixed number of trials in place of the budget, which makes a training repeatable. Default: none.",
    "candidates": f"Kinds of models that are tried, of:\n{', '.join(CANDIDATES)}.\nDefault: all.",
    "folds": "Folds of the training rows for validation, at least 2. Default: 5.",
    "metric": "What is made best on validation folds.\n"
    "Default: roc_auc; log_loss for several classes; rmse for numbers.",
    "imbalance": 'What is done for rare classes: "none", "class_weight" or "resample". Default: "none".',
    "ensemble": 'Whether the best few models are combined, where that is better: "none", "vote" or "stack".\n'
    'Default: "none".',
}
_SERVE = {
    "host": 'Address to listen on; "0.0.0.0" for all. Default: "127.0.0.1", this machine alone.',
    "port": "Default: 8080.",
    "grpc_port": "Port for gRPC, such as 8081. Without one, gRPC is not spoken.",
    "workers": "Processes that answer. Default: 1.",
    "max_body": "Largest request body, in bytes. Default: 20000000.",
    "tls_cert": "A certificate (PEM file, seen from here); with it and its key, https is spoken. Default: none.",
    "tls_key": "The certificate's private key (PEM file), readable by its owner alone. Default: none.",
    "hosts": 'Names that the server is called by, such as ["ml.example.org"]; addresses and localhost are right\n'
    "anyway. Where callers need keys, any name is right unless some stand here. Default: none.",
    "origins": 'Web pages of others that may ask the server, such as ["https://app.example.org"]. Default: none.',
    "max_batch_rows": "Most rows of several requests that a slow model is asked at once; 1 asks each alone.\n"
    "Default: 128.",
    "queue": "Most requests that wait for one slow model in each worker; more are refused with 429. Default: 256.",
    "timeout": "Seconds that a request may take, unless it says less; then it is refused with 504. Default: 30.",
    "orphaned_for": "Seconds that workers go on when the server was killed, for another to take the port over;\n"
    "0: not at all. Default: 60.0.",
    "otlp": 'OpenTelemetry collector that takes traces over HTTP, such as "http://127.0.0.1:4318". Default: none.',
    "trace_share": "With otlp: share of the requests to trace, of those whose caller does not say. Default: 1.0.",
}
_ROLLOUT = {
    "strategy": 'How a version takes the place of another: "recreate" (at once), "rolling" (worker by worker),\n'
    '"blue-green" (one switch, the old one kept ready), "canary" (step by step), "shadow" (it gets copies and\n'
    'answers nobody) or "ab" (a fixed share). Default: at once.',
    "steps": "Canary: its share of the traffic in percent, step by step; the last is 100.\nBy default these five.",
    "share": "A/B: its share of the traffic in percent. Default: 50.\n"
    "Shadow: of the requests that are copied, in percent. Default: 100.",
    "hold": 'How long each step lasts at least, such as "90s"; of a rolling update, each worker before the next.\n'
    'Default: "10m".',
    "warm": "Blue-green: how long the old version is kept ready, and the new one watched, after the switch.\n"
    'Default: "10m".',
    "patience": "How long a step may lack evidence, and an A/B test a verdict, before the rollout pauses and waits\n"
    'for a person. Default: "1d".',
    "sticky": 'What keeps a caller with one version: "header:x-user", or an input, "field:customer_id".\n'
    "Default: none, each request by itself.",
    "require_approval": "Names of API keys, one of which has to approve a version before it gets\n"
    'traffic, such as ["alice"]. Default: none.',
    "freeze": "Windows in which nothing goes forward; going back is always possible. Default: none.",
    "at_end": 'What a successful end (of A/B: it is better) brings: "promote", or "ask" a person to promote it.\n'
    'Default: "promote", and of A/B "ask".',
}
_CHECKS = {
    "false_alarms": "Probability at most that a version which is no worse is rolled back: in a whole rollout, all\n"
    "checks together, however often somebody looks. Default: 0.01.",
    "least": "Requests that it must have answered in a step before the step can pass. Default: 100.",
    "slowdown": "How many times the computing time of the version in place it may take. Default: 1.1.",
    "slack": 'Time on top of that. Default: "5ms".',
    "error_limit": "Share of failed requests that is too many where no other version answers at the same time:\n"
    "after a blue-green switch, and of a rolling update. Default: 0.01.",
    "changed": "Share of rows that it may answer otherwise than the version in place, from 0 to 1. Default: any.",
    "shift": "How far its scores may be from those of the version in place (Kolmogorov-Smirnov), from 0 to 1.\n"
    "Default: any.",
    "least_labels": "Requests of its own that must have a label before a step passes. Default: 0.",
    "most": "A/B: requests to both versions after which it ends, and no difference was found.\n"
    "Default: only patience ends it.",
}
_REGISTRY = {
    "url": "A PostgreSQL database, for several machines. Write ${NAME} for what comes from the environment, as a\n"
    "password must. Default: SQLite in the folder .mainstay.",
    "blobs": 'Where the files of versions are: a folder, or "s3://BUCKET/PREFIX". Default: in the folder .mainstay.',
}
MEANINGS: dict[str, dict[str, str]] = {
    "": _TOP,
    "data": _DATA,
    "cleaning": _CLEANING,
    "split": _SPLIT,
    "search": _SEARCH,
    "serve": _SERVE,
    "rollout": _ROLLOUT,
    "rollout.checks": _CHECKS,
    "registry": _REGISTRY,
}
"""What each key means, by table; "" is the top."""

_TABLES = {
    "data": "Where the rows come from.",
    "cleaning": "What is done to values before a model sees them; kept in the package, and repeated when serving.",
    "split": "Which rows are held out.",
    "search": "Which models are tried, how long, and how the best is chosen.",
    "serve": "How `mainstay serve` answers.",
    "rollout": "How `mainstay deploy` puts a version in the place of another, unless it is told otherwise.",
    "rollout.checks": "What a version is held against while it is rolled out, beside the one in place.",
    "registry": "Where versions, aliases and deployments are kept.",
}
_EXAMPLES: dict[str, Any] = {
    "grpc_port": 8081,
    "otlp": "http://127.0.0.1:4318",
    "positive": "yes",
    "train": "my_module:fit",
    "path": "data.csv",
    "format": "csv",
    "separator": ";",
    "quote": '"',
    "url": "sqlite:///data.db",
    "query": "SELECT * FROM loans",
    "clip": [0.001, 0.999],
    "by": "date",
    "trials": 50,
    "metric": "roc_auc",
    "strategy": "canary",
    "share": 50,
    "sticky": "header:x-user",
    "at_end": "ask",
    "changed": 0.05,
    "shift": 0.1,
    "most": 100_000,
    "tls_cert": "server.pem",
    "tls_key": "server.key",
    "registry.url": "postgresql+psycopg://${DB_USER}:${DB_PASSWORD}@host/mainstay",
    "registry.blobs": "s3://bucket/mainstay",
}
"""What stands behind the # of a key that is not set; "TABLE.KEY" where two tables have one of this name."""


def render(project: Project, notes: Sequence[str] = ()) -> str:
    """The text of a project file; `mainstay.project.parse` gives the project back.

    `notes` (what was inferred, a sentence each) stand on top as comments.

    Raises:
        ValueError: a name or value holds a lone surrogate, which no file in UTF-8 can.
    """
    lines = ["# The whole configuration of this model. Every key is here: change what you want, then mainstay train."]
    if notes:
        lines += ["#", "# What was seen in the data:"]
        lines += [f"#  - {_one_line(note)}" for note in notes]
    lines.append("")
    lines += _keys(project, MEANINGS[""])
    for table, meaning in _TABLES.items():
        lines += ["", f"# {meaning}", f"[{table}]", *_keys(attrgetter(table)(project), MEANINGS[table], table)]
        if table == "data":
            lines += _columns(project)
    lines += _webhooks(project)
    text = "\n".join(lines) + "\n"
    text.encode("utf-8")
    return text


def _columns(project: Project) -> list[str]:
    kinds = '"number", "boolean", "category", "datetime" or "text"'
    return [
        "",
        f"# The inputs, each {kinds}. Their order is the order of the",
        "# values in a request without names.",
        "[columns]",
        *_entries(project.columns),
        "",
        "# Columns that are not inputs, with the reason. A request may hold them; they are ignored.",
        "# To use one, move it to [columns], with its type.",
        "[left_out]",
        *_entries(project.left_out),
    ]


def _webhooks(project: Project) -> list[str]:
    lines = [
        "",
        "# Who is told of what happens, one table [[webhooks]] each. The secret comes from the environment alone;",
        "# events: which kinds, none for all; allow_private: whether the url may lead into a private network.",
    ]
    for hook in project.webhooks:
        facts = {"url": hook.url, "secret": hook.secret, "events": hook.events, "allow_private": hook.allow_private}
        lines += ["[[webhooks]]", *(f"{key} = {_value(value)}" for key, value in facts.items()), ""]
    if not project.webhooks:
        lines += [
            "# [[webhooks]]",
            '# url = "https://example.com/hooks/mainstay"',
            '# secret = "${HOOK_SECRET}"',
            '# events = ["deployed", "undeployed"]',
            "# allow_private = false",
        ]
    return lines


def _entries(table: Mapping[str, str]) -> Iterable[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _keys(table: Struct, meanings: Mapping[str, str], name: str = "") -> list[str]:
    lines: list[str] = []
    for key, meaning in meanings.items():
        value = getattr(table, key)
        lines += ["", *(f"# {line}" for line in meaning.split("\n"))]
        unset = value is None
        shown = (_EXAMPLES.get(f"{name}.{key}") or _EXAMPLES[key]) if unset else value
        lines.append(f"{'# ' if unset else ''}{key} = {_value(shown)}")
    return lines[1:]


def _one_line(text: str) -> str:
    """Comments may hold no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL, which JSON lets stand."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return msgspec.json.encode(value).decode()
