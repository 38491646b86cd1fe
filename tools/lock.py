"""Says whether requirements.lock and requirements-formats.txt still answer pyproject.toml, without a network.

Run as `python -m tools.lock`; exits 1 with one line for each difference.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("train", "postgres", "s3", "sign", "images", "arrow")
"""Those that `make lock` names."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)


def wanted(pyproject: str) -> list[Requirement]:
    """What the package, these extras and the group `dev` ask for."""
    document = tomllib.loads(pyproject)
    project = document["project"]
    return [
        Requirement(line)
        for line in (
            *project["dependencies"],
            *(line for extra in EXTRAS for line in project["optional-dependencies"][extra]),
            *document["dependency-groups"]["dev"],
        )
    ]


def pins(lock: str) -> dict[str, tuple[list[str], bool]]:
    """By canonical name: the versions pinned (one for each platform), and whether the project itself asks for it."""
    found: dict[str, tuple[list[str], bool]] = {}
    starts = [*_PIN.finditer(lock)]
    ends = [*(match.start() for match in starts[1:]), len(lock)]
    for match, end in zip(starts, ends, strict=True):
        name = canonicalize_name(match["name"])
        versions, direct = found.get(name, ([], False))
        asked = "mainstay (pyproject.toml" in lock[match.start() : end]
        found[name] = ([*versions, match["version"]], direct or asked)
    return found


def differences(pyproject: str, lock: str) -> list[str]:
    """One sentence for each way in which the lock does not answer the project; empty where it does."""
    pinned, asked = pins(lock), wanted(pyproject)
    said = []
    for requirement in asked:
        versions, direct = pinned.get(canonicalize_name(requirement.name), ([], False))
        if not direct:
            said.append(f"{requirement.name} is asked for and not locked")
        said += [
            f"{requirement} is asked for and {version} is locked"
            for version in versions
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    names = {canonicalize_name(requirement.name) for requirement in asked}
    said += [f"{name} is locked for the project, which no longer asks for it" for name in _direct(pinned) - names]
    return sorted(said)


def differences_of_formats(pyproject: str, lock: str, formats: str) -> list[str]:
    """One sentence for each way in which the heavy libraries answer neither their group nor the lock they lie over."""
    pinned, locked, said = pins(formats), pins(lock), []
    for line in tomllib.loads(pyproject)["dependency-groups"]["formats"]:
        requirement = Requirement(line)
        versions, _ = pinned.get(canonicalize_name(requirement.name), ([], False))
        if not versions:
            said.append(f"{requirement.name} is asked for and not pinned")
        said += [
            f"{requirement} is asked for and {version} is pinned"
            for version in versions
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    for name, (versions, _) in pinned.items():
        if name in locked and not set(versions) <= set(locked[name][0]):
            said.append(f"{name} {versions[0]} is pinned and {locked[name][0][0]} is locked")
    return sorted(said)


def _direct(pinned: dict[str, tuple[list[str], bool]]) -> set[str]:
    return {name for name, (_, direct) in pinned.items() if direct}


def main() -> int:
    pyproject, lock, formats = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("pyproject.toml", "requirements.lock", "requirements-formats.txt")
    )
    said = [f"requirements.lock: {line}" for line in differences(pyproject, lock)]
    said += [f"requirements-formats.txt: {line}" for line in differences_of_formats(pyproject, lock, formats)]
    for line in said:
        print(f"{line}: run make lock.", file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
