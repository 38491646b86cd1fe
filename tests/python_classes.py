"""Folders with Python classes, and a package index for them on this disk: wheels of what is installed, and a tiny one
in two versions. So real environments are built without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from mainstay.models.classes import UntrustedCode
from mainstay.operations.importing import ImportedVersion, import_file

TOML = """\
class = "pricing.model:Pricing"

[signature]
task = "regression"
target = "price"

[[signature.inputs]]
name = "rooms"
type = "number"
minimum = 1
maximum = 12

[[signature.inputs]]
name = "region"
type = "category"
categories = ["north", "south"]
"""
MODEL = """\
import json

import numpy as np
import tariff


class Pricing:
    def __init__(self, folder):
        self.factors = json.loads((folder / "data" / "factors.json").read_text())

    def predict(self, rows):
        factors = np.array([self.factors[region] for region in rows["region"]])
        return rows["rooms"] * factors * tariff.BASE
"""
CLASSIFIER = """\
class = "model:Model"

[signature]
task = "binary"
labels = ["bad", "good"]

[[signature.inputs]]
name = "x"
type = "number"
minimum = -1
maximum = 1
"""


def wheels(folder: Path) -> Path:
    """Wheels of numpy and msgspec as they are installed here, and of `tariff` 1.0 and 2.0."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("numpy", "msgspec"):
        _repacked(name, folder)
    for version, base in (("1.0", 100), ("2.0", 200)):
        files = {
            "tariff.py": f"BASE = {base}\n",
            f"tariff-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: tariff\nVersion: {version}\n",
            f"tariff-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = f"tariff-{version}.dist-info/RECORD"
        lines = [f"{path},{_digest(text.encode())},{len(text)}\n" for path, text in files.items()]
        with zipfile.ZipFile(folder / f"tariff-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in {**files, record: "".join([*lines, f"{record},,\n"])}.items():
                wheel.writestr(path, text)
    return folder


def _repacked(name: str, into: Path) -> None:
    """A wheel of an installed distribution: its own files, without what installing added."""
    installed = distribution(name)
    tag = next(line.partition(": ")[2] for line in (installed.read_text("WHEEL") or "").splitlines() if "Tag: " in line)
    assert installed.files is not None
    kept = {str(file): Path(str(file.locate())) for file in installed.files if "__pycache__" not in str(file)}
    kept = {path: place for path, place in kept.items() if not path.startswith("..") and place.exists()}
    kept = {path: place for path, place in kept.items() if "/tests/" not in path}
    record = next(path for path in kept if path.endswith(".dist-info/RECORD"))
    with zipfile.ZipFile(into / f"{name}-{installed.version}-{tag}.whl", "w") as wheel:
        lines = []
        for path, place in kept.items():
            if path == record or path.endswith(("INSTALLER", "REQUESTED", "direct_url.json")):
                continue
            data = place.read_bytes()
            wheel.writestr(path, data)
            lines.append(f"{path},{_digest(data)},{len(data)}\n")
        wheel.writestr(record, "".join([*lines, f"{record},,\n"]))


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def pricing(folder: Path, *, requirements: str = "tariff==1.0\n", model: str = MODEL) -> Path:
    """A class with a package of its own, a data file and a requirement; what lies about in such folders too."""
    (folder / "pricing" / "__pycache__").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core]\n")
    (folder / "pricing" / "__init__.py").touch()
    (folder / "pricing" / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"\0")
    (folder / "pricing" / "model.py").write_text(model)
    (folder / "data" / "factors.json").write_text(json.dumps({"north": 1.5, "south": 1.0}))
    (folder / "mainstay-model.toml").write_text(TOML)
    (folder / "requirements.txt").write_text(requirements)
    return folder


def plain(folder: Path, code: str, toml: str = CLASSIFIER) -> Path:
    """A class in one file, without requirements of its own."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(code)
    (folder / "mainstay-model.toml").write_text(toml)
    return folder


def trust(project: Path, *codes: str, **more: object) -> None:
    """The operator's file, which trusts these codes and says more."""
    state = project / ".mainstay"
    state.mkdir(exist_ok=True)
    lines = [
        f"trust_code = {json.dumps(list(codes))}",
        *(f"{key} = {json.dumps(value)}" for key, value in more.items()),
    ]
    (state / "operator.toml").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels(tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def offline(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """uv knows this index alone."""
    monkeypatch.setenv("UV_FIND_LINKS", str(index))
    monkeypatch.setenv("UV_NO_INDEX", "1")


@pytest.fixture
def project(tmp_path: Path, environments: Path, offline: None) -> Path:
    """An empty project, whose environments are those of all tests: each is built once."""
    folder = tmp_path / "project"
    (folder / ".mainstay").mkdir(parents=True)
    (folder / ".mainstay" / "environments").symlink_to(environments, target_is_directory=True)
    return folder


@pytest.fixture
def imported(project: Path) -> Callable[..., ImportedVersion]:
    """Imports a folder, having trusted its code."""

    def run(folder: Path, name: str = "pricing", **more: object) -> ImportedVersion:
        with pytest.raises(UntrustedCode) as refused:
            import_file(project, folder, name=name)
        trust(project, refused.value.code)
        return import_file(project, folder, name=name, **more)

    return run
