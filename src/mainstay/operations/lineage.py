"""Where a version came from: data, code, configuration, libraries, who and when."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec

LIBRARIES = ("numpy", "pandas", "scikit-learn", "lightgbm", "xgboost-cpu", "xgboost", "onnx", "onnxruntime", "skl2onnx")


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the git repository that a project lies in."""

    commit: str
    dirty: bool


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


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def platform_name() -> str:
    return platform.platform(terse=True)


def _installed() -> Iterable[str]:
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in distributions() if d.metadata["Name"]}
    return [f"{name}=={version}" for name, version in sorted(found.items())]
