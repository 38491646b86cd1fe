"""How good are the models that the search finds, beside two plain ones? On held-out rows of real data.

    python benchmarks/quality.py --data ../shared/data --budget 60 [credit adult bike sms]

The plain ones are scikit-learn pipelines as anybody writes them: a logistic or linear regression on scaled and
one-hot columns (TF-IDF for text), and a gradient boosting with default parameters on the same without the scaling. The
standard error is that of the difference, by a paired bootstrap over the held-out rows. Exits with 1 where ours is worse
by more than one standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn import metrics
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from mainstay.project import Data, Search
from mainstay.training.inference import infer, proposed
from mainstay.training.own_function import frame_of
from mainstay.training.reading import read
from mainstay.training.search import search
from mainstay.training.splitting import split
from mainstay.training.values import cells_of, prepared, signature_of, target_of

SETS = {
    "credit": ("credit.csv", "class", {}),
    "adult": ("adult.csv.gz", "class", {}),
    "bike": ("bike_sharing.csv", "cnt", {}),
    "sms": ("sms_spam.tsv", "label", {"header": False, "columns": ("label", "text")}),
}
DRAWS = 500


def days(column):
    """Date-times as days since 1970."""
    return column.to_numpy().astype("datetime64[s]").astype(np.float64).reshape(-1, 1) / 86400


def plain(signature, estimator, *, scale):
    """The pipeline that anybody writes for these columns."""
    by_type = {}
    for column in signature.inputs:
        by_type.setdefault(column.type, []).append(column.name)
    steps = []
    if names := by_type.get("number", []) + by_type.get("boolean", []):
        scaled = [StandardScaler()] if scale else []
        steps.append(("numbers", make_pipeline(SimpleImputer(strategy="median"), *scaled), names))
    if names := by_type.get("category"):
        hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        steps.append(
            (
                "categories",
                make_pipeline(SimpleImputer(strategy="constant", fill_value="?", missing_values=None), hot),
                names,
            )
        )
    for name in by_type.get("datetime", []):
        scaled = [StandardScaler()] if scale else []
        steps.append((name, make_pipeline(FunctionTransformer(days), *scaled), name))
    steps += [(name, TfidfVectorizer(), name) for name in by_type.get("text", [])]
    return make_pipeline(ColumnTransformer(steps), estimator)


def others(signature, seed):
    if signature.task == "regression":
        return {
            "linear": plain(signature, LinearRegression(), scale=True),
            "gradient boosting": plain(signature, GradientBoostingRegressor(random_state=seed), scale=False),
            "hist gradient boosting": plain(signature, HistGradientBoostingRegressor(random_state=seed), scale=False),
        }
    return {
        "linear": plain(signature, LogisticRegression(max_iter=1000), scale=True),
        "gradient boosting": plain(signature, GradientBoostingClassifier(random_state=seed), scale=False),
        "hist gradient boosting": plain(signature, HistGradientBoostingClassifier(random_state=seed), scale=False),
    }


def goodness(task, y, found):
    """ROC AUC, or minus the root mean squared error: more is better."""
    if task == "regression":
        return -float(np.sqrt(np.mean((y - found) ** 2)))
    return float(metrics.roc_auc_score(y, found))


def standard_error(task, y, ours, theirs, seed):
    """Of the difference between two models on the same rows."""
    generator = np.random.default_rng(seed)
    differences = []
    while len(differences) < DRAWS:
        rows = generator.integers(0, len(y), len(y))
        if task == "regression" or 0 < y[rows].sum() < len(y):
            differences.append(goodness(task, y[rows], ours[rows]) - goodness(task, y[rows], theirs[rows]))
    return float(np.std(differences, ddof=1))


def measured(name, folder, budget, seed, ensemble, *, verbose):
    file, target_name, how = SETS[name]
    data = Data(path=str((folder / file).resolve()), **how)
    table = read(data, folder)
    project = proposed(infer(table, target_name), name=name, data=data)
    table = prepared(table, project)
    target = target_of(table, project)
    division = split(table, target, project)
    signature = signature_of(table, project, ~division.test)
    cells = cells_of(table, signature)
    training, test = np.flatnonzero(~division.test), np.flatnonzero(division.test)
    positive = 1 if project.positive is None or not signature.labels else signature.labels.index(project.positive)
    begun = time.monotonic()
    result = search(
        cells=cells.rows(training),
        y=target.y[training],
        signature=signature,
        folds=division.folds,
        settings=Search(budget=budget, ensemble=ensemble),
        cleaning=project.cleaning,
        seed=seed,
        positive=positive,
    )
    seconds = time.monotonic() - begun
    if verbose:
        for trial in result.trials.trials:
            shown = "" if trial.score is None else f"{trial.score:.4f}"
            print(
                f"  {trial.number:3} {trial.plan.description:24} {trial.state:9} {shown:9} {trial.seconds:6.2f} s "
                f"{trial.reason} {trial.plan.params}",
                file=sys.stderr,
            )
    task = signature.task
    answers = result.best.answer(cells.rows(test))
    ours = answers.values if task == "regression" else answers.probabilities[:, positive]
    y = target.y[test] if task == "regression" else (target.y[test] == positive).astype(np.int64)
    frame = frame_of(cells, signature)
    found = {
        "rows": len(table),
        "seconds": round(seconds, 1),
        "trials": len(result.trials.trials),
        "winner": result.best.description,
        "metric": "rmse" if task == "regression" else "roc_auc",
        "ours": abs(goodness(task, y, ours)),
        "overfitting": result.trials.overfitting is not None and result.trials.overfitting.flagged,
    }
    texts = any(column.type == "text" for column in signature.inputs)
    for other, pipeline in others(signature, seed).items():
        if texts and other.startswith("hist"):
            continue  # takes no sparse matrix, as TF-IDF gives it
        truth = target.y if task == "regression" else (target.y == positive).astype(np.int64)
        pipeline.fit(frame.iloc[training], truth[training])
        rows = frame.iloc[test]
        theirs = pipeline.predict(rows) if task == "regression" else pipeline.predict_proba(rows)[:, 1]
        error = standard_error(task, y, ours, theirs, seed)
        better = goodness(task, y, ours) - goodness(task, y, theirs)
        found[other] = {
            "value": abs(goodness(task, y, theirs)),
            "ours_better_by": better,
            "standard_error": error,
            "no_worse": better >= -error,
        }
    return found


def main():
    parser = argparse.ArgumentParser(description="Measure the search beside two plain models, on real data.")
    parser.add_argument("sets", nargs="*", help="of: credit, adult, bike, sms; by default all")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for each search")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ensemble", choices=("none", "vote", "stack"), default="none")
    parser.add_argument("--verbose", action="store_true", help="list the trials, on standard error")
    given = parser.parse_args()
    if unknown := set(given.sets) - set(SETS):
        parser.error(f"no such data set: {', '.join(sorted(unknown))}")
    worse = False
    for name in given.sets or SETS:
        found = measured(name, given.data, given.budget, given.seed, given.ensemble, verbose=given.verbose)
        print(json.dumps({"set": name, **found}), flush=True)
        worse |= not all(value["no_worse"] for value in found.values() if isinstance(value, dict))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
