"""A version beside another, and the end of serving, where no server runs."""

from __future__ import annotations

from pathlib import Path

import pytest

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
