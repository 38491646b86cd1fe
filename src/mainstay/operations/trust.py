"""Which types a model in a native format may hold: said by the operator, never by a package."""

from __future__ import annotations

import os
from pathlib import Path

from mainstay.errors import MainstayError

TRUST_FILE = "trust.txt"
VARIABLE = "MAINSTAY_TRUST"


def trusted_types(folder: Path, file: Path | None = None) -> tuple[str, ...]:
    """The type names that the operator trusts, from `file`, else the file that MAINSTAY_TRUST names, else
    `trust.txt` beside the project file; a name a line, `#` begins a comment. None of them: nothing is trusted.

    Raises:
        MainstayError: the file that was named is not there.
    """
    named = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    path = named or folder / TRUST_FILE
    if not path.exists():
        if named is not None:
            raise MainstayError(f"The trust file {path} does not exist: write the trusted types in it, one a line.")
        return ()
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line)
