"""Whatever the protocol, the format and the crowd: the answer is the native model's, to the caller who asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dialects
import httpx
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from live import serving, until
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from subjects import native
from xgboost import XGBClassifier

from mainstay.models.classes import UntrustedCode
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.formats.objects import Given
from mainstay.models.importing import draft_of_file
from mainstay.models.package import Draft
from mainstay.models.registering import draft_of
from mainstay.operations.loading import loaded
from mainstay.serving.uv import resolve
from python_classes import index, plain, trust

__all__ = ["index"]

NUMBERS = (1, 7, 1000)
CALLERS = 8
FORMATS = {
    "boosted": "onnx",
    "forest": "onnx",
    "leaves": "lightgbm",
    "three": "onnx",
    "skops": "skops",
    "class": "python-class",
}
"""By model, what it is served as: in the worker, in a host process beside it, or in one with its own environment."""
DEADLY = 99.0
"""A value that ends the process of the class."""
CLASS = f"""\
import os

import numpy as np


class Model:
    def __init__(self, folder):
        self.offsets = {{"red": 0.5, "deep blue": -1.0}}

    def predict(self, rows):
        if (rows["a"] == {DEADLY}).any():
            os._exit(1)
        offsets = np.array([self.offsets[colour] for colour in rows["colour"]])
        shares = 1.0 / (1.0 + np.exp(-(rows["a"] - 2.0 * np.nan_to_num(rows["b"], nan=0.3) + offsets)))
        return np.column_stack([1.0 - shares, shares])
"""
CLASS_TOML = """\
class = "model:Model"
[signature]
task = "binary"
labels = ["bad", "good"]
[[signature.inputs]]
name = "a"
type = "number"
minimum = -2
maximum = 2
[[signature.inputs]]
name = "b"
type = "number"
minimum = -2
maximum = 2
nullable = true
[[signature.inputs]]
name = "colour"
type = "category"
categories = ["red", "deep blue"]
"""


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


def of_class(project: Path) -> Native:
    """A Python class that the project's operator trusts, beside the same class in this process."""
    folder = plain(project / "class", CLASS, CLASS_TOML)
    told = Told(opened=partial(loaded, project), locked=lambda text, python: resolve(text, python=python))
    with pytest.raises(UntrustedCode) as refused:
        draft_of_file(folder, told)
    trust(project, refused.value.code)
    built = draft_of_file(folder, told).built
    draw = np.random.default_rng(0)
    numbers = pd.DataFrame(draw.normal(size=(100, 2)), columns=["a", "b"])
    numbers.loc[draw.random(100) < 0.1, "b"] = np.nan
    colours = pd.Series(np.array(["red", "deep blue"], dtype=object)[draw.integers(2, size=100)], dtype=object)
    names: dict[str, Any] = {}
    exec(CLASS, names)
    here = names["Model"](folder)

    def shares(frame: pd.DataFrame) -> np.ndarray:
        return here.predict({name: frame[name].to_numpy() for name in frame})

    return Native(built.draft, built.format, ("bad", "good"), numbers.assign(colour=colours), shares)


@pytest.fixture(scope="module")
def project(tmp_path_factory, index) -> Iterator[Path]:
    """A folder whose processes know the wheels of this disk alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("UV_FIND_LINKS", str(index))
        patched.setenv("UV_NO_INDEX", "1")
        yield tmp_path_factory.mktemp("differential")


@pytest.fixture(scope="module")
def models(shared_data, project) -> dict[str, Native]:
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
        "class": of_class(project),
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
def server(models, project):
    drafts = [(name, each.draft) for name, each in models.items()]
    with serving(project, *drafts, options=("--grpc-port", "0")) as running:
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


def test_what_ends_the_process_of_a_model_spoils_only_its_own_request(models, server):
    model = models["class"]
    (host,) = [each for each in server.children("mainstay.serving.host") if "environments" in each.cmdline()[0]]
    rows, shares = model.some(9, 5)
    deadly = {**rows[0], "a": DEADLY}

    def counted(name: str) -> float:
        line = f'{name}{{model="class",version="class:1"}} '
        found = [each for each in client.get("/metrics").text.splitlines() if each.startswith(line)]
        return float(found[0].removeprefix(line)) if found else 0.0

    def ask(number: int) -> httpx.Response:
        how = list(dialects.BODIES)[number]
        return dialects.post(client, how, "class", [deadly] if number == 4 else [rows[number]])

    with server.client() as client, ThreadPoolExecutor(9) as pool:
        before = counted("mainstay_batch_rows_count")
        host.suspend()  # so that they wait for it, and are asked together
        try:
            asked = [pool.submit(ask, 0)]
            until(lambda: counted("mainstay_batch_rows_count") == before + 1)
            asked += [pool.submit(ask, number) for number in range(1, 9)]
            until(lambda: counted("mainstay_queue_requests") == 8)
        finally:
            host.resume()
        for number, done in enumerate(asked):
            if number == 4:
                assert (done.result().status_code, "stopped" in done.result().text) == (503, True)
            else:
                check(model, done.result(), shares[[number]])
    (after,) = [each for each in server.children("mainstay.serving.host") if "environments" in each.cmdline()[0]]
    assert after.pid != host.pid
