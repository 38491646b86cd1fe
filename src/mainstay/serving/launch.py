"""From a Python class's package to its host process: trusted, its environment built, bounded, and then replaced by it.

Started as `python -m mainstay.serving.launch` with Mainstay's own Python. It ends by becoming the host process, in the
environment's Python, which sees of this installation Mainstay's own modules alone: the libraries are the class's.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.classes import FORMAT, require_trusted
from mainstay.models.package import Manifest, Package
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.environments import Environments
from mainstay.serving.frames import ANSWER_WITHIN
from mainstay.serving.host import HUNG_AFTER, LONGEST_ASKED, Said, arguments, host_words, hung_after
from mainstay.serving.logs import Log, logger

BUILD_WITHIN = 1800.0
"""Seconds in which an environment has to be there: a few gigabytes over a slow line."""
REPORTS = "ORT_DISABLE_TELEMETRY"
"""As `models.formats.quiet_onnx` has it, which would load ONNX Runtime."""
_PASSED = frozenset(
    [
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "MALLOC_ARENA_MAX",
        REPORTS,
    ]
)
"""Variables that say how a process runs, and nothing that is anybody's secret."""
OUR_PYTHON = ("HOME", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
"""Variables that a host in Mainstay's own environment needs beside those of every host."""


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What the operator of this machine lets host processes do."""

    types: tuple[str, ...] = ()
    """Types that native models may hold."""
    code: tuple[str, ...] = ()
    """Code ids of Python classes that may run."""
    environments: Path
    """Folder of the classes' environments on this machine."""
    seconds: float = HUNG_AFTER
    """Of computing, after which the process of a class is ended."""
    memory: int | None = None
    """Bytes that the process of a class may take for its data; None: as many as there are."""
    variables: tuple[str, ...] = ()
    """Further variables of the environment that host processes see."""


def variables_for(allowed: Allowed, own: Mapping[str, str], *also: str) -> dict[str, str]:
    """The variables of `own` that a host process sees: no password of a database or a bucket is among them."""
    named = {*_PASSED, *allowed.variables, *also}
    # Code of a user's own may load ONNX Runtime too, without what tells it to report to nobody.
    return {REPORTS: "1"} | {name: value for name, value in own.items() if name in named or name.startswith("LC_")}


def host_command(
    allowed: Allowed, *, socket: Path, blobs: Path, manifest: Path, log: str, timeout: float = ANSWER_WITHIN
) -> list[str]:
    """The command that brings up the host process of what needs no environment of its own; see `host_words`."""
    # Warnings would stand between the lines of the log, and some quote the values that they warn of.
    command = [sys.executable, "-W", "ignore", "-m", "mainstay.serving.host"]
    command += host_words(socket, blobs, manifest, log, allowed.types, timeout=timeout)
    return [*command, "--seconds", str(LONGEST_ASKED if log == "asker" else hung_after(timeout))]


def launch_command(
    allowed: Allowed,
    *,
    socket: Path,
    blobs: Path,
    manifest: Path,
    work: Path,
    log: str,
    timeout: float = ANSWER_WITHIN,
) -> list[str]:
    """The command that brings up the host process of a class.

    Args:
        socket: path of the Unix socket that it is to answer on.
        blobs: root of the blobs that hold its files; `manifest` lists them.
        work: folder for what it writes, emptied before; whoever starts it removes it.
        log: "json", "human", or "asker", as `host` has it.
        timeout: seconds that a request may take.
    """
    words = [sys.executable, "-W", "ignore", "-m", "mainstay.serving.launch"]
    words += ["--environments", str(allowed.environments.absolute()), "--work", str(work.absolute())]
    words += ["--variables", ",".join(allowed.variables)]
    words += [] if allowed.memory is None else ["--memory", str(allowed.memory)]
    words += ["--seconds", str(LONGEST_ASKED if log == "asker" else allowed.seconds)]
    return words + host_words(socket, blobs, manifest, log, allowed.code, timeout=timeout)


def main() -> None:
    """The command line of a class's launcher."""
    parser = arguments("python -m mainstay.serving.launch")
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--memory", type=int)
    parser.add_argument("--variables", required=True)
    given = parser.parse_args()
    allowed = Allowed(
        code=tuple(given.trust),
        environments=given.environments,
        memory=given.memory,
        variables=tuple(given.variables.split(",")),
    )
    log = logger(human=given.log != "json")
    try:
        manifest = msgspec.json.decode(given.manifest.read_bytes(), type=Manifest)
        python = _prepared(manifest, given.blobs, allowed, log)
    except MainstayError as error:
        os.write(1, msgspec.json.encode(Said(str(error))) + b"\n")
        raise SystemExit(error.exit_code) from error
    words = host_words(given.socket, given.blobs, given.manifest, given.log, given.trust, timeout=given.timeout)
    _become(python, [*words, "--seconds", str(given.seconds)], given.work, allowed)


def _prepared(manifest: Manifest, blobs: Path, allowed: Allowed, log: Log) -> Path:
    """The Python of a package's environment. Raises UntrustedCode before anything else is done."""
    require_trusted(manifest, allowed.code)
    package = Package(manifest, FolderBlobs(blobs).get)
    if package.spec.format != FORMAT:
        raise MainstayError(f"The package is no Python class, but {package.spec.format}: it needs no environment.")
    return Environments(allowed.environments).of(package, lambda sentence: log("environment", sentence))


def _become(python: Path, words: Sequence[str], work: Path, allowed: Allowed) -> None:
    """Replaces this process by the host; does not return."""
    shutil.rmtree(work, ignore_errors=True)
    ours = work / "mainstay"
    ours.mkdir(parents=True, mode=0o700)
    # The one module of this installation that the host imports; all others are of its own environment.
    (ours / "mainstay").symlink_to(Path(__file__).parents[1], target_is_directory=True)
    seen = variables_for(allowed, os.environ)
    seen |= {"PYTHONPATH": str(ours), "HOME": str(work), "TMPDIR": str(work), "VIRTUAL_ENV": str(python.parents[1])}
    seen["PATH"] = f"{python.parent}{os.pathsep}{seen.get('PATH', os.defpath)}"
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # memory holds what people have sent
    if allowed.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed.memory, allowed.memory))
    # -P and -s: neither the folder that the server happens to run in nor the user's own packages are imported from.
    os.chdir(work)
    command = [str(python), "-P", "-s", "-B", "-W", "ignore", "-m", "mainstay.serving.host", *words]
    os.execve(python, command, seen)  # noqa: S606 - there is no shell in it, and none is wanted


if __name__ == "__main__":
    main()
