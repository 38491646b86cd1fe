"""What tests of the command line share: small projects, and the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process: exit code, standard output, standard error."""
    from mainstay.cli.app import run as run_words

    def words(*said: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run_words(said)
        found = capfd.readouterr()
        return code, found.out, found.err

    return words


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Starts the real command; standard output and error are pipes."""

    def begin(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mainstay", *words],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin
