"""Files of Keras and TensorFlow come in as ONNX where they can, and never do more than compute."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from libraries import need
from sklearn.datasets import load_breast_cancer

from mainstay.models.formats import savedmodel
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.tensorflow.graphs import UnsafeModel
from mainstay.models.formats.tensorflow.keras_files import CLASSES
from mainstay.models.formats.tensorflow.operators import ALLOWED, SAVING
from mainstay.models.importing import draft_of_file
from mainstay.models.runtime import Model

tf = need("tensorflow")
keras = need("keras")
h5py = need("h5py")
need("tf2onnx")
layers = keras.layers

TRUSTED = (savedmodel.TRUST,)
# What Keras itself warns of while it writes a file.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def _loaded(path, **told):
    built = draft_of_file(path, Told(**told)).built
    return built, Model.load(built.draft.package(), trusted=built.untrusted)


def _classifier(width=3, activation="softmax", columns=30):
    return keras.Sequential(
        [layers.Input((columns,)), layers.Dense(6, activation="tanh"), layers.Dense(width, activation=activation)]
    )


@pytest.fixture(scope="module")
def numbers():
    return load_breast_cancer(return_X_y=True)[0].astype(np.float32)[:100] / 100


def test_a_folder_comes_in_without_a_word_of_tensorflows(tmp_path, capfd):
    _classifier().export(tmp_path / "folder", verbose=False)
    capfd.readouterr()
    draft_of_file(tmp_path / "folder", Told(labels=("a", "b", "c")))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["model.keras", "folder"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_file_answers_as_keras(form, task, numbers, tmp_path):
    model = {"binary": _classifier(1, "sigmoid"), "multiclass": _classifier(), "regression": _classifier(1, None)}[task]
    path = tmp_path / form
    if form == "folder":
        model.export(path, verbose=False)
    else:
        model.compile("adam", "mse")
        model.save(path)
    labels = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    built, loaded = _loaded(path, labels=labels, columns=tuple(f"c{i}" for i in range(30)))
    assert built.format == "onnx"
    assert loaded.signature.task == task
    expected = np.asarray(model(numbers, training=False))
    found = loaded.predict(numbers) if task == "regression" else loaded.predict_proba(numbers)
    if task == "binary":
        found = found[:, 1]
    np.testing.assert_allclose(found, np.squeeze(expected), atol=1e-5)


def test_a_file_with_a_layer_of_each_common_kind_comes_in(tmp_path):
    picture, codes, word = (
        layers.Input((12, 12, 3), name="picture"),
        layers.Input((5,), dtype="int32", name="codes"),
        layers.Input((1,), dtype="string", name="word"),
    )
    seen = layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2")(layers.Rescaling(1 / 255)(picture))
    seen = layers.ReLU()(layers.BatchNormalization()(seen))
    seen = layers.GlobalAveragePooling2D()(layers.Add()([seen, layers.DepthwiseConv2D(3, padding="same")(seen)]))
    read = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(layers.Embedding(9, 4)(codes))
    read = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3)(read, read))
    read = layers.GlobalMaxPooling1D()(layers.TimeDistributed(layers.Dense(4))(read))
    said = layers.StringLookup(vocabulary=["a", "b", "../c"], output_mode="one_hot")(word)
    joined = layers.Concatenate()([seen, read, said]) * 2.0
    model = keras.Model([picture, codes, word], keras.ops.tanh(layers.Dense(2)(layers.Dropout(0.1)(joined))))
    model.save(tmp_path / "model.keras")
    built, loaded = _loaded(tmp_path / "model.keras", general=True)
    assert built.format == "onnx"
    draw = np.random.default_rng(0)
    rows = {
        "picture": draw.uniform(0, 255, (4, 12, 12, 3)).astype(np.float32),
        "codes": draw.integers(0, 9, (4, 5)).astype(np.int32),
        "word": ["a", "b", "../c", "never seen"],
    }
    found = loaded.answer(loaded.cells(rows)).outputs
    given = [rows["picture"], rows["codes"], tf.constant(rows["word"])[:, None]]
    expected = model([tf.constant(each) for each in given], training=False)
    np.testing.assert_allclose(next(iter(found.values())), expected, atol=1e-5)


def test_texts_come_in_where_the_operator_trusts_tensorflow(tmp_path):
    words = layers.TextVectorization(output_sequence_length=4)
    words.adapt(["free money", "see you"])
    text = layers.Input((1,), dtype="string", name="sms")
    seen = layers.GlobalAveragePooling1D()(layers.Embedding(20, 4)(words(text)))
    model = keras.Model(text, layers.Dense(1, activation="sigmoid")(seen))
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "folder", verbose=False)
    for path in (tmp_path / "model.keras", tmp_path / "folder"):
        with pytest.raises(savedmodel.UntrustedGraph, match="StringSplitV2"):
            draft_of_file(path, Told(labels=("ham", "spam")))
        built, loaded = _loaded(path, labels=("ham", "spam"), trusted=TRUSTED)
        assert (built.format, built.untrusted) == ("savedmodel", TRUSTED)
        expected = model(tf.constant([["Free money!"], [""]]), training=False)
        found = loaded.predict_proba([{"sms": "Free money!"}, {"sms": ""}])[:, 1]
        np.testing.assert_allclose(found, np.squeeze(expected), atol=1e-7)


def test_a_normalization_tells_the_ranges(numbers, tmp_path):
    scaled = layers.Normalization()
    scaled.adapt(numbers)
    keras.Sequential([layers.Input((30,)), scaled, layers.Dense(1)]).save(tmp_path / "model.keras")
    _, loaded = _loaded(tmp_path / "model.keras")
    mean, reach = numbers.mean(axis=0), 3 * numbers.std(axis=0)
    for column, low, high in zip(loaded.signature.inputs, mean - reach, mean + reach, strict=True):
        np.testing.assert_allclose((column.minimum, column.maximum), (low, high), rtol=1e-3, atol=1e-6)


def test_what_a_file_does_not_say_is_asked_for(tmp_path):
    _classifier(1, "sigmoid").save(tmp_path / "model.keras")
    with pytest.raises(CannotImport, match="ends in a sigmoid"):
        draft_of_file(tmp_path / "model.keras", Told())
    _classifier().export(tmp_path / "folder", verbose=False)
    with pytest.raises(CannotImport, match="--labels"):
        draft_of_file(tmp_path / "folder", Told())


class _Evil(tf.Module):
    """Graphs that leave a marker where they are run."""

    def __init__(self, marker: Path, how: str) -> None:
        super().__init__()
        self.marker, self.how = str(marker), how
        self.weight = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def answer(self, x):
        if self.how == "write":
            tf.io.write_file(self.marker, "evil")
        elif self.how == "python":
            tf.numpy_function(lambda: Path(self.marker).write_text("evil"), [], tf.int64)
        elif self.how == "print":
            tf.print("evil", output_stream=f"file://{self.marker}")
        elif self.how == "save":
            tf.raw_ops.SaveV2(prefix=self.marker, tensor_names=["x"], shape_and_slices=[""], tensors=[x])
        elif self.how == "branch":
            x += tf.cond(x[0, 0] > 0, lambda: self._written(1.0), lambda: 1.0)
        elif self.how == "dataset":
            hidden = tf.data.Dataset.range(1).map(self._written)
            return x * tf.cast(hidden.reduce(tf.constant(0, tf.int64), lambda a, b: a + b), tf.float32)
        elif self.how == "read":
            return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)
        return x * self.weight

    def _written(self, value):
        """The value, once the marker is there."""
        with tf.control_dependencies([tf.io.write_file(self.marker, "evil")]):
            return tf.identity(value)


@pytest.mark.parametrize("how", ["write", "python", "print", "save", "branch", "dataset", "read"])
def test_graphs_that_do_more_than_compute_are_not_loaded(how, tmp_path):
    marker = tmp_path / "marker"
    evil = _Evil(marker, how)
    folder = tmp_path / "model"
    tf.saved_model.save(evil, folder, signatures={"serving_default": evil.answer.get_concrete_function()})
    assert not marker.exists()
    with pytest.raises(UnsafeModel, match="has the operator"):
        draft_of_file(folder, Told(general=True, trusted=TRUSTED))
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_a_kept_graph_is_judged_again_where_it_is_loaded(tmp_path):
    evil = _Evil(tmp_path / "marker", "write")
    tf.saved_model.save(evil, tmp_path / "model", signatures={"serving_default": evil.answer.get_concrete_function()})
    plain = _Evil(tmp_path / "marker", "")
    tf.saved_model.save(plain, tmp_path / "plain", signatures={"serving_default": plain.answer.get_concrete_function()})
    built, _ = _loaded(tmp_path / "plain", general=True)
    assert built.format == "onnx"
    from mainstay.models.formats.tensorflow.graphs import files_of
    from mainstay.models.formats.tensorflow.interface import Feed, Reading
    from mainstay.models.package import SPEC, Draft, ModelSpec, encoded

    reading = Reading(feeds=(Feed("x", "float32"),), outputs=1)
    content = {name: data for name, data in built.draft.content.items() if name != "model.onnx"}
    content[SPEC] = encoded(ModelSpec(format="savedmodel", file=savedmodel.FILE))
    content[savedmodel.FILE] = savedmodel.archived(files_of(tmp_path / "model"), reading)
    with pytest.raises(UnsafeModel, match="WriteFile"):
        Model.load(Draft(content).package(), trusted=TRUSTED)
    assert not (tmp_path / "marker").exists()


def _with_weights(path, change):
    """A `.keras` file whose weights were changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    held = io.BytesIO(files["model.weights.h5"])
    with h5py.File(held, "r+") as file:
        group = file["layers/dense/vars"]
        shape, values = group["0"].shape, group["0"][()]
        del group["0"]
        change(group, shape, values)
    files["model.weights.h5"] = held.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _external(group, shape, values):
    group.create_dataset("0", shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _virtual(group, shape, values):
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape)
    group.create_virtual_dataset("0", layout)


