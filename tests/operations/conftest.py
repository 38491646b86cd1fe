"""Projects that tests of operations start from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from loan_projects import changed, project_in

from mainstay.operations.deploying import deploy
from mainstay.operations.training import train


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that nothing was trained in."""
    return project_in(tmp_path / "project")


@pytest.fixture(scope="session")
def _two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loans:1 (linear) is deployed; loans:2 (decision tree) passed."""
    folder = project_in(
        tmp_path_factory.mktemp("two") / "project", slices=("purpose",), search={"candidates": ("linear",)}
    )
    train(folder)
    deploy(folder, "loans:1", reason="the first")
    changed(folder, search={"candidates": ("decision_tree",)})
    train(folder)
    return folder


@pytest.fixture
def two_versions(_two_versions: Path, tmp_path: Path) -> Path:
    """A copy of its own of a project with two versions, of which loans:1 is deployed."""
    return Path(shutil.copytree(_two_versions, tmp_path / "project"))


@pytest.fixture
def in_project(two_versions: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(two_versions)
    return two_versions
