from __future__ import annotations

import itertools
import threading

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mainstay import project
from mainstay.models.encoder import Encoder
from mainstay.models.package import encoded
from mainstay.models.signature import Cells, Column, Signature
from mainstay.training import candidates
from mainstay.training.candidates.base import Family, OneOf, Setting
from mainstay.training.ensemble import combine
from mainstay.training.features import Recipe
from mainstay.training.overfitting import judge
from mainstay.training.pacing import extrapolate, shortage
from mainstay.training.refit import CannotReplay, replay
from mainstay.training.scoring import UnknownMetric
from mainstay.training.search import Progress, SearchFailed, search
from mainstay.training.trials import Plan, Trial, Trials
from mainstay.training.tuning import starts
from training.problems import folds, messages, mixed

CHEAP = ("linear", "decision_tree", "lightgbm")


def run(
    tiny, *, trials: int | None = 4, names=CHEAP, budget=60.0, metric=None, imbalance="none", ensemble="none", **others
):
    settings = project.Search(
        budget=budget, trials=trials, candidates=names, metric=metric, imbalance=imbalance, ensemble=ensemble
    )
    return search(
        cells=tiny.cells,
        y=tiny.y,
        signature=tiny.signature,
        folds=tiny.folds,
        settings=settings,
        cleaning=project.Cleaning(),
        **others,
    )


def without_time(trials: Trials) -> Trials:
    bare = tuple(msgspec.structs.replace(trial, seconds=0.0) for trial in trials.trials)
    return msgspec.structs.replace(trials, trials=bare)


def broken(name: str, error: Exception):
    """A family whose fit raises."""

    class Estimator:
        def fit(self, X, y):
            raise error

    return Family(
        name=name, recipe=Recipe("tree"), starts=({"a": 1},), space={"a": OneOf((1, 2))}, build=lambda p, s: Estimator()
    )


@pytest.mark.parametrize("name", project.CANDIDATES)
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_family_learns_every_task(name, task):
    tiny = mixed(task=task)
    result = run(tiny, trials=1, names=(name,), metric=None if task == "regression" else "roc_auc")
    trial = result.trials.best
    assert trial.state == "complete", trial.reason
    assert len(trial.fold_scores) == 3
    assert trial.score > result.trials.baseline.score
    assert result.best.description == name
    answers = result.best.answer(tiny.cells)
    if task == "regression":
        assert answers.values.shape == (120,)
    else:
        assert answers.probabilities.shape == (120, len(tiny.signature.labels))
        assert answers.probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("name", candidates.CHEAP_FIRST)
def test_each_start_of_a_family_lies_in_its_space_and_can_be_suggested_again(name):
    from mainstay.training.tuning import Tuner

    family = candidates.family(name)
    assert family.name == name
    tuner = Tuner([family], seed=0, texts=True)
    for plan in starts(family, texts=True):
        tuner.observe(plan, 0.5)  # optuna refuses what is not in the space
        assert set(plan.params) - {"text"} == set(family.space)
    assert tuner.ask().family == name


def test_a_number_of_trials_gives_the_same_model_bytes_each_time():
    import pickle

    tiny = mixed()
    first, second = (run(tiny, trials=9, names=("linear", "lightgbm", "random_forest"), seed=3) for _ in range(2))
    assert without_time(first.trials) == without_time(second.trials)
    assert len(first.trials.trials) == 10
    assert pickle.dumps(first.best.estimator) == pickle.dumps(second.best.estimator)
    assert encoded(first.best.encoder) == encoded(second.best.encoder)
    assert np.array_equal(first.best.answer(tiny.cells).probabilities, second.best.answer(tiny.cells).probabilities)


def test_the_clock_decides_nothing_where_the_number_of_trials_is_fixed():
    tiny = mixed()
    ticks = itertools.count(0, 1000)
    slow = run(tiny, trials=5, budget=1.0, clock=lambda: float(next(ticks)))
    assert without_time(slow.trials) == without_time(run(tiny, trials=5).trials)


