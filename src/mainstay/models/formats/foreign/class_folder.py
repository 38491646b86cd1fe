"""A folder with a Python class, its data files and its requirements, described by `mainstay-model.toml`.

Nothing of it is imported here. The folder becomes one archive, its requirements one locked list, and what asks the
class for its golden predictions is handed in: a host process, if the operator trusts the code.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from mainstay.models import package as files
from mainstay.models.archives import packed
from mainstay.models.classes import CLASS, CODE, FORMAT, OURS, REQUIREMENTS, ClassSpec, code_id
from mainstay.models.formats.foreign.class_signature import SignatureTold
from mainstay.models.formats.foreign.packing import alone
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told
from mainstay.models.golden import Golden
from mainstay.models.package import Draft, ModelSpec, encoded
from mainstay.models.packaging import Built
from mainstay.models.requirements import BadRequirements, is_locked, locked

NAME = "Python class"
DESCRIPTION = "mainstay-model.toml"
TEXT = "requirements.txt"
LEAST = ("msgspec>=0.20", "numpy>=1.24")
"""What Mainstay's own part of the host process runs with."""

_OURS = re.compile(r"# Locked by mainstay import from \S+ \(sha256 (?P<of>[0-9a-f]{64})\)")
_LEFT_OUT = (DESCRIPTION, REQUIREMENTS)


class ClassTold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "class"}):
    """`mainstay-model.toml`."""

    name: str
    """Module and class, "pricing.model:Pricing"."""
    signature: SignatureTold
    python: str = f"{sys.version_info.major}.{sys.version_info.minor}"
    """Minor version of the Python that it runs in; by default the one that imports it."""
    requirements: str | None = None
    """File of its requirements in the folder; by default requirements.txt, where there is one."""


def detect(path: Path, head: bytes) -> bool:
    del head
    return path.is_dir() and (path / DESCRIPTION).is_file()


def draft(path: Path, told: Told) -> Imported:
    if told.columns or told.labels or told.nullable or told.target or told.general or told.logits:
        raise CannotImport(f"{DESCRIPTION} says what the inputs and answers of a class are: leave the options out.")
    if told.locked is None or told.opened is None:
        raise CannotImport("A Python class is asked in a process of its own: import it with mainstay import.")
    said = _description(path)
    spec = ClassSpec(name=said.name, python=said.python).checked()
    signature = said.signature.signature()
    content = {
        CODE: packed(path, lambda inside: _left_out(path, inside)),
        REQUIREMENTS: _locked(path, said, told.locked).encode(),
        CLASS: encoded(spec),
        files.SPEC: encoded(ModelSpec(format=FORMAT, file=CODE)),
        files.SIGNATURE: encoded(signature),
        files.GOLDEN: encoded(Golden(rows=[])),
    }
    code = code_id(Draft(content).manifest())
    golden, parity = alone(told.opened(Draft(content).package()))
    content[files.GOLDEN] = encoded(golden)
    built = Built(Draft(content, {files.PARITY: encoded(parity)}), parity, FORMAT, "")
    notes = (f"Its code is {code}: each machine that serves it has to trust that.",)
    return Imported(built, f"Python class {spec.name}", notes)


def _description(path: Path) -> ClassTold:
    try:
        text = (path / DESCRIPTION).read_text(encoding="utf-8")
        return msgspec.convert(tomllib.loads(text), ClassTold)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CannotImport(f"{DESCRIPTION} is no TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise CannotImport(f"{DESCRIPTION} cannot be meant so: {error}.") from error


def _left_out(folder: Path, inside: str) -> bool:
    """What is no part of a model: caches, hidden files, environments, and what the package says elsewhere."""
    name = inside.rpartition("/")[2]
    return (
        name.startswith(".")
        or name.endswith(".pyc")
        or name == "__pycache__"
        or inside in _LEFT_OUT
        or (folder / inside / "pyvenv.cfg").exists()
    )


def _locked(path: Path, said: ClassTold, resolve: Callable[[str, str], str]) -> str:
    """The locked list of requirements: the person's own, or one that is made of his and kept in his folder."""
    named, lock = said.requirements or TEXT, path / REQUIREMENTS
    wanted = _requirements(path, said)
    if wanted is not None and is_locked(wanted):
        locked(wanted, needed=OURS)
        return wanted
    kept = _text(lock)
    ours = None if kept is None else _OURS.match(kept)
    if kept is not None and not ours:
        locked(kept, needed=OURS)
        return kept
    asked = "\n".join([*_lines(wanted or ""), *LEAST]) + "\n"
    of = hashlib.sha256(f"{said.python}\n{asked}".encode()).hexdigest()
    if kept is None or ours is None or ours["of"] != of:
        header = f"# Locked by mainstay import from {named} (sha256 {of}) for Python {said.python};\n"
        kept = f"{header}# remove this file to lock anew.\n{resolve(asked, said.python)}"
        locked(kept, needed=OURS)
        # Written down, so that what an operator has read and trusted is what is imported the next time too.
        lock.write_text(kept, encoding="utf-8")
    locked(kept, needed=OURS)
    return kept


def _requirements(path: Path, said: ClassTold) -> str | None:
    named = said.requirements
    if named is not None and ("/" in named or named in ("", ".", "..")):
        raise CannotImport(f"requirements = {named!r} in {DESCRIPTION} is no file of the folder: put it there.")
    text = _text(path / (named or TEXT))
    if text is None and named is not None:
        raise CannotImport(f"The folder has no file {named!r}, which {DESCRIPTION} names: write it.")
    return text


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CannotImport(f"{path.name} is no text in UTF-8: {error}.") from error


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith("#")]
    if options := [line for line in kept if line.startswith("-")]:
        raise BadRequirements(
            f"{options[0]!r} in the requirements is an option, and only packages are taken: write what a file that it "
            "names says in its place; which index they come from is said by the machine (UV_DEFAULT_INDEX)."
        )
    return kept
