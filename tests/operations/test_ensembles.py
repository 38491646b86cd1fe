"""`mainstay ensemble`: registered versions become the parts of a new one, judged on rows that none of them has seen."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from age_rule import AgeRule
from loan_projects import NAMES, changed, loans, write_loans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import mainstay
from mainstay.cli.app import run
from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.signing import NotSigned
from mainstay.operations.deploying import deploy
from mainstay.operations.exporting import export
from mainstay.operations.home import state_of
from mainstay.operations.importing import import_file
from mainstay.operations.signing import keygen, sign
from mainstay.operations.split_rules import rules_of, unseen_by
from mainstay.operations.training import train
from mainstay.project import Data
from mainstay.project import load as project_of
from mainstay.registry.store import Registry
from mainstay.training.reading import read
from mainstay.training.splitting import held_out
from mainstay.training.weighing import TooFewRows

BOTH = ["loans:1", "loans:2"]


def documents(folder: Path, ref: str, name: str) -> Any:
    with Registry.open(state_of(folder)) as registry:
        return json.loads(registry.package(registry.version(ref)).read(name))


def fresh(folder: Path, rows: int = 300) -> Path:
    """Rows that nothing was trained on."""
    return write_loans(folder / "fresh.csv", rows, seed=7)


def frame_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)


def test_a_blend_is_a_version_of_its_own_judged_beside_its_parts(two_versions: Path) -> None:
    done = mainstay.ensemble("blend", of=BOTH, folder=two_versions)
    assert (done.version, done.passed, done.format, done.reason) == ("blend:1", True, "onnx", "")
    rule = rules_of_version(two_versions, "loans:1")[0]
    table = read(project_of(two_versions).data, two_versions)
    assert done.rows == int(held_out(rule, table).sum())
    assert [part.version for part in done.parts] == BOTH
    assert all(part.metrics.keys() == done.metrics.keys() for part in done.parts)
    assert [gate.text for gate in done.gates] == ["roc_auc > baseline"]
    held = frame_of(two_versions / "loans.csv")[held_out(rule, table)].drop(columns="class")
    blend, *parts = (mainstay.load(ref, folder=two_versions) for ref in ("blend", *BOTH))
    expected = (parts[0].predict_proba(held) + parts[1].predict_proba(held)) / 2
    np.testing.assert_allclose(blend.predict_proba(held), expected, rtol=0, atol=1e-12)
    lineage = documents(two_versions, "blend:1", files.LINEAGE)
    assert lineage["command"] == "mainstay ensemble"
    assert lineage["parts"] == [
        {"version": part.version, "content_id": part.content_id, "weight": None} for part in done.parts
    ]
    page = Path(done.report).read_text(encoding="utf-8")
    assert "Beside its parts" in page and '<th scope="col" class="right">loans:2</th>' in page
    assert deploy(two_versions, "blend:1").version == "blend:1"


def rules_of_version(folder: Path, ref: str) -> Any:
    with Registry.open(state_of(folder)) as registry:
        return rules_of(registry.package(registry.version(ref)))


def ensembled_rows(folder: Path) -> int:
    table = read(project_of(folder).data, folder)
    return int(held_out(rules_of_version(folder, "loans:1")[0], table).sum())


def test_given_weights_stand_in_the_lineage_and_a_gate_may_say_no(two_versions: Path) -> None:
    done = mainstay.ensemble(
        "blend", of=BOTH, method="weights", weights=[3, 1], gates=["roc_auc >= 0.999"], folder=two_versions
    )
    assert not done.passed
    assert [part.weight for part in done.parts] == [0.75, 0.25]
    assert [part["weight"] for part in documents(two_versions, "blend:1", files.LINEAGE)["parts"]] == [0.75, 0.25]
    again = mainstay.ensemble("other", of=BOTH, method="weights", weights=[0.75, 0.25], folder=two_versions)
    assert again.content_id == done.content_id  # what was measured, when and by whom, decides no answer


def test_what_is_fitted_is_fitted_on_rows_that_nobody_saw_and_judged_on_others(two_versions: Path) -> None:
    with pytest.raises(TooFewRows, match="50 are needed"):
        mainstay.ensemble("blend", of=BOTH, method="stack", folder=two_versions)  # 80 rows were held out
    data = fresh(two_versions)
    for method in ("weights", "stack"):
        done = mainstay.ensemble(method, of=BOTH, method=method, evaluate=data, folder=two_versions)
        assert done.passed and done.format == "onnx"
        assert done.fitted_rows + done.rows == 300
        assert 100 < done.fitted_rows < 200
        assert f"fitted on {done.fitted_rows} such rows, and it was judged on {done.rows} others" in done.notes[1]
    weights = [
        part.weight
        for part in mainstay.ensemble("w", of=BOTH, method="weights", evaluate=data, folder=two_versions).parts
    ]
    assert sum(weights) == pytest.approx(1.0, abs=1e-12) and min(weights) >= 0
    # The rule by which the rows were divided is kept: the next one is judged on rows that this one was not fitted on.
    rules = rules_of_version(two_versions, "stack:1")
    assert len(rules) == 2
    table = read(project_of(two_versions).data, two_versions)
    seen = ~unseen_by(rules, table)
    assert seen.sum() > (~unseen_by(rules[:1], table)).sum()


def test_a_blend_of_a_fitted_blend_does_not_see_the_rows_again(two_versions: Path) -> None:
    data = fresh(two_versions, 1500)
    first = mainstay.ensemble("stack", of=BOTH, method="stack", evaluate=data, folder=two_versions)
    assert first.rows > 700
    second = mainstay.ensemble("deep", of=["stack:1", "loans:2"], method="stack", evaluate=data, folder=two_versions)
    # The file is the one that the first was fitted on, so its rules count.
    left = unseen_by(rules_of_version(two_versions, "stack:1"), read(Data(path=str(data)), two_versions))
    assert second.fitted_rows + second.rows == int(left.sum()) < first.rows
    assert "that stack:1 held out in training" in second.notes[0]
    assert len(rules_of_version(two_versions, "deep:1")) == 3


def test_rows_of_the_file_that_a_part_was_trained_on_are_not_taken_for_new(two_versions: Path) -> None:
    done = mainstay.ensemble("blend", of=BOTH, evaluate=two_versions / "loans.csv", folder=two_versions)
    assert done.rows == mainstay.ensemble("other", of=BOTH, folder=two_versions).rows < 100
    assert f"{400 - done.rows} of its 400 rows were trained on, and are left out" in done.notes[0]
    # What a part has seen, its blend has seen, and so has a copy of it.
    export(two_versions, "blend:1", kind="native", output=two_versions / "out")
    import_file(two_versions, two_versions / "out", name="copy")
    for part in ("blend:1", "copy:1"):
        deep = mainstay.ensemble("deep", of=[part, "loans:2"], evaluate=two_versions / "loans.csv", folder=two_versions)
        assert deep.rows == done.rows
        assert f"that {part} and loans:2 held out" in deep.notes[0]


def test_many_rows_that_judge_are_not_called_few(two_versions: Path) -> None:
    done = mainstay.ensemble("blend", of=BOTH, evaluate=fresh(two_versions), folder=two_versions)
    assert done.rows == 300
    assert not any("Only" in note for note in done.notes)


def test_a_training_is_compared_with_a_blend_that_is_deployed(two_versions: Path) -> None:
    done = mainstay.ensemble("loans", of=BOTH, gates=["roc_auc >= champion - 0.5"], folder=two_versions)
    assert done.version == "loans:3"
    assert "against loans:1 on" in done.gates[0].reason
    deploy(two_versions, "loans:3")
    changed(two_versions, gates=("roc_auc >= champion - 0.5",))
    later = train(two_versions)
    assert later.gates[0]["passed"], later.gates
    assert "against loans:3 on" in later.gates[0]["reason"]


def registered(folder: Path, name: str, estimator: Any, **words: Any) -> str:
    """A model that was trained elsewhere: nothing is known of its rows."""
    frame = pd.DataFrame(loans(400, seed=3), columns=list(NAMES))
    X, y = frame.drop(columns="class"), frame["class"]
    columns = make_column_transformer(
        (StandardScaler(), ["age", "income"]), (OneHotEncoder(handle_unknown="ignore"), ["purpose"]), sparse_threshold=0
    )
    model = make_pipeline(columns, estimator).fit(X, y)
    return mainstay.register(model, name=name, X=X, target="class", folder=folder, **words).ref


def test_without_rows_a_blend_is_registered_and_has_passed_nothing(two_versions: Path) -> None:
    own = registered(two_versions, "own", LogisticRegression())
    done = mainstay.ensemble("blend", of=["loans:1", own], folder=two_versions)
    assert not done.passed and done.metrics == {} and done.report == ""
    assert "the lineage of own:1 does not say which rows it was trained on" in done.notes[0]
    for words in ({"method": "stack"}, {"method": "weights"}, {"gates": ["roc_auc > 0.5"]}):
        with pytest.raises(MainstayError, match="with --evaluate DATA"):
            mainstay.ensemble("blend", of=["loans:1", own], folder=two_versions, **words)
    judged = mainstay.ensemble("blend", of=["loans:1", own], evaluate=fresh(two_versions), folder=two_versions)
    assert judged.passed and judged.rows == 300 and judged.content_id != ""


def test_a_part_in_a_native_format_needs_the_operators_trust_in_the_blend_too(two_versions: Path) -> None:
    types = ("age_rule.AgeRule",)
    own = registered(two_versions, "own", AgeRule(), trusted=types)
    with pytest.raises(MainstayError, match="not trusted"):
        mainstay.ensemble("blend", of=["loans:1", own], method="vote", folder=two_versions)
    done = mainstay.ensemble("blend", of=["loans:1", own], method="vote", trusted=types, folder=two_versions)
    assert (done.format, done.reason) == ("ensemble", "own:1 is served as skops")
    with pytest.raises(MainstayError, match="not trusted"):
        mainstay.load("blend", folder=two_versions)
    (two_versions / "trust.txt").write_text("\n".join(types))
    rows = frame_of(fresh(two_versions)).drop(columns="class")
    assert set(mainstay.load("blend", folder=two_versions).predict(rows)) == {"bad", "good"}


def test_a_blend_travels_as_a_folder_whatever_it_is_made_of(two_versions: Path) -> None:
    types = ("age_rule.AgeRule",)
    (two_versions / "trust.txt").write_text("\n".join(types))
    own = registered(two_versions, "own", AgeRule(), trusted=types)
    for name, of in (("graph", BOTH), ("parts", ["loans:1", own])):
        done = mainstay.ensemble(name, of=of, folder=two_versions)
        export(two_versions, f"{name}:1", kind="native", output=two_versions / name)
        again = import_file(two_versions, two_versions / name, name="again")
        assert again.content_id == done.content_id
    with pytest.raises(MainstayError, match="--format native"):
        export(two_versions, "parts:1", kind="onnx", output=two_versions / "parts.onnx")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"of": ["loans:1"]}, "two parts or more"),
        ({"of": ["loans:1", "loans:2", "loans@champion"]}, "loans:1 is named 2 times"),
        ({"of": ["loans:1", "loans:9"]}, "loans:9"),
        ({"method": "wieghts"}, "Did you mean 'weights'"),
        ({"weights": [1, 2]}, "Weights belong to --method weights"),
        ({"method": "weights", "weights": [1]}, "2 parts and 1 weights"),
        ({"method": "weights", "weights": [-1, 2]}, "from 0 on"),
        ({"method": "weights", "weights": [float("nan"), 2]}, "from 0 on"),
        ({"method": "weights", "weights": [0, 0]}, "not all of them 0"),
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"positive": "awful"}, "none of the parts' labels: bad, good"),
        ({"gates": ["roc_acu > 0.5"]}, "Did you mean 'roc_auc'"),
        ({"name": "My Blend"}, "name of a model"),
        ({"target": "risk", "evaluate": "loans.csv"}, "no full column 'risk'"),
    ],
)
def test_wrong_words_register_nothing(two_versions: Path, words: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"name": "blend", "of": BOTH, "folder": two_versions, **words}
    if "evaluate" in given:
        given["evaluate"] = two_versions / given["evaluate"]
    with pytest.raises(MainstayError, match=said):
        mainstay.ensemble(given.pop("name"), **given)
    with Registry.open(state_of(two_versions)) as registry:
        assert registry.models() == ["loans"]


def test_a_threshold_of_its_own_and_one_that_the_parts_share(two_versions: Path) -> None:
    export(two_versions, "loans:1", kind="native", output=two_versions / "out")
    import_file(two_versions, two_versions / "out", name="same")
    shared = mainstay.ensemble("one", of=["loans:1", "same:1"], folder=two_versions)
    part, blend = (mainstay.load(ref, folder=two_versions) for ref in ("loans:1", "one"))
    assert shared.threshold is not None and blend.spec.decision == part.spec.decision
    rows = frame_of(fresh(two_versions)).drop(columns="class")
    assert blend.predict(rows) == part.predict(rows)
    own = mainstay.ensemble("two", of=BOTH, threshold=0.1, positive="bad", folder=two_versions)
    model = mainstay.load("two", folder=two_versions)
    assert own.threshold == 0.1
    assert model.predict(rows) == np.where(model.predict_proba(rows)[:, 0] >= 0.1, "bad", "good").tolist()


def test_parts_are_loaded_only_where_the_operator_lets_them_be(
    two_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAINSTAY_OPERATOR", raising=False)
    key = keygen(two_versions / "key.pem")
    (state_of(two_versions) / "operator.toml").write_text(f'require_signed_by = ["{key.public_key}"]')
    sign(two_versions, "loans:1", two_versions / "key.pem")
    with pytest.raises(NotSigned, match="loans:2"):
        mainstay.ensemble("blend", of=BOTH, folder=two_versions)
    sign(two_versions, "loans:2", two_versions / "key.pem")
    assert mainstay.ensemble("blend", of=BOTH, folder=two_versions).passed


def test_the_command_says_what_came_of_it(in_project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["ensemble", "blend", "--of", *BOTH]) == 0
    out = capfd.readouterr().out
    assert "blend:1: mean of 2 parts, 3 inputs, one ONNX graph." in out
    rows = ensembled_rows(in_project)
    assert f"Judged on {rows} rows that no part was trained on." in out
    assert f"Note: Only {rows} rows judged it" in out
    assert run(["ensemble", "blend", "--of", *BOTH, "--gate", "roc_auc >= 1.5", "--json"]) == 1
    assert json.loads(capfd.readouterr().out)["gates"][0]["passed"] is False
    assert run(["ensemble", "blend", "--of", "loans:1", "--of", "loans:2", "loans:1"]) == 2
    assert "behind one --of" in capfd.readouterr().err
    assert run(["ensemble", "blend", "--of", *BOTH, "--method", "weights", "--weights", "0.3;0.7"]) == 2
    assert "write 0.7,0.3" in capfd.readouterr().err
    assert run(["ensemble", "blend", "--of", *BOTH, "--method", "weights", "--weights", "0.3,0.7"]) == 0
    assert "0.3" in capfd.readouterr().out
    assert run(["export", "blend:1", "--format", "onnx", "--output", "blend.onnx"]) == 0


def test_regressions_with_parts_of_unlike_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame(loans(500), columns=list(NAMES))
    frame["class"] = (45 - frame["age"]) / 12 + (3000 - frame["income"]) / 900
    X, y = frame[["age", "income"]], frame["class"]
    for name, model, columns in (
        ("line", LinearRegression(), ["age"]),
        ("forest", RandomForestRegressor(10, random_state=0), ["income", "age"]),
    ):
        mainstay.register(model.fit(X[columns][:200], y[:200]), name=name, X=X[columns][:200], folder=tmp_path)
    with (tmp_path / "rest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["income", "age", "class"])
        writer.writerows(frame[["income", "age", "class"]][200:].to_numpy().tolist())
    for method in ("mean", "weights", "stack"):
        done = mainstay.ensemble(
            "blend",
            of=["line", "forest"],
            method=method,
            target="class",
            evaluate=tmp_path / "rest.csv",
            folder=tmp_path,
        )
        assert done.passed and done.format == "onnx" and done.inputs == ["age", "income"]
    # Both fitted ones are no worse than the better part, but for chance.
    assert done.metrics["rmse"]["value"] <= 1.1 * done.parts[1].metrics["rmse"]["value"]


@pytest.mark.long
def test_credit_with_two_trained_models_and_one_of_an_own_pipeline(shared_data: Any, tmp_path: Path) -> None:
    from mainstay.operations.initialising import initialise, source_of

    folder = tmp_path / "credit"
    folder.mkdir()
    initialise(folder, source_of(str(shared_data("credit.csv"))), target="class")
    for family in ("linear", "decision_tree"):
        changed(folder, search={"candidates": (family,), "trials": 1, "folds": 2})
        train(folder)
    name = project_of(folder).name
    frame = pd.read_csv(shared_data("credit.csv"))
    held = held_out(rules_of_version(folder, f"{name}:1")[0], read(project_of(folder).data, folder))
    X, y = frame.drop(columns="class"), frame["class"]
    numbers = list(X.select_dtypes("number").columns[:4])
    own = make_pipeline(
        make_column_transformer(("passthrough", numbers), (OneHotEncoder(handle_unknown="ignore"), ["purpose"])),
        HistGradientBoostingClassifier(max_iter=10),
    )
    own.set_params(columntransformer__sparse_threshold=0)
    few = X[[*numbers, "purpose"]]
    mainstay.register(own.fit(few[~held], y[~held]), name="own", X=few[~held], target="class", folder=folder)
    two = mainstay.ensemble("blend", of=[f"{name}:1", f"{name}:2"], method="weights", folder=folder)
    assert two.passed and two.format == "onnx" and two.fitted_rows + two.rows == int(held.sum())
    frame[held].to_csv(tmp_path / "held.csv", index=False)
    three = mainstay.ensemble(
        "blend", of=[f"{name}:1", f"{name}:2", "own"], evaluate=tmp_path / "held.csv", folder=folder
    )
    assert three.passed and three.format == "onnx" and three.rows == int(held.sum())
    each = [mainstay.load(part.version, folder=folder) for part in three.parts]
    rows = X[held]
    expected = sum(part.predict_proba(rows[list(part.signature.names)]) for part in each) / 3
    np.testing.assert_allclose(mainstay.load("blend", folder=folder).predict_proba(rows), expected, rtol=0, atol=1e-12)
