"""Where a version came from: data, code, configuration, libraries, who and when."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec

from mainstay.operations.home import actor

LIBRARIES = ("numpy", "pandas", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost", "onnx", "onnxruntime", "skl2onnx")


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the git repository that a project lies in."""

    commit: str
    dirty: bool


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A registered version that another one was made from."""

    version: str
    content_id: str
    weight: float | None = None
    """In a blend of given or fitted weights."""


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """The attestation of a version's origin."""

    at: datetime
    actor: str
    command: str
    data: dict[str, Any]
    """Source, rows, columns and the SHA-256 of each file."""
    configuration: str
    """SHA-256 of the project file's text; the text itself is `project`."""
    project: str
    seed: int
    split: dict[str, Any]
    """The rule by which rows were held out, so that later versions know which rows this one never saw."""
    git: Commit | None
    python: str
    platform: str
    libraries: dict[str, str]
    replayed: str | None = None
    """The version whose winner was fitted again, in place of a search."""
    parts: tuple[Part, ...] = ()
    """The versions that this one was made from: the parts of a blend, or the one that it is a smaller form of."""
    splits: tuple[dict[str, Any], ...] = ()
    """Of a blend, in place of `split`: the rules that all hold out a row that neither it nor a part ever saw."""
    seen: tuple[str, ...] = ()
    """SHA-256 of the files that the versions which this one was made from were trained or chosen with."""


def lineage_of(
    folder: Path,
    *,
    command: str,
    data: dict[str, Any] | None = None,
    project: str = "",
    seed: int = 0,
    split: dict[str, Any] | None = None,
    replayed: str | None = None,
    parts: Sequence[Part] = (),
    splits: Sequence[dict[str, Any]] = (),
    seen: Iterable[str] = (),
) -> Lineage:
    """The origin of a version that is made here and now; what is not given is not known."""
    return Lineage(
        at=datetime.now(UTC),
        actor=actor(),
        command=command,
        data=data or {},
        configuration=hashlib.sha256(project.encode()).hexdigest() if project else "",
        project=project,
        seed=seed,
        split=split or {},
        git=commit_of(folder),
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        libraries=libraries(),
        replayed=replayed,
        parts=tuple(parts),
        splits=tuple(splits),
        seen=tuple(sorted(seen)),
    )


def commit_of(folder: Path) -> Commit | None:
    """The commit that a folder stands at, or None outside a repository or without git."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    try:
        return Commit(commit=git("rev-parse", "HEAD"), dirty=bool(git("status", "--porcelain", "--", ".")))
    except (OSError, subprocess.SubprocessError):
        return None


def environment() -> bytes:
    """The installed distributions, `name==version` a line: the environment lock of a package."""
    return "".join(f"{line}\n" for line in _installed()).encode()


def libraries() -> dict[str, str]:
    """The versions of the libraries that decide what a model is."""
    installed = dict(line.split("==", 1) for line in _installed())
    return {name: installed[name] for name in LIBRARIES if name in installed}


def _installed() -> Iterable[str]:
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in distributions() if d.metadata["Name"]}
    return [f"{name}=={version}" for name, version in sorted(found.items())]
