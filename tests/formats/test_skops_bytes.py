"""A model that is kept with skops has the same bytes each time, so its content is stored once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skops import io

from mainstay.models.formats import skops
from mainstay.models.formats.frames import take
from mainstay.models.formats.objects import Given
from mainstay.models.registering import draft_of
from mainstay.models.signature import Cells, Column, InputError, Signature

DRAW = np.random.default_rng(0)
X = pd.DataFrame(DRAW.random((80, 2)), columns=["a", "b"])
TREE = ("numpy.dtype", "sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree")


def test_the_same_object_twice_is_the_same_content() -> None:
    model = KNeighborsClassifier().fit(X, np.where(X["a"] > 0.5, "yes", "no"))
    assert io.dumps(model) != io.dumps(model)  # which is why
    found = [draft_of(model, Given(X=X, trusted=TREE)).built for _ in range(2)]
    assert found[0].format == "skops"
    assert found[0].draft.manifest().content_id == found[1].draft.manifest().content_id


def test_what_is_one_object_stays_one_and_keys_are_nobodys_words() -> None:
    shared = np.arange(3.0)
    words = {"file": "1.npy", "__id__": 7, "__loader__": "x", "shared": shared, "bytes": b"\0\1"}
    model = make_pipeline(FunctionTransformer(kw_args=words), FunctionTransformer(inv_kw_args={"shared": shared}))
    data = skops.save(model)
    assert data == skops.save(model)
    back = skops.restored(data, skops.untrusted(data))
    one, other = (step for _, step in back.steps)
    assert one.kw_args["shared"] is other.inv_kw_args["shared"]
    np.testing.assert_array_equal(one.kw_args.pop("shared"), shared)
    words.pop("shared")
    assert one.kw_args == words


class Refuses(FunctionTransformer):
    """A step of somebody's own, that raises what it likes."""

    def __init__(self, kind: type[Exception] = KeyError) -> None:
        super().__init__()
        self.kind = kind

    def transform(self, rows: Any) -> Any:
        if (np.asarray(rows) > 1).any():
            raise self.kind("too large")
        return rows


@pytest.mark.parametrize("kind", [ValueError, KeyError, TypeError, IndexError, ZeroDivisionError])
@pytest.mark.parametrize("encoded", [False, True])
def test_rows_that_a_model_refuses_are_the_askers_mistake(kind: type[Exception], encoded: bool) -> None:
    model = make_pipeline(Refuses(kind), LogisticRegression()).fit(X, np.where(X["a"] > 0.5, "yes", "no"))
    signature = Signature(
        inputs=tuple(Column(name=name, type="number") for name in "ab"), task="binary", labels=("no", "yes")
    )
    runner = skops.SkopsRunner(model, signature, None if encoded else take(X).spec)
    rows = np.array([[0.2, 5.0]])
    with pytest.raises(InputError, match=r"The model itself refuses these rows: .*too large"):
        runner.run(Cells(rows, {}), rows if encoded else None)
