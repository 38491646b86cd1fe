"""`mainstay install-service`: units that systemd takes, shut in, and no way to write them wrong in silence."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from loan_projects import changed, project_in

from mainstay.cli.app import run
from mainstay.operations import installing_service
from mainstay.operations.installing_service import NoSuchUser, NotAllowed, UnitExists, install_service
from mainstay.operations.units import BadUnit
from mainstay.serving.draining import end_within

WORST = 2.5
"""What `systemd-analyze security` may say: 0 is shut in wholly, 10 not at all."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that belongs to no root, and an interpreter that everybody reaches."""
    made = project_in(tmp_path / "project")
    if os.getuid() == 0:
        os.chown(made, pwd.getpwnam("daemon").pw_uid, -1)
    monkeypatch.setattr(installing_service.sys, "executable", shutil.which("env"))
    return made


def analyzed(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here (Debian's package systemd has it)")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def test_systemd_takes_the_units_and_calls_them_shut_in(folder: Path, tmp_path: Path) -> None:
    into = tmp_path / "system"
    into.mkdir()
    done = install_service(folder, into=into)
    assert sorted(done.changed) == ["mainstay-loans.service", "mainstay-loans.socket"]
    verified = analyzed("verify", "--man=no", *(str(into / name) for name in done.units))
    assert (verified.returncode, verified.stderr) == (0, "")
    told = analyzed("security", "--offline=true", str(into / "mainstay-loans.service")).stdout
    level = re.search(r"exposure level for .*: ([0-9.]+)", told)
    assert level is not None, told
    assert float(level[1]) <= WORST


def test_the_units_say_what_the_project_says(folder: Path) -> None:
    changed(folder, serve={"host": "::1", "port": 9000, "grpc_port": 9001})
    units = install_service(folder, printed=True).units
    service, socket = units["mainstay-loans.service"], units["mainstay-loans.socket"]
    assert "ListenStream=[::1]:9000\nListenStream=[::1]:9001\n" in socket
    for line in (
        f"WorkingDirectory={folder}",
        f"ReadWritePaths={folder}",
        f"ExecStart={shutil.which('env')} -m mainstay up",
        f"User={pwd.getpwuid(folder.stat().st_uid).pw_name}",
        "NoNewPrivileges=true",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "KillMode=mixed",
        "Restart=always",
    ):
        assert f"\n{line}\n" in service, line
    stop = re.search(r"TimeoutStopSec=(\d+)\n", service)
    assert stop is not None
    assert float(stop[1]) > end_within(30.0)


@pytest.mark.parametrize(("timeout", "seconds"), [(1.0, 60), (30.0, 70), (200.0, 240), (3600.0, 335)])
def test_systemd_waits_for_as_long_as_a_request_may_take(folder: Path, timeout: float, seconds: int) -> None:
    changed(folder, serve={"timeout": timeout})
    units = install_service(folder, printed=True).units
    assert f"\nTimeoutStopSec={seconds}\n" in units["mainstay-loans.service"]


def test_blobs_elsewhere_can_be_written_too(folder: Path, tmp_path: Path) -> None:
    changed(folder, registry={"blobs": "../files"})
    text = install_service(folder, printed=True).units["mainstay-loans.service"]
    assert f"\nReadWritePaths={folder} {tmp_path / 'files'}\n" in text


def test_what_is_there_already_is_kept_or_refused(folder: Path, tmp_path: Path) -> None:
    install_service(folder, into=tmp_path)
    assert install_service(folder, into=tmp_path).changed == []
    unit = tmp_path / "mainstay-loans.socket"
    unit.write_text(unit.read_text().replace("8080", "9999"))
    with pytest.raises(UnitExists, match=r"says something else: .* --force"):
        install_service(folder, into=tmp_path)
    assert "9999" in unit.read_text()
    assert install_service(folder, into=tmp_path, force=True).changed == ["mainstay-loans.socket"]
    assert "8080" in unit.read_text()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.so*")} == {0o644}


def test_what_systemd_would_read_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    spaced = folder.rename(tmp_path / "my project")
    with pytest.raises(BadUnit, match="spaces"):
        install_service(spaced, printed=True)
    plain = spaced.rename(tmp_path / "plain")
    for said, refused in (({"port": 0}, "port = 0"), ({"host": "ml.example.org"}, "is a name")):
        changed(plain, serve=said)
        with pytest.raises(BadUnit, match=refused):
            install_service(plain, printed=True)
        changed(plain, serve={"host": "127.0.0.1", "port": 8080})


def test_root_and_nobody_and_others_are_refused(folder: Path) -> None:
    with pytest.raises(NoSuchUser, match="needs no right of root's"):
        install_service(folder, user="root", printed=True)
    with pytest.raises(NoSuchUser, match="no user 'hans-im-glueck': make a user"):
        install_service(folder, user="hans-im-glueck", printed=True)
    with pytest.raises(NoSuchUser, match="does not belong to bin"):
        install_service(folder, user="bin", printed=True)


def test_a_python_out_of_reach_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setattr(installing_service.sys, "executable", str(home / "python"))
    if os.getuid():
        home.chmod(0)
    try:
        with pytest.raises(NoSuchUser, match=r"may not enter .*: install Mainstay where every user can"):
            install_service(folder, printed=True)
    finally:
        home.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match="give --dir"):
        install_service(folder, into=tmp_path / "nowhere")
    if os.getuid():
        with pytest.raises(NotAllowed, match=r"run it again as root"):
            install_service(folder, into=Path("/etc"))


def test_the_command_tells_what_to_type_next(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run(["install-service", "--dir", str(tmp_path)]) == 0
    assert "systemctl enable --now mainstay-loans.socket" in capfd.readouterr().out
    assert run(["install-service", "--print"]) == 0
    assert "[Socket]" in capfd.readouterr().out
    assert run(["install-service", "--dir", str(tmp_path / "nowhere")]) == 3
