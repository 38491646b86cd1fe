"""Where a project keeps its state, and who acts on it."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

from mainstay.project import STATE


def state_of(folder: Path) -> Path:
    """The folder of a project's registry, blobs and running servers."""
    return folder / STATE


def actor() -> str:
    """Who acts, `user@machine`; MAINSTAY_ACTOR says otherwise, as a job on a build server may."""
    if named := os.environ.get("MAINSTAY_ACTOR"):
        return named
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
