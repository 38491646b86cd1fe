from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.registry import mounts
from mainstay.registry.mounts import NetworkFolder, file_system
from mainstay.registry.store import Registry

TABLE = r"""
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 21 0:50 / /home rw,relatime shared:9 master:3 - nfs4 server:/home rw,vers=4.2,hard
31 30 254:1 / /home/ada rw - xfs /dev/vdb rw
32 21 0:51 / /mnt/my\040share rw - cifs //server/share rw
33 21 0:52 / /mnt/ssh rw - fuse.sshfs ada@server: rw
34 21 0:53 / /mnt/c rw - 9p C:\134 rw,dirsync,aname=drvfs,trans=fd,rfd=8,wfd=8
35 21 0:54 / /mnt/nine rw - 9p server rw,trans=tcp,port=564
36 21 0:55 / /data rw - nfs server:/data rw
37 21 254:2 / /data rw - ext4 /dev/vdc rw
a line that makes no sense
"""


@pytest.mark.parametrize(
    ("path", "kind", "remote"),
    [
        ("/srv/project", "ext4", False),
        ("/", "ext4", False),
        ("/home/grace/project", "nfs4", True),
        ("/home/ada/project", "xfs", False),
        ("/homework", "ext4", False),
        ("/mnt/my share/project", "cifs", True),
        ("/mnt/ssh", "fuse.sshfs", True),
        ("/mnt/c/project", "9p", False),
        ("/mnt/nine/project", "9p", True),
        ("/data/project", "ext4", False),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_nearest_mount(path: str, kind: str, remote: bool) -> None:
    found = file_system(TABLE, Path(path))
    assert found is not None
    assert (found.kind, found.remote) == (kind, remote)


def test_without_a_table_nothing_is_known() -> None:
    assert file_system("", Path("/srv")) is None


def test_a_registry_on_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"30 21 0:50 / {tmp_path.resolve()} rw - nfs4 server:/home rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    with pytest.raises(NetworkFolder, match="nfs4"):
        Registry.open(tmp_path / ".mainstay")
    assert not (tmp_path / ".mainstay" / "registry.db").exists()