def test_recorded_trials_survive_their_package_and_fit_the_winner_again():
    tiny = mixed()
    result = run(tiny, trials=6, threshold="max_f1", positive=1, imbalance="resample")
    kept = msgspec.json.decode(encoded(result.trials), type=Trials)
    assert kept == result.trials
    again = replay(kept, cells=tiny.cells, y=tiny.y, signature=tiny.signature, cleaning=project.Cleaning())
    assert again.encoder == result.best.encoder
    assert again.decision == result.best.decision
    assert np.array_equal(again.answer(tiny.cells).probabilities, result.best.answer(tiny.cells).probabilities)


def test_trials_of_another_task_are_not_replayed():
    trials = run(mixed(), trials=1).trials
    other = mixed(task="regression")
    with pytest.raises(CannotReplay, match="binary"):
        replay(trials, cells=other.cells, y=other.y, signature=other.signature, cleaning=project.Cleaning())


def test_a_stop_keeps_the_best_so_far():
    tiny = mixed()
    stop = threading.Event()

    def after_two(progress: Progress) -> None:
        if progress.done == 3:
            stop.set()

    result = run(tiny, trials=None, on_trial=after_two, stop=stop)
    assert result.trials.ended == "stopped"
    assert len(result.trials.trials) == 3
    assert result.trials.winner in (1, 2)
    assert result.best.answer(tiny.cells).probabilities.shape == (120, 2)


def test_a_stop_in_the_middle_of_a_trial_says_so():
    tiny, stop = mixed(), threading.Event()

    def amid(progress: Progress) -> None:
        if progress.family == "decision_tree" and progress.fold == 1:
            stop.set()

    result = run(tiny, on_trial=amid, stop=stop)
    assert [trial.state for trial in result.trials.trials] == ["complete", "complete", "stopped"]
    assert result.trials.best.plan.family == "linear"


def test_a_stop_before_any_candidate_leaves_the_baseline():
    stop = threading.Event()
    stop.set()
    result = run(mixed(), stop=stop)
    assert result.trials.winner == 0
    assert result.best.description == "baseline"


def test_a_family_that_fails_is_recorded_and_the_others_go_on(monkeypatch):
    real = candidates.family
    bad = broken("decision_tree", ValueError("no such\nluck"))
    monkeypatch.setattr(candidates, "family", lambda name: bad if name == "decision_tree" else real(name))
    result = run(mixed(), trials=5)
    failed = result.trials.trials[2]
    assert (failed.state, failed.reason) == ("failed", "ValueError: no such luck")
    assert result.trials.best.plan.family in ("linear", "lightgbm")


def test_all_families_failing_is_an_error_with_the_reasons(monkeypatch):
    monkeypatch.setattr(candidates, "family", lambda name: broken(name, RuntimeError(f"bad {name}")))
    with pytest.raises(SearchFailed, match=r"linear: RuntimeError: bad linear; decision_tree: RuntimeError: bad"):
        run(mixed())


def test_a_search_by_the_clock_ends_near_its_budget_and_prefers_what_there_is_time_for():
    tiny = mixed()
    now = [0.0]

    def tick() -> float:
        now[0] += 0.05
        return now[0]

    result = run(tiny, trials=None, budget=15.0, clock=tick)
    assert result.trials.ended == "budget"
    assert len(result.trials.trials) > 4
    assert now[0] < 16.5
    tight = run(tiny, trials=None, budget=0.01)
    assert tight.trials.best.plan.family == "linear"  # the first candidate is always finished


def test_improvements_come_as_fitted_models_the_baseline_first():
    tiny, seen = mixed(), []
    result = run(tiny, trials=6, on_improvement=lambda fitted, score: seen.append((fitted, score)))
    assert seen[0][0] is result.baseline
    scores = [score for _, score in seen]
    assert scores == sorted(scores)
    assert seen[-1][0] is result.best
    assert seen[-1][1] == result.trials.best.score


def test_the_threshold_is_chosen_on_rows_while_they_were_held_out():
    tiny = mixed()
    dear = run(tiny, trials=1, threshold="cost(20, 1)", positive=1)
    cheap = run(tiny, trials=1, threshold="cost(1, 20)", positive=1)
    assert dear.best.decision.threshold < cheap.best.decision.threshold
    assert dear.trials.chosen_threshold == dear.best.decision.threshold
    assert dear.out_of_fold.shape == (120, 2)
    held_out = roc_auc_score(tiny.y, dear.out_of_fold[:, 1])
    assert held_out < roc_auc_score(tiny.y, dear.best.answer(tiny.cells).probabilities[:, 1])
    assert run(tiny, trials=1).best.decision.threshold == 0.5
    assert run(mixed(task="multiclass"), trials=1).best.decision is None


