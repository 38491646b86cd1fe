"""Whoever moves a name may say where it has to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.cli.app import run
from mainstay.operations.catalogue import point
from mainstay.operations.deploying import deploy
from mainstay.operations.history import rollback
from mainstay.registry.errors import AliasMoved, DeploymentMoved
from mainstay.registry.refs import BadName


def test_a_name_that_is_elsewhere_is_left_where_it_is(in_project: Path) -> None:
    with pytest.raises(DeploymentMoved, match=r"loans:1 is deployed \(by .*\), not loans:2 as expected"):
        deploy(in_project, "loans:2", expecting="loans:2")
    with pytest.raises(DeploymentMoved, match="not nothing as expected"):
        deploy(in_project, "loans:2", expecting="none")
    assert deploy(in_project, "loans:2", expecting="loans:1").before == "loans:1"
    with pytest.raises(AliasMoved, match="loans@best does not exist, not at loans:1"):
        point(in_project, "loans:2", "best", reason="", expecting="loans:1")
    point(in_project, "loans:1", "best", reason="", expecting="none")
    with pytest.raises(AliasMoved, match="loans@best points at loans:1 already"):
        point(in_project, "loans:2", "best", reason="", expecting="none")
    with pytest.raises(BadName, match="cannot be the name"):
        point(in_project, "loans:2", "best", reason="", expecting="NONE")
    point(in_project, "loans:2", "best", reason="", expecting="loans:1")
    with pytest.raises(AliasMoved):
        rollback(in_project, "loans", alias="best", expecting="loans:1")
    with pytest.raises(DeploymentMoved):
        rollback(in_project, "loans", expecting="loans:1")
    assert rollback(in_project, "loans", expecting="loans:2").version == "loans:1"


def test_the_shell_can_say_so_too(in_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["deploy", "loans:2", "--expect", "none"]) == 1
    assert "loans:1 is deployed" in capsys.readouterr().err
    assert run(["deploy", "loans:2", "--expect", "loans:1"]) == 0
    assert run(["alias", "loans:2", "best", "--expect", "none"]) == 0
    assert run(["alias", "loans:1", "best", "--expect", "none"]) == 1
    assert run(["rollback", "loans", "--expect", "loans:2"]) == 0
