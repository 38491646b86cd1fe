"""Smaller versions: registered where the loss holds, refused with the figures where it does not."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from loan_projects import NAMES, changed, loans, project_in
from threadpoolctl import threadpool_limits

import mainstay
from mainstay.cli.app import run
from mainstay.errors import CheckFailed, MainstayError
from mainstay.models import package as files
from mainstay.models.compressing import CannotCompress
from mainstay.models.package import Package
from mainstay.models.parity import Parity
from mainstay.models.runtime import Model
from mainstay.operations.background import background
from mainstay.operations.compressing import CompressedVersion, LossTooLarge, Rows, compress
from mainstay.operations.deploying import deploy
from mainstay.operations.exporting import export
from mainstay.operations.home import state_of
from mainstay.operations.importing import import_file
from mainstay.operations.origins import lineage, tree
from mainstay.operations.training import train
from mainstay.registry.store import Registry
from mainstay.training.compression import Compression
from mainstay.training.splitting import SplitRule, held_out
from mainstay.training.table import Provenance, from_columns
from small_nets import digits_net

TREES, NETWORK, LINEAR = "loans:1", "loans:2", "loans:3"


@pytest.fixture(scope="session")
def _versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project_in(tmp_path_factory.mktemp("compress") / "project", rows=1600, slices=("purpose",))
    with threadpool_limits(limits=1):
        for family in ("random_forest", "neural_network", "linear"):
            changed(folder, search={"candidates": (family,), "folds": 2, "trials": 1})
            train(folder)
    return folder


@pytest.fixture
def folder(_versions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_versions, tmp_path / "project"))


def package(folder: Path, ref: str) -> Package:
    with Registry.open(state_of(folder), create=False) as registry:
        version = registry.version(ref)
        found = registry.package(version)
        held = {name: found.read(name) for name in found.manifest.files}
        return Package(found.manifest, {entry.sha256: held[name] for name, entry in found.manifest.files.items()}.get)


def count(folder: Path) -> int:
    with Registry.open(state_of(folder), create=False) as registry:
        return registry.version("loans").number


def unseen_file(path: Path, rows: int = 1500) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES[:-1], "truth"])
        writer.writerows(loans(rows, seed=99))
    return path


def checked(folder: Path, done: CompressedVersion, source: str) -> Package:
    """What holds for every version that was made smaller."""
    smaller, before = package(folder, done.version), package(folder, source)
    told = smaller.document(files.COMPRESSION, Compression)
    assert told == done.compression
    assert (told.source, told.content_id) == (source, before.manifest.content_id)
    assert told.after.bytes == len(smaller.read("model.onnx")) < told.before.bytes == len(before.read("model.onnx"))
    assert told.loss.holds(told.max_loss)
    assert told.before.microseconds > 0
    assert told.after.microseconds > 0
    assert smaller.manifest.content_id != before.manifest.content_id
    assert (smaller.signature, smaller.spec) == (before.signature, before.spec)
    assert smaller.golden.rows == before.golden.rows
    assert smaller.golden != before.golden
    Model.load(smaller).check_golden()
    parity = smaller.document(files.PARITY, Parity)
    assert parity.against.startswith(source)
    assert parity.holds
    assert parity.single.rows > 0
    said = json.loads(smaller.read(files.LINEAGE))
    (part,) = said["parts"]
    assert (part["version"], part["content_id"]) == (source, before.manifest.content_id)
    page = smaller.read(files.REPORT).decode()
    assert "<h2>Compression</h2>" in page
    for shown in (f"{told.after.bytes:,}", f"{told.before.microseconds:.1f}", f"{told.after.microseconds:.1f}"):
        assert shown in page
    return smaller


def test_a_forest_is_pruned_on_one_half_and_judged_on_the_other(folder):
    done = compress(folder, TREES, techniques=["prune_trees"], max_loss=0.02)
    assert done.passed
    assert done.kept == ["prune_trees"]
    smaller = checked(folder, done, TREES)
    told = done.compression
    assert told.after.bytes < 0.7 * told.before.bytes
    assert 100 < told.chosen_on < 220
    assert 100 < told.loss.rows < 220
    assert told.tried[0].loss is not None
    assert told.tried[0].loss.rows == told.chosen_on
    # Rows that were chosen by are no longer unseen.
    before = msgspec.convert(json.loads(package(folder, TREES).read(files.LINEAGE))["split"], SplitRule)
    after = msgspec.convert(json.loads(smaller.read(files.LINEAGE))["split"], SplitRule)
    columns = dict(zip(NAMES, map(list, zip(*loans(1600), strict=True)), strict=True))
    table = from_columns({name: [str(v) for v in values] for name, values in columns.items()}, _origin())
    held, left = held_out(before, table), held_out(after, table)
    assert not (left & ~held).any()
    assert (int(left.sum()), int(held.sum())) == (told.loss.rows, told.loss.rows + told.chosen_on)


def _origin() -> Provenance:
    return Provenance(files={}, rows=1600, columns=4, format="test")


@pytest.mark.parametrize("technique, share", [("quantize", 0.4), ("float16", 0.5)])
def test_a_network_is_made_smaller_and_judged_on_all_unseen_rows(folder, technique, share):
    done = compress(folder, NETWORK, techniques=[technique])
    smaller = checked(folder, done, NETWORK)
    told = done.compression
    assert told.chosen_on == 0
    assert told.after.bytes < share * told.before.bytes
    assert (
        json.loads(smaller.read(files.LINEAGE))["split"]
        == json.loads(package(folder, NETWORK).read(files.LINEAGE))["split"]
    )


def test_of_several_techniques_those_are_kept_that_hold(folder):
    done = compress(folder, NETWORK, techniques=["prune_trees", "quantize", "float16"], name="small-loans")
    assert done.version == "small-loans:1"
    assert done.kept == ["quantize"]
    checked(folder, done, NETWORK)
    reasons = {each.technique: each.reason for each in done.compression.tried}
    assert "no trees" in reasons["prune_trees"]
    assert "does not apply" in reasons["float16"]


def test_a_forest_is_cut_before_its_table_is_rounded(folder):
    done = compress(folder, TREES, techniques=["float16", "prune_trees"], max_loss=0.02)
    assert done.kept == ["prune_trees", "float16"]
    checked(folder, done, TREES)
    assert [each.technique for each in done.compression.tried] == ["prune_trees", "float16"]


def test_a_loss_that_does_not_hold_is_refused_with_its_figures(folder):
    done = compress(folder, NETWORK, techniques=["quantize"], max_loss=0.0, metric="log_loss")
    assert (done.version, done.passed, done.kept) == ("", False, [])
    assert "log_loss goes from" in done.reason
    assert "0 is allowed" in done.reason
    assert not done.compression.tried[0].kept
    assert count(folder) == 3
    with pytest.raises(LossTooLarge, match="log_loss goes from"):
        mainstay.compress(NETWORK, quantize=True, max_loss=0.0, metric="log_loss", folder=folder)
    assert issubclass(LossTooLarge, CheckFailed)
    assert count(folder) == 3


def test_what_saves_nothing_is_not_kept(folder):
    done = compress(folder, LINEAR, techniques=["quantize", "prune_trees"])
    assert done.version == ""
    assert done.reason.startswith("Nothing is registered. --prune-trees: It does not apply: it has no trees.")
    assert count(folder) == 3


def test_rows_of_a_file_are_for_versions_whose_own_are_not_known(folder, tmp_path):
    data = unseen_file(tmp_path / "unseen.csv")
    deploy(folder, NETWORK)
    done = compress(
        folder,
        NETWORK,
        techniques=["quantize"],
        rows=Rows(data=data, target="truth", gates=["roc_auc >= 0.8", "roc_auc >= champion - 0.005"]),
    )
    assert done.passed
    assert [gate.passed for gate in done.gates] == [True, True]
    assert done.compression.loss.rows == 1500
    checked(folder, done, NETWORK)
    chosen = compress(folder, TREES, techniques=["prune_trees"], max_loss=0.02, rows=Rows(data=data, target="truth"))
    assert chosen.compression.chosen_on + chosen.compression.loss.rows == 1500
    assert json.loads(package(folder, chosen.version).read(files.LINEAGE))["split"] == {}
    # Its own rows can no longer be told, and a file has to say.
    with pytest.raises(CheckFailed, match="--evaluate DATA --target COLUMN"):
        compress(folder, chosen.version, techniques=["prune_trees"])


def test_gates_hold_for_the_smaller_model(folder, tmp_path):
    data = unseen_file(tmp_path / "unseen.csv")
    rows = Rows(data=data, target="truth", gates=["roc_auc >= 0.999"])
    done = compress(folder, NETWORK, techniques=["quantize"], rows=rows)
    assert done.version == "loans:4"
    assert not done.passed
    with pytest.raises(MainstayError):
        deploy(folder, done.version)


def test_from_python_rows_may_be_arrays(folder):
    rows = loans(1200, seed=7)
    truth = [row[-1] for row in rows]
    table = {name: [row[i] for row in rows] for i, name in enumerate(NAMES[:-1])}
    made = mainstay.compress(NETWORK, float16=True, X_test=table, y_test=truth, name="half", folder=folder)
    assert (made.ref, made.passed) == ("half:1", True)
    assert made.summary["description"].endswith("half-precision weights")


@pytest.mark.parametrize(
    "techniques",
    [
        pytest.param(["quantize"], id="quantize"),
        pytest.param(["float16"], id="float16", marks=pytest.mark.long),
        pytest.param(["quantize", "float16"], id="both", marks=pytest.mark.long),
    ],
)
def test_a_network_that_reads_pictures_is_made_smaller(techniques, tmp_path):
    model, pictures, labels = digits_net()
    (tmp_path / "digits.onnx").write_bytes(model.SerializeToString())
    import_file(tmp_path, tmp_path / "digits.onnx", name="digits", labels=[str(digit) for digit in range(10)])
    rows = Rows(X=pictures, y=labels, gates=["accuracy >= 0.9"])
    done = compress(tmp_path, "digits:1", techniques=techniques, rows=rows, metric="accuracy", max_loss=0.01)
    assert done.passed
    smaller = checked(tmp_path, done, "digits:1")
    assert done.kept[0] == techniques[0]
    assert done.compression.chosen_on == (0 if len(techniques) == 1 else 449)
    found = Model.load(smaller).predict(pictures)
    assert np.mean(np.array(found) == labels) >= 0.9
    with pytest.raises(MainstayError, match="takes tensors"):
        compress(tmp_path, "digits:1", techniques=techniques, rows=Rows(data=tmp_path / "digits.onnx"))


def test_the_project_is_champion_of_its_own_gates(folder):
    changed(folder, gates=("roc_auc >= champion - 0.02", "roc_auc >= baseline + 0.1"))
    deploy(folder, TREES)
    done = compress(folder, TREES, techniques=["prune_trees"], max_loss=0.02)
    assert [gate.passed for gate in done.gates] == [True, True]
    assert f"{done.compression.loss.rows} rows" in done.gates[0].reason


def test_a_served_answer_is_the_smaller_graphs_own(folder):
    done = compress(folder, TREES, techniques=["prune_trees"], max_loss=0.02)
    deploy(folder, done.version)
    model = mainstay.load(done.version, folder=folder)
    rows = [dict(zip(NAMES[:-1], row[:-1], strict=True)) for row in loans(50, seed=5)]
    expected = model.predict_proba(rows)
    import urllib.request

    with background(folder) as server:
        body = json.dumps({"inputs": rows}).encode()
        with urllib.request.urlopen(f"{server.url}/predict", body, timeout=60) as answer:
            told = json.loads(answer.read())["probabilities"]
    labels = model.signature.labels
    assert np.abs(np.array([[row[str(label)] for label in labels] for row in told]) - expected).max() <= 1e-12
    assert np.abs(expected - mainstay.load(TREES, folder=folder).predict_proba(rows)).max() > 1e-6


@pytest.mark.parametrize("technique", ["quantize", "float16"])
def test_what_serves_a_smaller_model_needs_the_default_install_alone(folder, technique):
    done = compress(folder, NETWORK, techniques=[technique])
    script = f"""