def test_the_positive_label_may_be_the_first_one():
    tiny = mixed()
    result = run(tiny, trials=1, threshold="max_f1", positive=0)
    assert result.best.decision.positive == 0
    assert result.trials.best.score > 0.8


def test_rows_before_the_first_validation_fold_have_no_prediction():
    tiny = mixed()
    forward = [(np.arange(60), np.arange(60, 90)), (np.arange(90), np.arange(90, 120))]
    tiny = type(tiny)(tiny.cells, tiny.y, tiny.signature, forward)
    result = run(tiny, trials=2, threshold="max_f1")
    assert np.isnan(result.out_of_fold[:60]).all()
    assert np.isfinite(result.out_of_fold[60:]).all()


def test_features_of_a_fold_know_nothing_of_its_validation_rows():
    """A category that stands only in validation rows is unseen there, so its rows are no better than chance."""
    rows = 60
    codes = np.arange(rows, dtype=float)  # each row a category of its own, which names its class
    column = Column(name="id", type="category", categories=tuple(map(str, range(rows))))
    y = np.random.default_rng(0).integers(0, 2, rows).astype(np.int64)
    signature = Signature(inputs=(column,), task="binary", labels=("a", "b"))
    result = search(
        cells=Cells(codes[:, None], {}),
        y=y,
        signature=signature,
        folds=folds(rows),
        settings=project.Search(trials=1, candidates=("linear",)),
        cleaning=project.Cleaning(),
    )
    assert result.trials.best.score == pytest.approx(0.5)
    assert result.trials.overfitting.flagged
    assert result.trials.overfitting.training_score == 1.0


@pytest.mark.parametrize("imbalance", ["class_weight", "resample"])
def test_balance_moves_the_probabilities_of_a_rare_class_up(imbalance):
    tiny = mixed(150)
    rare = tiny.cells.numbers[:, 0] > 1.0
    tiny = type(tiny)(tiny.cells, rare.astype(np.int64), tiny.signature, tiny.folds)
    plain, balanced = (
        run(tiny, trials=2, names=("linear", "xgboost"), imbalance=way).best.answer(tiny.cells).probabilities[:, 1]
        for way in ("none", imbalance)
    )
    assert balanced.mean() > plain.mean()


