"""A folder with a Python class becomes a version that answers from an environment of its own. More of it, with each
fault, is in tests/heavy: every case takes a second or two."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import mainstay
from mainstay.models import archives, classes
from mainstay.models.classes import UntrustedCode
from mainstay.models.package import Draft
from mainstay.models.runtime import Model
from mainstay.operations.deploying import deploy
from mainstay.operations.exporting import export
from mainstay.operations.importing import ImportedVersion, import_file
from mainstay.operations.operator import BadOperatorFile, allowed_here
from mainstay.registry.store import Registry
from mainstay.serving.asking import OwnHost
from mainstay.serving.uv import IndexAway
from python_classes import MODEL, pricing, trust

ROWS = [{"rooms": 2, "region": "north"}, {"rooms": 3.5, "region": "south"}]


def test_nothing_of_an_untrusted_folder_is_run_or_installed(project: Path, tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    folder = pricing(tmp_path / "folder", model=f"open({str(marker)!r}, 'w')\n{MODEL}")
    before = sorted((project / ".mainstay" / "environments").iterdir())
    with pytest.raises(UntrustedCode, match=r'trust_code = \["sha256:[0-9a-f]{64}"\] in \.mainstay/operator\.toml'):
        import_file(project, folder, name="pricing")
    assert not marker.exists()
    assert sorted((project / ".mainstay" / "environments").iterdir()) == before
    assert not (project / ".mainstay" / "registry.db").exists()


def test_a_trusted_one_answers_from_its_own_environment_until_it_is_trusted_no_longer(
    project: Path, imported: Callable[..., ImportedVersion], tmp_path: Path
) -> None:
    done = imported(pricing(tmp_path / "folder"))
    assert (done.source, done.inputs, done.passed) == ("Python class", ["rooms", "region"], False)
    model = mainstay.load("pricing:1", folder=project)
    assert model.predict(ROWS) == [300.0, 350.0]
    assert not {"tariff", "pricing"} & sys.modules.keys()
    package = model.package
    with Registry.open(project / ".mainstay") as registry:
        origin = json.loads(registry.package(registry.version("pricing:1")).read("lineage.json"))
    assert set(origin["data"]["files"]) == {"mainstay-model.toml"}  # and not what lies about, such as .git
    assert set(archives.files_in(package.read(classes.CODE))) == {
        "data/factors.json",
        "pricing/__init__.py",
        "pricing/model.py",
        "requirements.txt",
    }

    # The files that are trusted by their hash are those that run, whatever stands beside them.
    allowed = allowed_here(project)
    content = {name: package.read(name) for name in package.manifest.content}
    evil = archives.archive_of({"pricing/model.py": b"raise SystemExit('it ran')"})
    with pytest.raises(UntrustedCode):
        OwnHost(Draft({**content, classes.CODE: evil}).package(), allowed)
    spec = json.loads(content["model.json"]) | {"file": "evil.zip"}
    other = Draft({**content, "model.json": json.dumps(spec).encode(), "evil.zip": evil}).package()
    with OwnHost(other, allowed) as host:
        assert Model(other, host).predict(ROWS) == [300.0, 350.0]

    export(project, "pricing:1", kind="native", output=tmp_path / "out")
    assert import_file(project, tmp_path / "out", name="again").content_id == done.content_id
    trust(project)
    for ask in (
        lambda: mainstay.load("pricing:1", folder=project),
        lambda: deploy(project, "pricing:1", override=True, reason="test"),
    ):
        with pytest.raises(UntrustedCode, match="pricing:1 is Python code"):
            ask()
    with pytest.raises(UntrustedCode):
        import_file(project, tmp_path / "out", name="once-more")
    with Registry.open(project / ".mainstay") as registry:
        assert registry.deployment("pricing") is None


def test_an_index_that_is_away_is_told_with_the_way_out(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(IndexAway, match=r"the package index cannot be reached .*UV_DEFAULT_INDEX"):
        import_file(project, pricing(tmp_path / "folder"), name="pricing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('trust_code = ["pricing"]', "a code id is sha256: and 64 hex digits"),
        ("class_memory_mb = 1", "128 are needed"),
        ("class_seconds = 0", "more than 0"),
        ('host_variables = "HOME"', "Expected `array`"),
    ],
)
def test_an_operators_file_that_cannot_be_meant_is_refused(project: Path, text: str, said: str) -> None:
    (project / ".mainstay" / "operator.toml").write_text(text)
    with pytest.raises(BadOperatorFile, match=said):
        allowed_here(project)