def _linked(group, shape, values):
    group["0"] = h5py.ExternalLink("/etc/passwd", "x")


def _soft(group, shape, values):
    group["0"] = h5py.SoftLink("/layers")


def _huge(group, shape, values):
    group.create_dataset("0", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))


def _cycle(group, shape, values):
    group["0"] = group.file["layers"]


@pytest.mark.parametrize("change", [_external, _virtual, _linked, _soft, _huge, _cycle])
def test_weights_that_are_not_in_the_file_are_not_read(change, tmp_path):
    """CVE-2026-1669 and CVE-2026-0897."""
    path = tmp_path / "model.keras"
    _classifier().save(path)
    _with_weights(path, change)
    with pytest.raises(UnsafeModel, match="weights"):
        draft_of_file(path, Told(labels=("a", "b", "c")))


def test_what_keras_cannot_build_is_an_error_in_a_sentence(tmp_path):
    path = tmp_path / "model.keras"
    _classifier().save(path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["config.json"] = files["config.json"].replace(b'"units": 6', b'"units": "six"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(CannotImport, match=r"Keras cannot load model\.keras"):
        draft_of_file(path, Told(labels=("a", "b", "c")))


def test_every_allowed_operator_is_one_of_tensorflow():
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    known = op_def_pb2.OpList()
    known.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    assert not (ALLOWED | SAVING) - {op.name for op in known.op}


def test_no_allowed_class_of_keras_takes_code():
    assert not CLASSES & {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Model", "Layer"}


def test_importing_the_library_says_nothing_of_the_machine():
    code = (
        "import sys; from mainstay.models.formats.tensorflow.calling import library; library(); sys.stderr.write('x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr[:1] == "x"