import sys
for name in ("onnx", "pandas", "sklearn", "scipy", "pyarrow", "lightgbm", "xgboost", "onnxruntime.quantization"):
    sys.modules[name] = None
import mainstay
model = mainstay.load({done.version!r}, folder={str(folder)!r})
print(model.predict([{{"age": 30, "income": 2000.0, "purpose": "car"}}])[0])
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() in ("bad", "good")


def test_a_smaller_version_is_made_from_another_and_can_be_exported(folder, tmp_path):
    done = compress(folder, NETWORK, techniques=["quantize"])
    assert f"made from\n│  └─ {NETWORK}" in tree(lineage(folder, done.version).origin)
    found = export(folder, done.version, kind="onnx", output=tmp_path / "small.onnx")
    assert found.bytes < 0.6 * export(folder, NETWORK, kind="onnx", output=tmp_path / "large.onnx").bytes
    again = compress(folder, NETWORK, techniques=["quantize"])
    assert again.content_id == done.content_id
    export(folder, done.version, kind="native", output=tmp_path / "files")
    back = import_file(folder, tmp_path / "files", name="back")
    assert (back.content_id, back.largest_difference) == (done.content_id, None)


@pytest.mark.parametrize(
    "words, said",
    [
        ({"techniques": []}, "--quantize, --float16, --prune-trees"),
        ({"techniques": ["quantise"]}, "Did you mean 'quantize'"),
        ({"techniques": ["quantize"], "max_loss": 1.5}, "below 1"),
        ({"techniques": ["quantize"], "max_loss": float("nan")}, "below 1"),
        ({"techniques": ["quantize"], "metric": "rmse"}, "no metric of a binary"),
        ({"techniques": ["quantize"], "rows": Rows(target="class")}, "belong to --evaluate"),
        ({"techniques": ["quantize"], "rows": Rows(X=[])}, "belong together"),
        ({"techniques": ["quantize"], "name": "No!"}, "No!"),
    ],
)
def test_wrong_words_are_refused_in_a_sentence(folder, words, said):
    with pytest.raises(MainstayError, match=said):
        compress(folder, NETWORK, **words)
    assert count(folder) == 3


