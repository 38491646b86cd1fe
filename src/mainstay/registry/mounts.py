"""Which file system a path is on, and whether SQLite can be trusted with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mainstay.errors import MachineError

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = re.compile(
    r"afs|beegfs|ceph|cifs|coda|davfs|glusterfs|gpfs|lustre|ncpfs|nfs4?|smb2|smb3|smbfs"
    r"|fuse\.(ceph|cephfs|davfs2?|gcsfuse|glusterfs|goofys|juicefs|rclone|s3fs|smbnetfs|sshfs)"
)


class NetworkFolder(MachineError):
    """The registry would stand on a network file system, where SQLite's locks and shared memory do not hold."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        super().__init__(
            f"{root} is on a network file system ({kind}), where a SQLite registry can be damaged: "
            "put the project on a disk of this machine."
        )


@dataclass(frozen=True)
class FileSystem:
    kind: str
    """Such as ext4."""
    options: str
    """Of the file system, separated by commas."""

    @property
    def remote(self) -> bool:
        """Whether other machines may write it too."""
        if self.kind == "9p":  # also how sandboxes and virtual machines share a folder of their own host
            return bool(re.search(r"(?:^|,)trans=(?:tcp|rdma)(?:,|$)", self.options))
        return _NETWORK.fullmatch(self.kind) is not None


def file_system(mountinfo: str, path: Path) -> FileSystem | None:
    """The file system of an absolute, resolved path, or None; `mountinfo` is a text as in proc_pid_mountinfo(5)."""
    found, length = None, -1
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind_fields = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5 or len(kind_fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        # "<=": of two mounts at one point, the later one covers the earlier.
        if path.is_relative_to(point) and length <= len(point.parts):
            found, length = FileSystem(kind_fields[0], kind_fields[2]), len(point.parts)
    return found


def refuse_network(root: Path) -> None:
    """Raises NetworkFolder if `root` is on one. Where the system tells no mounts, nothing is refused."""
    if not MOUNTS.exists():
        return
    found = file_system(MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"), root.resolve())
    if found is not None and found.remote:
        raise NetworkFolder(root, found.kind)
