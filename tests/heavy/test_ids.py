"""Ids that no embedding has are refused where the model itself refuses them: nothing counts from the table's end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from libraries import need

from mainstay.models.formats.objects import Given
from mainstay.models.refusing import InputError
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model

torch, keras, tf = need("torch"), need("keras"), need("tensorflow")
pytestmark = pytest.mark.filterwarnings("ignore")
IDS = np.random.default_rng(0).integers(0, 7, (60, 2))


class OfTorch(torch.nn.Module):
    """Two embeddings, an index_select, and an index in brackets, which does count from the end."""

    def __init__(self, *, brackets: bool = False) -> None:
        super().__init__()
        self.words, self.kinds = torch.nn.Embedding(10, 4), torch.nn.Embedding(7, 4)
        self.table = torch.nn.Parameter(torch.rand(10, 2))
        self.brackets = brackets

    def forward(self, ids):
        ids = ids.long()
        if self.brackets:
            return torch.softmax(self.table[ids[:, 0]], 1)
        found = (self.words(ids[:, 0]) + self.kinds(ids[:, 1]))[:, :2] + torch.index_select(self.table, 0, ids[:, 0])
        return torch.softmax(found, 1)


@keras.saving.register_keras_serializable()
class LooksUp(keras.layers.Layer):
    """TensorFlow's own look-up."""

    def build(self, shape):
        self.table = self.add_weight(shape=(7, 2))

    def call(self, ids):
        return tf.nn.softmax(tf.reduce_sum(tf.gather(self.table, ids), 1))


def _model(model, X):
    return Model.load(draft_of(model, Given(X=X, labels=("no", "yes"))).built.draft.package())


@pytest.mark.parametrize("X", [IDS, pd.DataFrame(IDS.astype(float), columns=["word", "kind"])], ids=["array", "table"])
def test_an_embedding_of_torch(X):
    own = OfTorch()
    model = _model(own, X)
    for bad, last in (([-1, 0], 9), ([0, -1], 6), ([0, 7], 6), ([10, 0], 9)):
        with pytest.raises(IndexError):
            own(torch.tensor([bad]))
        with pytest.raises(InputError, match=f"an id lies outside 0 to {last}"):
            model.predict(np.array([bad]))
    assert model.predict(np.array([[9, 6]]))[0] in ("no", "yes")


def test_an_index_in_brackets_counts_from_the_end_as_in_torch():
    own = OfTorch(brackets=True).eval()
    rows = np.array([[-1, 0], [9, 0]])
    found = _model(own, IDS).predict_proba(rows)
    np.testing.assert_allclose(found, own(torch.tensor(rows)).detach().numpy(), atol=1e-6)
    with pytest.raises(InputError, match="an id lies outside what its table holds"):
        _model(own, pd.DataFrame(IDS.astype(float), columns=["a", "b"])).predict(np.array([[10, 0]]))


def test_a_look_up_of_tensorflow():
    ids = keras.Input((2,), dtype="int32")
    own = keras.Model(ids, LooksUp()(ids))
    model = _model(own, IDS.astype("int32"))
    for bad in ([-1, 0], [7, 0]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            own(np.array([bad]))
        with pytest.raises(InputError, match="an id lies outside 0 to 6"):
            model.predict(np.array([bad]))


def test_an_embedding_of_keras_counts_from_the_end_as_keras_does():
    layers = keras.layers
    steps = [layers.Input((2,), dtype="int32"), layers.Embedding(7, 4), layers.Flatten(), layers.Dense(2, "softmax")]
    own = keras.Sequential(steps)
    model, rows = _model(own, IDS.astype("int32")), np.array([[-1, 0], [6, 0]], dtype=np.int32)
    np.testing.assert_allclose(model.predict_proba(rows), own(rows).numpy(), atol=1e-6)
    for bad in ([7, 0], [-8, 0]):
        with pytest.raises(InputError, match="an id lies outside 0 to 6"):
            model.predict(np.array([bad], dtype=np.int32))