def test_a_model_that_is_no_onnx_is_refused(tmp_path):
    from sklearn.neighbors import KNeighborsClassifier

    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 2))
    fitted = KNeighborsClassifier(3, metric="canberra").fit(x, (x[:, 0] > 0).astype(int))
    (tmp_path / "trust.txt").write_text("")
    from mainstay.models.formats.skops import UntrustedTypes

    trusted: tuple[str, ...] = ()
    try:
        mainstay.register(fitted, name="near", X=x, folder=tmp_path)
    except UntrustedTypes as error:
        trusted = tuple(error.types)
        mainstay.register(fitted, name="near", X=x, trusted=trusted, folder=tmp_path)
    (tmp_path / "trust.txt").write_text("\n".join(trusted))
    with pytest.raises(CannotCompress, match="served as skops"):
        compress(tmp_path, "near:1", techniques=["quantize"])


def test_too_few_unseen_rows_say_so(tmp_path):
    folder = project_in(tmp_path / "few", rows=120, search={"candidates": ("decision_tree",)})
    train(folder)
    with pytest.raises(CheckFailed, match="are needed"):
        compress(folder, "loans:1", techniques=["prune_trees"])


def test_the_command_prints_the_figures_and_ends_as_a_gate_does(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert run(["compress", NETWORK, "--quantize", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["version"] == "loans:4"
    assert told["compression"]["after"]["bytes"] < told["compression"]["before"]["bytes"]
    assert {"value", "low", "high", "unit", "metric"} <= set(told["compression"]["loss"])
    assert run(["compress", NETWORK, "--quantize"]) == 0
    assert "microseconds a row" in capsys.readouterr().out
    assert run(["compress", NETWORK, "--quantize", "--max-loss", "0", "--metric", "log_loss"]) == 1
    assert "Nothing is registered" in capsys.readouterr().out
    assert run(["compress", NETWORK]) == 2
    assert "Say how" in capsys.readouterr().err
    assert count(folder) == 5
