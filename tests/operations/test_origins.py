"""What a version was made from, as text and as a picture."""

from __future__ import annotations

import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from loan_projects import project_in

from mainstay.cli.app import run
from mainstay.models.package import LINEAGE, Draft
from mainstay.operations.dvc import pointers
from mainstay.operations.origins import Origin, lineage, picture, tree
from mainstay.operations.training import train
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.testing.drafts import draft

POINTER = "outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 12345\n  hash: md5\n  path: loans.csv\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """loans:1 was searched for, over data that DVC tracks; loans:2 was fitted again from it."""
    made = project_in(tmp_path_factory.mktemp("lineage") / "project")
    (made / "loans.csv.dvc").write_text(POINTER)
    train(made)
    train(made, replay="loans:1")
    return made


def test_the_tree_names_data_code_configuration_trials_and_libraries(folder: Path) -> None:
    text = tree(lineage(folder, "loans:1").origin)
    assert text.startswith("loans:1, content ")
    assert f"loans.csv, SHA-256 {hashlib.sha256((folder / 'loans.csv').read_bytes()).hexdigest()}" in text
    assert "data, 400 rows, 4 columns" in text
    assert "loans.csv.dvc: md5 0123456789abcdef0123456789abcdef, size 12345" in text
    assert f"configuration, SHA-256 {hashlib.sha256((folder / 'mainstay.toml').read_bytes()).hexdigest()}" in text
    assert "seed 0" in text and "search of " in text and "won by trial " in text and "scikit-learn " in text
    assert "git commit" in text


def test_a_replay_names_the_version_that_it_was_fitted_again_from(folder: Path) -> None:
    newest = lineage(folder, "loans")
    assert "fitted again from loans:1" in tree(newest.origin)


def test_the_picture_is_an_image_of_every_line(folder: Path) -> None:
    origin = lineage(folder, "loans:1").origin
    drawn = ET.fromstring(picture(origin))
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert len(texts) == len(tree(origin).splitlines())
    hostile = Origin(text="<script>&\x00\x1b", parts=(Origin(text='"]]>'),))
    root = ET.fromstring(picture(hostile))
    assert [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")] == ["<script>&  ", '"]]>']
    assert "\x1b" not in tree(Origin(text="a", parts=(hostile,)))


def test_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    assert run(["lineage", "loans:1", "--svg", "out.svg"]) == 0
    assert "├─ data" in capsys.readouterr().out
    assert (folder / "out.svg").read_text().startswith("<svg")
    assert run(["lineage", "loans:1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "loans:1"


def test_the_pointer_of_a_folder_above_counts_and_none_outside_of_the_project(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "data" / "raw").mkdir(parents=True)
    (project / "data.dvc").write_text("outs:\n- md5: abc.dir\n  nfiles: 3\n  path: data\n")
    (tmp_path / "project.dvc").write_text(POINTER)
    assert pointers(project, "data/raw/loans.csv") == {"data.dvc": {"md5": "abc.dir", "nfiles": "3"}}
    assert pointers(project, "loans.csv") == {} and pointers(project, "../loans.csv") == {}
    assert pointers(project, None) == {}


def test_what_an_ensemble_was_made_from_is_drawn_with_its_own_data(tmp_path: Path) -> None:
    def said(**more: object) -> dict[str, bytes]:
        return {LINEAGE: json.dumps({"git": {"commit": "c0ffee"}, **more}).encode()}

    with Registry.open(tmp_path / ".mainstay") as registry:

        def add(name: str, **more: object) -> Version:
            made = Draft(draft(name).content, said(**more))
            return registry.add(name, made, passed=True, actor="ann", summary={})

        one = add("one", data={"files": {"one.csv": "1" * 64}, "dvc": {"one.csv.dvc": {"md5": "abc"}}})
        parts = [
            {"version": one.ref, "content_id": one.content_id},
            {"version": one.ref, "content_id": "f" * 64},
            {"version": "gone:7", "content_id": "e" * 64},
        ]
        blend = add("blend", parts=parts)
        add("blend-of-blends", parts=[{"version": blend.ref, "content_id": blend.content_id}])
    found = lineage(tmp_path, "blend-of-blends:1").origin
    text = tree(found)
    assert text.index("blend:1, content ") < text.index("one:1, content ") < text.index("one.csv, SHA-256 1111")
    assert "one.csv.dvc: md5 abc" in text and text.count("git commit c0ffee") == 3
    assert "one:1, content ffffffffffff; one:1 is another one in this registry" in text
    assert "gone:7, content eeeeeeeeeeee, which this registry does not have" in text
    drawn = ET.fromstring(picture(found))
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}text"))) == len(text.splitlines())
