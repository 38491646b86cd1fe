"""Whatever the protocol, the format and the crowd: the answer is the native model's, to the caller who asked."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import dialects
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from live import serving
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from subjects import native
from xgboost import XGBClassifier

from mainstay.models.formats.objects import Given
from mainstay.models.package import Draft
from mainstay.models.registering import draft_of

NUMBERS = (1, 7, 1000)
CALLERS = 8
FORMATS = {"boosted": "onnx", "forest": "onnx", "leaves": "lightgbm", "three": "onnx", "skops": "skops"}
"""By model, what it is served as: in the worker, or in a host process beside it."""


@dataclass(frozen=True)
class Native:
    """A model, as its own library answers for it."""

    draft: Draft
    format: str
    labels: tuple[str, ...]
    rows: pd.DataFrame
    shares: Callable[[pd.DataFrame], np.ndarray]

    def some(self, number: int, seed: int) -> tuple[dialects.Rows, np.ndarray]:
        """Rows to ask, and the native answers."""
        frame = self.rows.sample(number, replace=True, random_state=seed)
        found = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return [{name: _plain(value) for name, value in row.items()} for row in found], self.shares(frame)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def of_estimator(estimator: Any, X: pd.DataFrame, y: Any) -> Native:
    estimator.fit(X, y)
    built = draft_of(estimator, Given(X=X)).built
    return Native(built.draft, built.format, tuple(map(str, estimator.classes_)), X, estimator.predict_proba)


@pytest.fixture(scope="module")
def models(shared_data) -> dict[str, Native]:
    """By name: models of several formats, on real mixed columns and on numbers."""
    credit = pd.read_csv(shared_data("credit.csv"))
    y = credit.pop("class")
    texts = [name for name in credit if not pd.api.types.is_numeric_dtype(credit[name])]
    codes = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), texts), remainder="passthrough"
    )
    boosted = make_pipeline(codes, HistGradientBoostingClassifier(max_iter=20, random_state=0))
    ones = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), texts), remainder="passthrough")
    forest = make_pipeline(ones, RandomForestClassifier(20, max_depth=6, random_state=0, n_jobs=1))
    draw = np.random.default_rng(0)
    numbers = pd.DataFrame(draw.normal(size=(300, 3)), columns=["a", "b", "c"])
    numbers.loc[draw.random(300) < 0.1, "b"] = np.nan
    kinds = pd.Series(np.array(["high", "low", "mid"])[draw.integers(3, size=300)])
    linear = LGBMClassifier(n_estimators=4, linear_tree=True, min_child_samples=5, n_jobs=1, verbose=-1)
    found = {
        "boosted": of_estimator(boosted, credit, y),
        "forest": of_estimator(forest, credit, y),
        "leaves": of_estimator(linear, numbers, kinds),
        "three": of_estimator(XGBClassifier(n_estimators=10, max_depth=3, n_jobs=1), numbers, kinds.factorize()[0]),
        "skops": of_skops(),
    }
    assert {name: each.format for name, each in found.items()} == FORMATS
    return found


def of_skops() -> Native:
    """What ONNX could hold, kept as skops by hand: it runs in a host process, and needs nobody's trust."""
    rows = np.arange(160, dtype=np.float64).reshape(80, 2) / 4
    estimator = LogisticRegression().fit(rows, np.where(rows[:, 0] > 20, "high", "low"))
    X = pd.DataFrame(rows, columns=["a", "b"])
    return Native(native(), "skops", ("high", "low"), X, lambda frame: estimator.predict_proba(frame.to_numpy()))


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("differential")
    drafts = [(name, each.draft) for name, each in models.items()]
    with serving(folder, *drafts, options=("--grpc-port", "0")) as running:
        yield running


def check(model: Native, reply, shares: np.ndarray) -> None:
    compare(model, *dialects.said(reply, model.labels), shares)


def compare(model: Native, predictions, told, shares: np.ndarray) -> None:
    assert [str(each) for each in predictions] == [model.labels[index] for index in shares.argmax(axis=1)]
    if told is not None:
        np.testing.assert_allclose(told, shares, rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", dialects.BODIES)
@pytest.mark.parametrize("name", FORMATS)
def test_each_protocol_gives_the_native_models_answers(models, server, name, how):
    model = models[name]
    with server.client() as client:
        for number in NUMBERS:
            rows, shares = model.some(number, number)
            check(model, dialects.post(client, how, name, dialects.shuffled(rows)), shares)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_grpc_gives_the_native_models_answers_alone_and_in_a_crowd(models, server, name, raw):
    pytest.importorskip("grpc")  # a library of the tests alone
    from calling import calling, rows_asked

    model = models[name]

    def ask(number: int) -> None:
        rows, shares = model.some((1, 7, 2, 30)[number % 4], number)
        compare(model, *rows_asked(client, name, dialects.shuffled(rows), raw=raw), shares)

    with calling(server.grpc) as client:
        for number in NUMBERS:
            rows, shares = model.some(number, number)
            compare(model, *rows_asked(client, name, dialects.shuffled(rows), raw=raw), shares)
        with ThreadPoolExecutor(CALLERS) as pool:
            for done in [pool.submit(ask, number) for number in range(60)]:
                done.result()


@pytest.mark.parametrize("name", FORMATS)
def test_a_crowd_of_callers_in_all_protocols_gets_each_his_own_answer(models, server, name):
    model = models[name]

    def ask(number: int) -> None:
        how = list(dialects.BODIES)[number % len(dialects.BODIES)]
        rows, shares = model.some((1, 2, 30)[number % 3], number)
        check(model, dialects.post(client, how, name, rows), shares)

    with server.client() as client, ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(ask, number) for number in range(6 * len(dialects.BODIES))]:
            done.result()


@pytest.mark.parametrize("name", FORMATS)
def test_rows_that_are_refused_spoil_only_their_own_request(models, server, name):
    model = models[name]
    rows, shares = model.some(2, 5)
    spoilt = [rows[0], {**rows[1], next(iter(rows[1])): {"no": "value"}}]

    def ask(number: int) -> None:
        if number % 2:
            assert client.post(f"/models/{name}/predict", json={"inputs": spoilt}).status_code == 400
        else:
            check(model, dialects.post(client, "plain", name, rows), shares)

    with server.client() as client, ThreadPoolExecutor(CALLERS) as pool:
        for done in [pool.submit(ask, number) for number in range(40)]:
            done.result()
