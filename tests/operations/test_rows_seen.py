"""Rows that a version was trained on judge neither a smaller form of it nor a copy of it elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from loan_projects import changed, project_in, write_loans
from threadpoolctl import threadpool_limits

import mainstay
from mainstay.cli.app import run
from mainstay.errors import CheckFailed, MainstayError
from mainstay.models import package as files
from mainstay.models.package import Package, PackageCorrupt
from mainstay.operations.compressing import CompressedVersion, Rows, compress
from mainstay.operations.exporting import export
from mainstay.operations.home import state_of
from mainstay.operations.importing import import_file
from mainstay.operations.lineage import Lineage
from mainstay.operations.split_rules import files_of, rules_in, rules_of, unseen_by
from mainstay.operations.training import train
from mainstay.project import Data
from mainstay.registry.store import Registry
from mainstay.training.reading import read

ROWS = 1600


@pytest.fixture(scope="session")
def _networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project_in(tmp_path_factory.mktemp("seen") / "project", rows=ROWS)
    with threadpool_limits(limits=1):
        for family in ("neural_network", "random_forest"):
            changed(folder, search={"candidates": (family,), "folds": 2, "trials": 1})
            train(folder)
    return folder


@pytest.fixture
def folder(_networks: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_networks, tmp_path / "project"))


def package(folder: Path, ref: str) -> Package:
    with Registry.open(state_of(folder), create=False) as registry:
        found = registry.package(registry.version(ref))
        held = {entry.sha256: found.read(name) for name, entry in found.manifest.files.items()}
        return Package(found.manifest, held.__getitem__)


def left(folder: Path, ref: str, data: Path) -> int:
    return int(unseen_by(rules_of(package(folder, ref)), read(Data(path=str(data)), folder)).sum())


def smaller(folder: Path, ref: str, data: Path, **words: object) -> CompressedVersion:
    return compress(folder, ref, techniques=["quantize"], max_loss=0.02, rows=Rows(data=data), **words)


def test_a_smaller_form_is_not_judged_on_rows_that_were_trained_on(folder: Path) -> None:
    data = folder / "loans.csv"
    unseen = left(folder, "loans:1", data)
    done = smaller(folder, "loans:1", data)
    assert done.version
    assert done.compression.loss.rows == unseen < ROWS / 2
    assert f"{ROWS - unseen} of its {ROWS} rows were trained on, and are left out" in done.notes[0]
    assert done.notes[0] in package(folder, done.version).read(files.REPORT).decode()
    # So it is with a form of that form, which was itself only judged on other rows.
    other = smaller(folder, "loans:1", write_loans(folder / "fresh.csv", 1500, seed=9))
    assert (other.compression.loss.rows, other.notes) == (1500, [])
    rows = compress(folder, other.version, techniques=["float16"], rows=Rows(data=data)).compression.loss.rows
    assert rows == unseen
    fresh = compress(folder, other.version, techniques=["float16"], rows=Rows(data=folder / "fresh.csv"))
    assert fresh.compression.loss.rows == 1500


def test_rows_that_were_chosen_by_are_refused_where_nobody_can_tell_them(folder: Path) -> None:
    fresh = write_loans(folder / "fresh.csv", 1500, seed=9)
    done = compress(folder, "loans:2", techniques=["prune_trees"], max_loss=0.05, rows=Rows(data=fresh))
    assert done.compression.chosen_on > 0
    for data in (fresh, folder / "loans.csv"):
        with pytest.raises(MainstayError, match=f"{done.version} was made with {data.name}"):
            compress(folder, done.version, techniques=["float16"], rows=Rows(data=data))


def test_a_blend_is_made_smaller_on_rows_that_no_part_has_seen(folder: Path) -> None:
    blend = mainstay.ensemble("blend", of=["loans:1", "loans:2"], folder=folder)
    done = compress(folder, "blend:1", techniques=["quantize"], max_loss=0.02)
    assert done.compression.loss.rows == blend.rows
    file = smaller(folder, "blend:1", folder / "loans.csv")
    assert file.compression.loss.rows == blend.rows
    assert "that blend:1 held out in training" in file.notes[0]


def test_a_fitted_blend_keeps_all_its_rules_when_it_is_made_smaller(folder: Path) -> None:
    mainstay.ensemble("stack", of=["loans:1", "loans:2"], method="stack", folder=folder)
    data = folder / "loans.csv"
    unseen = left(folder, "stack:1", data)
    done = compress(folder, "stack:1", techniques=["prune_trees"], max_loss=0.1)
    assert done.compression.loss.rows + done.compression.chosen_on == unseen
    assert done.version
    rules = rules_of(package(folder, done.version))
    assert len(rules) == len(rules_of(package(folder, "stack:1"))) + 1
    assert left(folder, done.version, data) == done.compression.loss.rows


def test_a_folder_is_not_judged_on_rows_that_its_version_was_trained_on(folder: Path, tmp_path: Path) -> None:
    data = folder / "loans.csv"
    unseen = left(folder, "loans:1", data)
    export(folder, "loans:1", kind="native", output=tmp_path / "out")
    elsewhere = tmp_path / "elsewhere"
    done = import_file(elsewhere, tmp_path / "out", name="credit", data=data)
    assert done.passed
    assert f"{ROWS - unseen} of its {ROWS} rows were trained on, and are left out" in done.notes[-1]
    evaluation = json.loads(package(elsewhere, "credit:1").read(files.EVALUATION))
    assert evaluation["rows"] == unseen
    # The copy, and a copy of the copy, have seen what the version has seen.
    export(elsewhere, "credit:1", kind="native", output=tmp_path / "again")
    again = import_file(elsewhere, tmp_path / "again", name="credit", data=data)
    assert again.notes[-1] == done.notes[-1].replace("out held", "again held")
    assert smaller(elsewhere, "credit:2", data).compression.loss.rows == unseen
    fresh = import_file(
        elsewhere, tmp_path / "again", name="credit", data=write_loans(tmp_path / "fresh.csv", 300, seed=9)
    )
    assert json.loads(package(elsewhere, fresh.version).read(files.EVALUATION))["rows"] == 300


def test_too_few_rows_that_are_left_are_refused(tmp_path: Path) -> None:
    folder = project_in(tmp_path / "few", rows=80, search={"candidates": ("linear",)})
    train(folder)
    export(folder, "loans:1", kind="native", output=tmp_path / "out")
    with pytest.raises(CheckFailed, match="out was trained on 64 of the 80 rows"):
        import_file(tmp_path, tmp_path / "out", name="credit", data=folder / "loans.csv")
    with pytest.raises(CheckFailed, match="20 are needed"):
        smaller(folder, "loans:1", folder / "loans.csv")


def test_the_commands_say_what_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert run(["compress", "loans:1", "--quantize", "--max-loss", "0.02", "--evaluate", "loans.csv"]) == 0
    assert "rows were trained on, and are left out" in " ".join(capsys.readouterr().out.split())


def test_a_lineage_without_its_files_has_its_rules_counted(folder: Path) -> None:
    """Such as blends had that were registered before the files of their parts were kept."""
    from mainstay.operations.split_rules import Origin, left_of

    data = write_loans(folder / "fresh.csv", 300, seed=9)
    table = read(Data(path=str(data)), folder)
    rules = rules_of(package(folder, "loans:1"))
    assert files_of(package(folder, "loans:1"))
    found = left_of([Origin("old:1", rules, frozenset())], table, "fresh.csv")
    np.testing.assert_array_equal(found.mask, unseen_by(rules, table))
    assert left_of([Origin("own:1", (), frozenset())], table, "fresh.csv").mask.all()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "random"},
        {"cuts": {}},
        {"cuts": {"good": "-1", "bad": ""}},
        {"cuts": {"good": "f" * 17}},
        {"trained": ["no key"]},
        {"columns": []},
        {"kind": "time", "by": None},
        {"strata": "none", "cuts": {"all": ""}},
    ],
)
def test_a_rule_from_elsewhere_that_says_nothing_is_refused(folder: Path, change: dict[str, object]) -> None:
    (rule,) = rules_of(package(folder, "loans:1"))
    told = {**msgspec.to_builtins(rule), **change}
    with pytest.raises(PackageCorrupt, match="split rule"):
        rules_in({"split": told}, "lineage.json")


def test_the_lineage_of_a_smaller_form_names_the_files_that_were_trained_on(folder: Path) -> None:
    done = compress(folder, "loans:1", techniques=["quantize"], max_loss=0.02)
    said = package(folder, done.version).document(files.LINEAGE, Lineage)
    assert set(said.seen) == files_of(package(folder, "loans:1"))
