"""A version beside another, and the end of serving, where no server runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.cli.app import run
from mainstay.errors import MainstayError
from mainstay.operations.catalogue import listed, shown
from mainstay.operations.deploying import deploy
from mainstay.operations.history import history
from mainstay.operations.undeploying import undeploy
from mainstay.registry.errors import NotBeside, NotDeployed, TakesTraffic


def test_a_version_is_put_beside_and_taken_away(two_versions: Path) -> None:
    done = deploy(two_versions, "loans:2", beside=True, reason="old callers")
    assert (done.version, done.before, done.beside) == ("loans:2", None, "loans:1")
    newest, first = listed(two_versions, "loans", limit=9).versions
    assert (newest.deployed, newest.beside, first.deployed, first.beside) == (False, True, True, False)
    assert shown(two_versions, "loans:2").facts["state"] == "deployed beside the champion"
    assert [move.after for move in history(two_versions, "loans").moves] == ["loans:1"]  # the champion did not move
    with pytest.raises(TakesTraffic):
        undeploy(two_versions, "loans@champion")
    gone = undeploy(two_versions, "loans:2", reason="nobody asks it")
    assert (gone.versions, gone.serving) == (["loans:2"], ["loans:1"])
    with pytest.raises(NotBeside):
        undeploy(two_versions, "loans:2")


def test_a_person_types_it_and_reads_what_is_served(
    two_versions: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(two_versions)
    assert run(["deploy", "loans:2", "--beside"]) == 0
    assert "loans:2 is deployed beside loans:1." in capfd.readouterr().out
    assert run(["list", "loans"]) == 0
    newest, first = (line for line in capfd.readouterr().out.splitlines() if "loans:" in line)
    assert ("beside" in newest, "deployed" in first) == (True, True)
    assert run(["undeploy", "loans:1"]) == 2
    assert "mainstay undeploy loans" in capfd.readouterr().err
    assert run(["undeploy", "loans:2"]) == 0
    assert "No longer served: loans:2; still served: loans:1." in capfd.readouterr().out
    assert run(["undeploy", "loans:2"]) == 1
    assert run(["undeploy", "loans", "--json"]) == 0
    assert '"versions":["loans:1"]' in capfd.readouterr().out.replace(" ", "").replace("\n", "")


def test_a_model_is_undeployed_with_all_its_versions(two_versions: Path) -> None:
    deploy(two_versions, "loans:2", beside=True)
    assert undeploy(two_versions, "loans", reason="retired").versions == ["loans:1", "loans:2"]
    assert not any(each.deployed or each.beside for each in listed(two_versions, "loans", limit=9).versions)
    assert history(two_versions, "loans").moves[0].reason == "retired"
    for again in (lambda: undeploy(two_versions, "loans"), lambda: deploy(two_versions, "loans:2", beside=True)):
        with pytest.raises(NotDeployed):
            again()
    with pytest.raises(MainstayError, match="no model 'loan'"):
        undeploy(two_versions, "loan")
