"""What uv does for Python classes: locks their requirements, and makes their environments.

Wheels alone are installed. To build a source distribution is to run its code, with the passwords of the package index
in reach and outside the bounds of a host process; a wheel is only unpacked.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mainstay.errors import MachineError, MainstayError, MissingExtra

EXTRA = "python-class"
_AWAY = ("client error", "failed to fetch", "error sending request", "operation timed out", "network was disabled")
"""What uv says of an index that it cannot reach; it has no exit code for it."""
_LONGEST = 600


class CannotInstall(MainstayError):
    """Requirements that cannot be met as they are written."""


class IndexAway(MachineError):
    """The package index could not be reached."""


def resolve(requirements: str, *, python: str) -> str:
    """The locked list of requirements: every package that they need, at its newest version that fits.

    Args:
        requirements: lines as in a requirements.txt.
        python: minor version to lock for, "3.11".

    Raises:
        CannotInstall: no versions fit together, or one of them has no wheel. IndexAway: the package index is.
        MissingExtra: uv is not installed.
    """
    words = ["pip", "compile", "--universal", "--generate-hashes", "--python-version", python, "--only-binary", ":all:"]
    words += ["--no-header", "--no-annotate", "--no-python-downloads", "-"]
    with tempfile.TemporaryDirectory(prefix="mainstay-") as folder:
        into = Path(folder) / "requirements.lock"
        _run([*words, "--output-file", str(into)], given=requirements, what="The requirements cannot be locked")
        return into.read_text(encoding="utf-8")


def make_environment(folder: Path, locked: str, *, python: str, keep_open: Sequence[int] = ()) -> None:
    """Makes a virtual environment with what a locked list says, each file held against its hash.

    Args:
        folder: not there yet.
        python: its path, or the minor version of one that uv is to find.
        keep_open: file descriptors that uv holds too: a lock, say, that is not to end while uv still works.

    Raises:
        CannotInstall: no such Python, a hash that differs, or no wheel for this machine.
        IndexAway: the package index could not be reached. MissingExtra: uv is not installed.
    """
    words = ["venv", "--no-project", "--relocatable", "--no-python-downloads", "--python", python, str(folder)]
    _run(words, what=f"No environment of Python {python} can be made here", keep_open=keep_open)
    # Copied, not linked: what one class does to its libraries must not reach uv's cache, and so others.
    words = ["pip", "sync", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy", "--compile-bytecode"]
    words += ["--python", str(folder / "bin" / "python"), "-"]
    _run(words, given=locked, what="The locked requirements cannot be installed", keep_open=keep_open)


def find_uv() -> str:
    """The path of uv: the one that is installed with Mainstay, else one on the PATH.

    Raises:
        MissingExtra: there is neither.
    """
    beside = Path(sys.executable).parent / "uv"
    if beside.is_file():
        return str(beside)
    if importlib.util.find_spec("uv") is not None:
        from uv import find_uv_bin  # noqa: PLC0415 - an extra

        with contextlib.suppress(FileNotFoundError):  # installed without its program
            return find_uv_bin()
    if on_path := shutil.which("uv"):
        return on_path
    raise MissingExtra("A Python class", "python-class", "uv")


def _run(words: Sequence[str], *, what: str, given: str = "", keep_open: Sequence[int] = ()) -> None:
    """Runs uv, which reads a text from its standard input."""
    # At the root, no project file and no environment of the folder that this happens to run in has a say.
    done = subprocess.run(
        [find_uv(), *words, "--quiet", "--color", "never", "--no-progress"],
        input=given,
        capture_output=True,
        text=True,
        cwd="/",
        pass_fds=keep_open,
        check=False,
    )
    if not done.returncode:
        return
    said = _said(done.stderr)
    if any(sign in done.stderr.lower() for sign in _AWAY):
        raise IndexAway(
            f"{what}, since the package index cannot be reached ({said}): connect this machine to it, or name one "
            "that it reaches in UV_DEFAULT_INDEX."
        )
    raise CannotInstall(f"{what}: {said}.")


def _said(text: str) -> str:
    """uv's error and its causes as one sentence without its hints."""
    kept: list[str] = []
    for line in text.splitlines():
        if line.startswith("hint:"):
            break
        kept.append(line.strip().removeprefix("error: ").removeprefix("cause: "))
    sentence = ": ".join(dict.fromkeys(line.rstrip(".:") for line in kept if line))
    return sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]}..."
