"""Models of Keras in memory answer as Keras does, as ONNX or from a host process."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from libraries import need
from sklearn.datasets import load_breast_cancer, load_digits

from mainstay.models.formats import savedmodel
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.objects import CannotRegister, Given
from mainstay.models.importing import draft_of_file
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError

tf = need("tensorflow")
keras = need("keras")
need("tf2onnx")
layers = keras.layers

TASKS = ("binary", "multiclass", "regression")


@pytest.fixture(scope="module")
def cancer() -> tuple[pd.DataFrame, np.ndarray]:
    """(569, 30) numbers of the breast cancer data, and two classes."""
    return load_breast_cancer(return_X_y=True, as_frame=True)


def _fitted(model, x, y, loss="binary_crossentropy", epochs=1):
    model.compile("adam", loss)
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model


def _draft(model, trusted=(), **given):
    return draft_of(model, Given(**given, trusted=trusted)).built


def _model(built):
    return Model.load(built.draft.package(), trusted=built.untrusted)


def _native(model, x):
    return model(x, training=False)


@pytest.fixture(scope="module")
def tables(cancer):
    """A fitted model for each task on the numbers of the cancer data."""
    x, y = cancer
    numbers = x.to_numpy(np.float32)
    ends = {
        "binary": (1, "sigmoid", "binary_crossentropy", y),
        "multiclass": (3, "softmax", "sparse_categorical_crossentropy", y + (numbers[:, 0] > 15)),
        "regression": (1, None, "mse", numbers[:, 0] / 10),
    }
    found = {}
    for task, (width, activation, loss, target) in ends.items():
        scaled = layers.Normalization()
        scaled.adapt(numbers)
        model = keras.Sequential(
            [
                layers.Input((30,)),
                scaled,
                layers.Dense(8, activation="relu"),
                layers.BatchNormalization(),
                layers.Dropout(0.2),
                layers.Dense(width, activation=activation),
            ]
        )
        found[task] = _fitted(model, numbers, np.asarray(target), loss)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_a_table_is_served_as_onnx(task, cancer, tables):
    x, model = cancer[0], tables[task]
    labels = {"binary": ("malignant", "benign"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    built = _draft(model, X=x[:400], X_test=x[400:], labels=labels)
    assert built.format == "onnx"
    loaded = _model(built)
    assert loaded.signature.task == task
    assert loaded.signature.names == tuple(x.columns)
    expected = np.asarray(_native(model, x.to_numpy(np.float32)))
    if task == "regression":
        np.testing.assert_allclose(loaded.predict(x), expected[:, 0], rtol=1e-5, atol=1e-6)
        return
    found = loaded.predict_proba(x)
    np.testing.assert_allclose(found[:, 1] if task == "binary" else found, np.squeeze(expected), atol=1e-5)
    if task == "multiclass":
        assert loaded.predict(x) == [labels[place] for place in expected.argmax(axis=1)]


def test_logits_become_probabilities(cancer):
    x, y = cancer[0].to_numpy(np.float32) / 1000, np.asarray(cancer[1])
    model = keras.Sequential([layers.Input((30,)), layers.Dense(2)])
    _fitted(model, x, y, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loaded = _model(_draft(model, X=x, labels=(0, 1), logits=True))
    np.testing.assert_allclose(loaded.predict_proba(x), tf.nn.softmax(_native(model, x)), atol=1e-6)
    assert loaded.signature.labels == (0, 1)


@pytest.mark.parametrize("form", ["object", "file", "folder"])
@pytest.mark.parametrize(("end", "width"), [("softmax", 2), ("sigmoid", 1)])
def test_probabilities_are_no_logits(form, end, width, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    model = keras.Sequential([layers.Input((3,)), layers.Dense(width), layers.Activation(end)])
    if form == "object":
        with pytest.raises(CannotRegister, match=f"ends in a {end.title()}.*leave logits=True out"):
            _draft(model, X=x, labels=(0, 1), logits=True)
        return
    path = tmp_path / ("m.keras" if form == "file" else "m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, for how TensorFlow writes
        model.save(path) if form == "file" else model.export(path, verbose=False)
    with pytest.raises(CannotImport, match=f"ends in a {end.title()}.*leave --logits out"):
        draft_of_file(path, Told(labels=("0", "1"), logits=True))


@pytest.mark.parametrize(("width", "labels"), [(1, (0, 1)), (3, (0, 1, 2))])
def test_logits_are_no_probabilities(width, labels):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32) * 9
    model = keras.Sequential([layers.Input((3,)), layers.Dense(width)])
    with pytest.raises(CannotRegister, match="logits=True"):
        _draft(model, X=x, labels=labels)


def test_pictures_are_tensors():
    pictures, y = load_digits(return_X_y=True)
    pictures = pictures.reshape(-1, 8, 8, 1)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Rescaling(1 / 16),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    _fitted(model, pictures, y, "sparse_categorical_crossentropy", epochs=4)
    built = _draft(model, X=pictures[:1000], X_test=pictures[1000:], y_test=y[1000:], labels=range(10))
    assert built.format == "onnx"
    loaded = _model(built)
    assert loaded.signature.tensors[0].told() == "float32 (8, 8, 1)"
    np.testing.assert_allclose(loaded.predict_proba(pictures), _native(model, pictures), atol=1e-5)
    assert np.mean(np.array(loaded.predict(pictures)) == y) > 0.5


def test_several_inputs_and_outputs_by_name():
    numbers, codes = layers.Input((4,), name="numbers"), layers.Input((None,), name="codes", dtype="int32")
    seen = layers.GRU(3)(layers.Embedding(9, 3)(codes))
    joined = layers.Concatenate()([numbers, seen])
    outputs = {"kind": layers.Dense(3, activation="softmax")(joined), "size": layers.Dense(1)(joined)}
    model = keras.Model([numbers, codes], outputs)
    draw = np.random.default_rng(0)
    x = {"numbers": draw.normal(size=(50, 4)), "codes": draw.integers(0, 9, size=(50, 6))}
    built = _draft(model, X=x, general=True)
    assert built.format == "onnx"
    loaded = _model(built)
    assert [tensor.told() for tensor in loaded.signature.tensors] == ["float32 (4,)", "int32 (codes 1,)"]
    shorter = {**x, "codes": x["codes"][:, :3]}
    found = loaded.answer(loaded.cells(shorter)).outputs
    expected = model([shorter["numbers"], shorter["codes"]], training=False)
    assert found.keys() == {"kind", "size"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


@pytest.mark.parametrize("container", ["frame", "arrays"])
def test_columns_of_numbers_and_texts_by_name(container):
    age, job = layers.Input((1,), name="age"), layers.Input((1,), name="job", dtype="string")
    one_hot = layers.StringLookup(vocabulary=["cook", "smith"], output_mode="one_hot")(job)
    model = keras.Model(
        {"age": age, "job": job}, layers.Dense(1, activation="sigmoid")(layers.Concatenate()([age, one_hot]))
    )
    x = pd.DataFrame({"job": ["cook", "smith", "monk"] * 20, "age": np.arange(60.0)})
    given = x if container == "frame" else {name: x[name].to_numpy() for name in x}
    built = _draft(model, X=given, labels=("no", "yes"))
    assert built.format == "onnx"
    loaded = _model(built)
    assert {(column.name, column.type) for column in loaded.signature.inputs} == {("age", "number"), ("job", "text")}
    expected = _native(
        model, {"age": tf.constant(x[["age"]].to_numpy()), "job": tf.constant(x[["job"]].to_numpy().tolist())}
    )
    np.testing.assert_allclose(loaded.predict_proba(x)[:, 1], np.squeeze(expected), atol=1e-6)


def _texts_model():
    words = layers.TextVectorization(output_sequence_length=6)
    words.adapt(["free money now", "see you at home", "call me"])
    text = layers.Input((1,), name="sms", dtype="string")
    seen = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(words(text)))
    return keras.Model(text, layers.Dense(1, activation="sigmoid")(seen))


TEXTS = pd.Series(["Free money!", "see you", "call me at home", "ünknown wörds", ""] * 8, name="sms")


def test_texts_that_are_split_in_the_graph_stay_with_tensorflow_where_that_is_trusted():
    model = _texts_model()
    with pytest.raises(
        savedmodel.UntrustedGraph, match=r"no operator for TensorFlow's StaticRegexReplace.*tensorflow\.SavedModel"
    ):
        _draft(model, X=TEXTS, labels=("ham", "spam"))
    built = _draft(model, X=TEXTS, labels=("ham", "spam"), trusted=(savedmodel.TRUST,))
    assert (built.format, built.untrusted) == ("savedmodel", (savedmodel.TRUST,))
    loaded = _model(built)
    expected = _native(model, tf.constant(TEXTS.to_numpy()[:, None].tolist()))
    np.testing.assert_allclose(loaded.predict_proba({"sms": TEXTS.tolist()})[:, 1], np.squeeze(expected), atol=1e-7)
    with pytest.raises(savedmodel.UntrustedGraph):
        Model.load(built.draft.package())


def test_real_messages_as_raw_texts(shared_data):
    messages = pd.read_csv(shared_data("sms_spam.tsv"), sep="\t", header=None, names=["kind", "sms"], quoting=3)[:1500]
    texts, y = messages["sms"], (messages["kind"] == "spam").to_numpy(int)
    words = layers.TextVectorization(max_tokens=2000, output_mode="multi_hot")
    words.adapt(texts)
    model = keras.Sequential([layers.Input((1,), dtype="string"), words, layers.Dense(1, activation="sigmoid")])
    _fitted(model, tf.constant(texts.tolist())[:, None], y, epochs=10)
    built = _draft(model, X=texts[:1000], X_test=texts[1000:], labels=("ham", "spam"), trusted=(savedmodel.TRUST,))
    loaded = _model(built)
    found = loaded.predict_proba({"sms": texts[1000:].tolist()})[:, 1]
    expected = _native(model, tf.constant(texts[1000:].tolist())[:, None])
    np.testing.assert_allclose(found, np.squeeze(expected), atol=1e-6)
    assert np.mean((found > 0.5) == y[1000:]) > 0.9


def test_half_precision_answers_as_keras_does(cancer):
    x = (cancer[0].to_numpy() / 1000).astype(np.float16)
    model = keras.Sequential(
        [
            layers.Input((30,), dtype="float16"),
            layers.Dense(8, dtype="float16"),
            layers.Dense(2, activation="softmax", dtype="mixed_float16"),
        ]
    )
    built = _draft(model, X=x, labels=("a", "b"), trusted=(savedmodel.TRUST,))
    np.testing.assert_allclose(_model(built).predict_proba(x), _native(model, x), atol=1e-5)


def test_a_subclassed_model_takes_what_x_has():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs["a"]) + keras.ops.sum(inputs["b"], axis=(1, 2), keepdims=False)[:, None]

    x = {"a": np.ones((20, 3), np.float32), "b": np.arange(120, dtype=np.float32).reshape(20, 2, 3)}
    model = Own()
    expected = _native(model, x)
    loaded = _model(_draft(model, X=x))
    np.testing.assert_allclose(loaded.predict(x), np.squeeze(expected), rtol=1e-5)


def test_numbers_are_not_cut_to_integers():
    codes = layers.Input((2,), dtype="int32")
    model = keras.Model(codes, layers.Dense(1)(layers.Flatten()(layers.Embedding(4, 2)(codes))))
    x = np.array([[0, 1], [2, 3]] * 5)
    loaded = _model(_draft(model, X=x))
    np.testing.assert_allclose(loaded.predict(x.astype(np.int32)), np.squeeze(_native(model, x)), atol=1e-6)
    for wrong in (x + 0.5, pd.DataFrame(x + 0.5, columns=["a", "b"])):
        with pytest.raises(CannotRegister, match="takes int32, and X is a table of numbers"):
            _draft(model, X=wrong)
    with pytest.raises(InputError, match="expected integers"):
        loaded.predict(x + 0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"X": None}, "X is missing"),
        ({"labels": ()}, "ends in a sigmoid"),
        ({"labels": ("a", "b", "c")}, "2 probabilities and has 3 classes"),
        ({"X": np.ones((5, 7), np.float32)}, "takes 30 columns, and X has 7"),
        ({"X": np.ones((5, 3, 3), np.float32)}, r"takes rows of shape \(30,\)"),
        ({"columns": ("a", "b")}, "give it as a DataFrame"),
    ],
)
def test_what_contradicts_the_model_is_refused(change, said, cancer, tables):
    given = {"X": cancer[0], "labels": ("malignant", "benign"), **change}
    with pytest.raises(CannotRegister, match=said):
        _draft(tables["binary"], **given)


def test_a_model_without_weights_is_refused():
    with pytest.raises(CannotRegister, match="not built yet"):
        _draft(keras.Sequential([layers.Dense(1)]), X=np.ones((5, 3)))


def test_rows_outside_of_an_embedding_are_refused():
    codes = layers.Input((1,), dtype="string", name="word")
    words = layers.TextVectorization(output_sequence_length=2, vocabulary=["a", "b", "c"])(codes)
    model = keras.Model(codes, layers.Dense(1)(layers.Flatten()(layers.Embedding(3, 2)(words))))
    loaded = _model(_draft(model, X=pd.Series(["a", "zzz"] * 10, name="word"), trusted=(savedmodel.TRUST,)))
    with pytest.raises(InputError, match="The model itself refuses"):
        loaded.predict({"word": ["c"]})


def test_common_activations_are_onnx():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5)).astype("float32")
    names = ["gelu", "silu", "mish", "softplus", "selu", "leaky_relu", "elu", "hard_sigmoid", "softsign", "tanh"]
    dense = [layers.Dense(6, activation=name) for name in names]
    built = _draft(keras.Sequential([keras.Input((5,)), *dense, layers.PReLU(), layers.Dense(1)]), X=x)
    assert built.format == "onnx", built.reason
