"""Backends of others: found by the beginning of a URL, and written as the documents say."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mainstay.registry.database import Database
from mainstay.registry.places import BadPlugin
from mainstay.registry.s3 import BadBlobs
from mainstay.registry.store import Registry
from mainstay.testing.blobs import BlobsContract
from mainstay.testing.registry import add

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "write-a-backend.md"
DATABASE = """
from pathlib import Path
from mainstay.registry.database import Database
asked = []
def opened(at, *, create):
    asked.append((at.shown, create))
    return Database.open(Path(at.url.database), create=create)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Installs a package of one module with its entry points, as pip leaves it; the module."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def one(name: str, code: str, group: str, scheme: str, of: str, *, module: str | None = None) -> Any:
        (site / f"{name}.py").write_text(code)
        folder = site / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{scheme} = {module or name}:{of}\n")
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name) if module is None else None

    return one


def of_the_page() -> str:
    """The backend that the page shows."""
    [code] = re.findall(r"```python\n(# table_blobs\.py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return code


class TestTheBackendOfThePage(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path: Path) -> Any:
        module: dict[str, Any] = {}
        exec(compile(of_the_page(), str(PAGE), "exec"), module)
        return module["TableBlobs"](f"table://{tmp_path}/blobs.db")


def test_a_store_of_others_is_used_by_its_url(install: Callable[..., Any], tmp_path: Path) -> None:
    install("table_blobs", of_the_page(), "mainstay.blobs", "table", "TableBlobs")
    with Registry.open(tmp_path / "state", blobs=f"table://{tmp_path}/blobs.db") as registry:
        version = add(registry)
        assert registry.package(version).read("model.onnx") == b"1"
    assert (tmp_path / "blobs.db").exists() and not (tmp_path / "state" / "blobs").exists()


def test_a_database_of_others_is_used_by_its_url(install: Callable[..., Any], tmp_path: Path) -> None:
    module = install("my_database", DATABASE, "mainstay.databases", "sqlite", "opened")
    url = f"sqlite:///{tmp_path}/elsewhere"
    with Registry.open(url, blobs=tmp_path / "blobs") as registry:
        assert isinstance(registry._database, Database)
        assert add(registry).ref == "credit:1"
    assert module.asked == [(url, True)]


def test_what_is_built_in_cannot_be_taken_over(install: Callable[..., Any], s3_url: str, tmp_path: Path) -> None:
    install("thief", "def took(*words, **more): raise AssertionError", "mainstay.blobs", "s3", "took")
    with Registry.open(tmp_path, blobs=s3_url) as registry:
        add(registry)


def test_what_is_missing_broken_or_double_is_told(install: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(BadBlobs, match="s3://BUCKET"):
        Registry.open(tmp_path, blobs="table://x")
    install("broken", "", "mainstay.blobs", "table", "Nothing", module="no_such_module")
    with pytest.raises(BadPlugin, match="no_such_module"):
        Registry.open(tmp_path, blobs="table://x")
    install("second", "", "mainstay.blobs", "table", "Other", module="another_module")
    with pytest.raises(BadPlugin, match="uninstall one"):
        Registry.open(tmp_path, blobs="table://x")
