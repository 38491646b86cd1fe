"""Where a project keeps its state, and who acts on it."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

from mainstay.project import STATE

OPERATOR_FILE, OPERATOR_VARIABLE = "operator.toml", "MAINSTAY_OPERATOR"
"""The operator's file in a project's state folder, and the variable that names another."""


def state_of(folder: Path) -> Path:
    """The folder of a project's registry, blobs and running servers."""
    return folder / STATE


def operator_file(folder: Path) -> tuple[Path, bool]:
    """Where what the operator says is written, and whether that is by a variable: then it has to be there."""
    named = os.environ.get(OPERATOR_VARIABLE)
    return (Path(named), True) if named else (state_of(folder) / OPERATOR_FILE, False)


def actor() -> str:
    """Who acts, `user@machine`; MAINSTAY_ACTOR says otherwise, as a job on a build server may."""
    if named := os.environ.get("MAINSTAY_ACTOR"):
        return named
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
