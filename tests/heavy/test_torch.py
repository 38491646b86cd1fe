"""Modules of PyTorch answer as PyTorch does, whatever they take and give, and are left as they were."""

from __future__ import annotations

import base64
import io

import httpx
import numpy as np
import pandas as pd
import pytest
from libraries import need
from sklearn.datasets import load_digits

import mainstay
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.objects import CannotRegister, Given
from mainstay.models.importing import draft_of_file
from mainstay.models.packaging import ParityFailed
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError

torch = need("torch")
need("onnxscript")
nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit says of itself that it is old
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(40, 5)).astype(np.float32)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def _built(module, **given):
    return draft_of(module, Given(**given)).built


def _model(module, **given):
    return Model.load(_built(module, **given).draft.package())


def _asked(module, *arrays):
    with torch.no_grad():
        return module.eval()(*(torch.from_numpy(array) for array in arrays))


def test_the_module_is_left_as_it_was_and_the_same_twice(capsys):
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    module[1].eval()  # a mode of its own, inside
    before = {name: value.clone() for name, value in module.state_dict().items()}
    imported = draft_of(module, Given(X=X, labels=("a", "b", "c"), logits=True))
    assert [each.training for each in module.modules()] == [True, True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert "training mode" in imported.notes[0]
    again = _built(module, X=X, labels=("a", "b", "c"), logits=True)
    assert again.draft.manifest().content_id == imported.draft.manifest().content_id
    said = capsys.readouterr()
    assert said.out == ""
    assert "torchvision" not in said.err


def test_one_logit_is_the_second_class():
    module = nn.Linear(5, 1)
    model = _model(module, X=pd.DataFrame(X.astype(float), columns=list("abcde")), labels=("no", "yes"), logits=True)
    assert model.signature.names == tuple("abcde")
    expected = torch.sigmoid(_asked(module, X))[:, 0].numpy()
    frame = pd.DataFrame(X.astype(float), columns=list("abcde"))
    np.testing.assert_allclose(model.predict_proba(frame)[:, 1], expected, atol=1e-6)
    assert set(model.predict(frame)) == {"no", "yes"}


@pytest.mark.parametrize("name", ["model.pt2", "model.onnx", "model"])
@pytest.mark.parametrize("write", [torch.save, torch.export.save, torch.jit.save])
def test_what_pytorch_writes_is_refused_by_name(write, name, tmp_path):
    module, path = nn.Linear(2, 1), tmp_path / name
    ready = {
        torch.save: module.state_dict,
        torch.export.save: lambda: torch.export.export(module, (torch.ones(2, 2),)),
        torch.jit.save: lambda: torch.jit.script(module),
    }[write]()
    with path.open("wb") as file:
        write(ready, file)
    with pytest.raises(CannotImport, match="runs code"):
        draft_of_file(path, Told())


@pytest.mark.parametrize("flat", [True, False])
def test_a_regression(flat):
    class Value(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(5, 1)

        def forward(self, x):
            found = self.inner(x)
            return found[:, 0] if flat else found

    module = Value()
    found = _model(module, X=X).predict(X)
    np.testing.assert_allclose(found, np.ravel(_asked(module, X).numpy()), atol=1e-6)


def test_a_module_of_doubles_is_exact():
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    rows = DRAW.normal(size=(40, 5))
    np.testing.assert_allclose(_model(module, X=rows).predict(rows), _asked(module, rows)[:, 0].numpy(), atol=1e-12)


def test_a_convolution_of_doubles_is_served_in_single_precision():
    module = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(9, 1)).double()
    rows = DRAW.normal(size=(40, 2, 5))
    model = _model(module, X=rows)
    assert model.signature.tensors[0].dtype == "float64"
    np.testing.assert_allclose(model.predict(rows), _asked(module, rows)[:, 0].numpy(), atol=1e-5)
    assert next(module.parameters()).dtype == torch.float64


class Optional(nn.Module):
    def forward(self, a, b=None, *, c):
        return {"sum": a + c if b is None else a + b + c}


def test_arguments_are_given_by_name_and_may_be_left_out():
    a, c = (DRAW.normal(size=(6, 3, 2)).astype(np.float32) for _ in range(2))
    model = _model(Optional(), X={"c": c, "a": a}, general=True)
    assert model.signature.names == ("a", "c")
    found = model.predict({"a": a, "c": c})
    np.testing.assert_allclose([each["sum"] for each in found], a + c, atol=1e-6)
    with pytest.raises(CannotRegister, match="leaves out 'c'"):
        _built(Optional(), X={"a": a}, general=True)
    with pytest.raises(CannotRegister, match="no argument 'd'"):
        _built(Optional(), X={"a": a, "d": c}, general=True)


class Echo(nn.Module):
    def forward(self, output):
        return output * 2


def test_an_input_is_not_called_as_an_answer():
    with pytest.raises(CannotRegister, match="called 'output'"):
        _built(Echo(), X=np.ones((4, 2, 3), dtype=np.float32), general=True)


class Both(nn.Module):
    """Two inputs, of which one is a sequence of any length."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 6)
        self.reads = nn.LSTM(6, 7, batch_first=True)
        self.attends = nn.MultiheadAttention(6, 2, batch_first=True)
        self.last = nn.Linear(7 + 6 + 3, 2)

    def forward(self, ids, more):
        words = self.words(ids)
        attended, _ = self.attends(words, words, words, need_weights=False)
        _, (state, _) = self.reads(words)
        return self.last(torch.cat([state[0], attended.mean(dim=1), more], dim=1))


def test_two_inputs_and_any_length():
    module = Both()
    rows = {"ids": DRAW.integers(0, 20, (6, 9)), "more": DRAW.normal(size=(6, 3)).astype(np.float32)}
    model = _model(module, X=rows, shapes={"ids": ("length",), "more": (3,)}, labels=(0, 1), logits=True)
    assert model.signature.tensors[0].told() == "int64 (length,)"
    for length in (9, 4, 17, 1):
        ids = DRAW.integers(0, 20, (3, length))
        more = rows["more"][:3]
        expected = torch.softmax(_asked(module, ids, more), 1).numpy()
        np.testing.assert_allclose(model.predict_proba({"ids": ids, "more": more}), expected, atol=1e-5)
    with pytest.raises(InputError, match="'more'"):
        model.predict({"ids": rows["ids"], "more": rows["more"][:, :2]})


class Reads(nn.Module):
    """The classes of a sequence, by a recurrent layer of any kind."""

    def __init__(self, kind, **more) -> None:
        super().__init__()
        self.reads = kind(4, 6, batch_first=True, **more)
        self.out = nn.LazyLinear(2)

    def forward(self, x):
        return torch.softmax(self.out(self.reads(x)[0].mean(1)), 1)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("both_ways", [True, False])
def test_a_recurrent_layer_takes_any_length_however_often_one_is_registered(kind, both_ways):
    rows = DRAW.normal(size=(30, 7, 4)).astype(np.float32)
    for layers in (1, 2):  # the exporter once wrote the second one for 7 steps alone
        module = Reads(kind, bidirectional=both_ways, num_layers=layers)
        _asked(module, rows)
        model = _model(module, X=rows, labels=("no", "yes"), shapes={"x": ("length", 4)})
        for length in (1, 3, 12):
            asked = DRAW.normal(size=(5, length, 4)).astype(np.float32)
            np.testing.assert_allclose(model.predict_proba(asked), _asked(module, asked), atol=1e-5)


def test_a_layer_that_is_exported_step_by_step_is_refused_for_any_length():
    rows = DRAW.normal(size=(30, 7, 4)).astype(np.float32)
    module = Reads(nn.RNN, bidirectional=True)
    _asked(module, rows)
    with pytest.raises(CannotRegister, match=r"for 'length' = 7 of 'x' alone.*leave 'length' out of shapes"):
        _built(module, X=rows, labels=("no", "yes"), shapes={"x": ("length", 4)})
    found = _model(module, X=rows, labels=("no", "yes")).predict_proba(rows)
    np.testing.assert_allclose(found, _asked(module, rows), atol=1e-5)


def test_outputs_as_they_are():
    class Named(nn.Module):
        def forward(self, picture):
            return {"mean": picture.mean(dim=(1, 2)), "turned": picture.transpose(1, 2), "nothing": None}

    rows = DRAW.random((5, 3, 4)).astype(np.float32)
    model = _model(Named(), X=torch.from_numpy(rows), general=True)
    assert [output.name for output in model.signature.outputs] == ["mean", "turned"]
    found = model.predict(rows[:2])
    np.testing.assert_allclose([each["turned"] for each in found], rows[:2].transpose(0, 2, 1), atol=1e-7)


def test_pictures_over_http_are_answered_as_by_the_module(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    pixels, y = load_digits(return_X_y=True)
    rows = (pixels * 15).astype(np.uint8).reshape(-1, 1, 8, 8)  # 0 to 240, as a picture has them
    images = rows.astype(np.float32) / 255
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    how = mainstay.Image(mode="L", layout="CHW", scale=1 / 255)
    mainstay.register(
        module, name="digits", X=images[:200], X_test=images[200:400], y_test=y[200:400], labels=range(10), logits=True,
        images={"input": how}, folder=tmp_path,
    )  # fmt: skip
    model = mainstay.load("digits:1", folder=tmp_path)
    expected = torch.softmax(_asked(module, images[:3]), 1).numpy()
    encoded = []
    for row in rows[:3]:
        file = io.BytesIO()
        pillow.fromarray(row[0]).save(file, "PNG")
        encoded.append({"input": {"b64": base64.b64encode(file.getvalue()).decode()}})
    np.testing.assert_allclose(model.predict_proba(encoded), expected, atol=1e-5)
    with mainstay.serve(
        module, images[:50], labels=tuple(range(10)), logits=True, images={"input": how}, shapes={"input": (1, 8, 8)}
    ) as url:
        for sent in ({"input": images[:3].tolist()}, {"inputs": encoded}):
            said = httpx.post(f"{url}/predict", json=sent, timeout=30).json()
            shares = [[row[str(label)] for label in range(10)] for row in said["probabilities"]]
            np.testing.assert_allclose(shares, expected, atol=1e-5)


class Branches(nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


class Frozen(nn.Module):
    def forward(self, x):
        return x.reshape(3, -1)[:, :1].expand(3, 1) + x[:3, :1]


@pytest.mark.parametrize(
    ("module", "given", "said"),
    [
        (Branches, {"general": True}, "cannot export"),
        (Frozen, {}, "no tensor with a value a row|cannot export|does not take"),
        (lambda: torch.jit.script(nn.Linear(5, 1)), {}, "before torch.jit.script"),
        (lambda: nn.Linear(4, 1), {}, "does not take the rows of X"),
        (lambda: nn.Linear(5, 3), {"labels": (0, 1, 2)}, "logits=True"),
        (lambda: nn.Linear(5, 1), {"labels": (0, 1)}, "logits=True"),
        (lambda: nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(1)), {"labels": (0, 1, 2)}, "logits=True"),
        (
            lambda: nn.Sequential(nn.Linear(5, 3), nn.Softmax(1)),
            {"labels": (0, 1, 2), "logits": True},
            "ends in a Softmax.*leave logits=True out",
        ),
        (
            lambda: nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()),
            {"labels": (0, 1), "logits": True},
            "ends in a Sigmoid.*leave logits=True out",
        ),
        (lambda: nn.Linear(5, 3), {}, r"labels=\[…\]|general=True"),
        (lambda: nn.Linear(5, 3), {"labels": (0, 1)}, "3 probabilities|classes|labels"),
        (lambda: torch.export.export(nn.Linear(5, 1), (torch.ones(2, 5),)), {}, r"before torch\.export"),
        (lambda: nn.BatchNorm1d(5, track_running_stats=False), {"general": True}, "one at a time"),
        (lambda: nn.Linear(5, 1).half(), {}, r"module\.float"),
        (lambda: nn.LSTM(5, 2), {}, "no tensor with a value a row"),
    ],
)
def test_what_cannot_be_served_is_refused(module, given, said):
    with pytest.raises((CannotRegister, ParityFailed), match=said):
        _built(module(), X=X, **given)


def test_a_compiled_module_is_the_module():
    module = nn.Linear(5, 1)
    compiled = torch.compile(module)
    np.testing.assert_allclose(_model(compiled, X=X).predict(X), _asked(module, X)[:, 0].numpy(), atol=1e-6)