@pytest.mark.parametrize("how", ["vote", "stack"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_ensemble_is_tried_and_kept_only_where_better(how, task):
    names = ("lightgbm", "xgboost") if task == "regression" else ("linear", "hist_gradient_boosting", "random_forest")
    result = run(mixed(task=task), trials=3, ensemble=how, names=names)
    last = result.trials.trials[-1]
    assert last.plan.family == how
    assert len({member.recipe for member in last.plan.members} | {last.plan.recipe}) == 1
    assert last.state in ("complete", "pruned")
    others = [trial.score for trial in result.trials.trials[1:-1] if trial.score is not None]
    if result.trials.winner == last.number:
        assert last.score > max(others)
    assert result.best.description == result.trials.best.plan.description


def test_an_ensemble_that_wins_is_replayed():
    tiny = mixed(task="regression")
    plan = combine(
        [
            Trial(number=n, plan=starts(candidates.family(name), texts=False)[0], state="complete", score=-float(n))
            for n, name in enumerate(("linear", "xgboost", "decision_tree"), start=1)
        ],
        "vote",
    )
    assert plan is not None
    assert plan.recipe == Recipe("linear")
    base = run(tiny, trials=1).trials
    won = msgspec.structs.replace(base, trials=(base.trials[0], Trial(number=1, plan=plan, state="complete")), winner=1)
    fitted = replay(won, cells=tiny.cells, y=tiny.y, signature=tiny.signature, cleaning=project.Cleaning())
    assert fitted.description == "vote of linear, xgboost, decision_tree"
    assert np.corrcoef(fitted.answer(tiny.cells).values, tiny.y)[0, 1] > 0.9


def test_members_of_one_recipe_keep_it():
    native = Recipe("tree", native=True)
    trials = [
        Trial(number=n, plan=Plan(family=name, recipe=native), state="complete", score=0.9 - n / 10)
        for n, name in enumerate(("xgboost", "lightgbm", "xgboost"), start=1)
    ]
    plan = combine(trials, "vote")
    assert plan.recipe == native
    assert [member.family for member in plan.members] == ["xgboost", "lightgbm"]
    assert combine(trials[:1], "vote") is None


def test_texts_are_searched_by_words_and_characters():
    tiny = messages()
    result = run(tiny, trials=4, names=("linear",))
    assert {trial.plan.recipe.text for trial in result.trials.trials[1:]} >= {"words", "characters"}
    assert result.trials.best.score > 0.9
    # Fitted on a sparse matrix, it answers dense rows.
    assert result.best.answer(tiny.cells).probabilities.shape == (90, 2)


def test_warnings_of_a_library_are_recorded_and_not_printed(recwarn, capsys):
    result = run(mixed(), trials=1, names=("neural_network",))
    assert any("converge" in warning for warning in result.trials.trials[1].warnings)
    assert not recwarn.list
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_two_thousand_columns_are_searched():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(60, 2000))
    inputs = tuple(Column(name=f"c{i}", type="number") for i in range(2000))
    result = search(
        cells=Cells(X, {}),
        y=(X[:, 7] > 0).astype(np.int64),
        signature=Signature(inputs=inputs, task="binary", labels=(False, True)),
        folds=folds(60),
        settings=project.Search(trials=3, candidates=CHEAP),
        cleaning=project.Cleaning(),
    )
    assert result.best.encoder.width == 2000
    assert isinstance(result.best.encoder, Encoder)


def test_a_metric_of_another_task_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownMetric, match="Did you mean 'roc_auc'"):
        run(mixed(), metric="roc_acu")


def test_a_loss_counts_as_its_negative():
    result = run(mixed(task="regression"), trials=1, metric="mae")
    assert result.trials.metric == "mae"
    assert result.trials.baseline.score < result.trials.best.score < 0


def test_progress_tells_what_a_progress_bar_needs():
    seen: list[Progress] = []
    run(mixed(), trials=2, on_trial=seen.append)
    assert seen[-1].done == seen[-1].total == 3
    assert seen[-1].remaining is None
    assert seen[-1].best is not None
    assert [p.elapsed for p in seen] == sorted(p.elapsed for p in seen)


def test_too_many_rows_leave_the_support_vector_machine_out_with_the_reason():
    refuses = candidates.family("svm").refuses
    setting = Setting(task="binary", rows=20_000, width=5, classes=2, spread=1.0, categorical=(), seed=0)
    assert "20000 rows are more than" in refuses(setting)
    assert refuses(Setting(task="binary", rows=500, width=20, classes=2, spread=1.0, categorical=(), seed=0)) is None


def test_the_rule_of_overfitting_is_the_same_for_every_metric():
    assert judge("roc_auc", training=1.0, validation=0.95, baseline=0.5).gap == pytest.approx(0.1)
    assert not judge("roc_auc", training=1.0, validation=0.95, baseline=0.5).flagged
    assert judge("rmse", training=-1.0, validation=-5.0, baseline=-10.0).flagged
    assert judge("accuracy", training=1.0, validation=1.0, baseline=1.0) is None


def test_times_are_extrapolated_by_a_line_or_a_power():
    assert extrapolate((100, 1.0), (200, 1.5), rows=1000, growth=1.0) == pytest.approx(5.5)
    assert extrapolate((100, 1.0), (200, 4.0), rows=400, growth=2.0) == pytest.approx(16.0)
    assert extrapolate((100, 2.0), (200, 1.0), rows=1000, growth=1.0) == 1.0
    assert shortage(10.0, left=20.0, reserve=1.0) is None
    assert shortage(10.0, left=11.0, reserve=1.0) == "about 12.5 s more are needed, and 11.0 s are left"
