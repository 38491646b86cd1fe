"""Files of Keras that would do more than compute: each shape that was published, refused before Keras is imported."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from mainstay.errors import MissingExtra
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.formats.tensorflow.graphs import UnsafeModel
from mainstay.models.formats.tensorflow.keras_files import checked
from mainstay.models.importing import draft_of_file


def _layer(name, module="keras.layers", **config):
    return {
        "module": module,
        "class_name": name,
        "config": {"name": "inner", **config},
        "registered_name": None,
        "name": "inner",
        "inbound_nodes": [],
    }


def _model(*layers, **more):
    config = {"name": "model", "layers": list(layers), "input_layers": [], "output_layers": []}
    return {"module": "keras", "class_name": "Functional", "config": config, "registered_name": "Functional", **more}


def _archive(config, files=(), *, names=("config.json", "metadata.json", "model.weights.h5")):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, json.dumps(config) if name == "config.json" else b"{}")
        for entry, content in files:
            archive.writestr(entry, content)
    return data.getvalue()


DENSE = _layer("Dense", units=3, activation="relu")


def _function(module, name, **more):
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function", **more}


def _evil(marker: Path):
    """By the name of its publication, a configuration that leaves a marker where Keras believes it."""
    command = f"touch {marker}"
    code = {"class_name": "__lambda__", "config": {"value": ["4wAAAAA=", None, None]}}
    return {
        "CVE-2024-3660: a lambda layer": _model(_layer("Lambda", function=code, arguments={})),
        "CVE-2024-3660: a lambda elsewhere": _model(_layer("Dense", units=1, activation=code)),
        "CVE-2025-1550: any module and function": _model(
            {**_layer("system"), "module": "os", "inbound_nodes": [{"args": [command], "kwargs": {}}]}
        ),
        "CVE-2025-1550: a class of a module": _model(
            {"module": "subprocess", "class_name": "Popen", "config": {"args": command, "shell": True}}
        ),
        "CVE-2025-8747: a function of Keras that fetches": _model(
            _layer("Lambda", function=_function("keras.utils", "get_file"), arguments={"origin": "http://127.0.0.1/x"})
        ),
        "CVE-2025-9906: a function that turns safe mode off": _model(
            _layer("Lambda", function=_function("keras.config", "enable_unsafe_deserialization"), arguments={})
        ),
        "CVE-2025-9906: a model within": _model(
            _layer("Lambda", function=_function("keras.models", "load_model"), arguments={"safe_mode": False})
        ),
        "a function as activation": _model(_layer("Dense", units=1, activation=_function("keras.utils", "get_file"))),
        "a function without a module": _model(_layer("Dense", units=1, activation=_function("builtins", "eval"))),
        "CVE-2025-12058: a vocabulary that is a file": _model(_layer("StringLookup", vocabulary="/etc/passwd")),
        "CVE-2025-12058: a vocabulary beside the file": _model(_layer("TextVectorization", vocabulary="words.txt")),
        "CVE-2025-12058: a vocabulary that is an address": _model(
            _layer("StringLookup", vocabulary="http://10.0.0.1/")
        ),
        "CVE-2025-12058: weights of words in a file": _model(_layer("StringLookup", idf_weights="file:///etc/passwd")),
        "CVE-2026-12479: a name that is a path": _model(_layer("Dense", units=1) | {"name": "../../../tmp/evil"}),
        "a path in a configuration": _model({**DENSE, "config": {"name": "../x"}}),
        "a SavedModel within": _model(_layer("TFSMLayer", filepath="/tmp/model")),
        "a module of torch within": _model(_layer("TorchModuleWrapper", module_bytes="gASV")),
        "a function of JAX within": _model(_layer("JaxLayer", call_fn="x")),
        "a layer of somebody's own": _model({**DENSE, "registered_name": "evil>Dense"}),
        "a package beside Keras": _model({**DENSE, "module": "keras_hub.layers"}),
        "a module that begins like Keras'": _model({**DENSE, "module": "keras.layers.evil"}),
        "a class that no list has": _model({**DENSE, "class_name": "Model"}),
        "a lambda without its module": _model({"class_name": "Lambda", "config": {"function": code}}),
        "a type of TensorFlow's": _model(_layer("Dense", units={"class_name": "__typespec__", "config": []})),
        "a model that is none": {"class_name": "get_file", "module": "keras.utils", "config": {"origin": "x"}},
        "a class that is no text": _model({**DENSE, "class_name": ["Dense"]}),
        "a module that is no text": _model({**DENSE, "module": {"os": "system"}}),
        "an optimizer in a part": _model({**DENSE, "compile_config": {"loss": code}}),
    }


@pytest.mark.parametrize("attack", _evil(Path("marker")))
def test_published_attacks_do_nothing(attack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "marker"
    path = tmp_path / "model.keras"
    path.write_bytes(_archive(_evil(marker)[attack]))
    loaded = "keras" in sys.modules
    with pytest.raises(UnsafeModel):
        draft_of_file(path, Told(labels=("a", "b")))
    assert [each.name for each in tmp_path.iterdir()] == ["model.keras"]
    assert ("keras" in sys.modules) == loaded


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "keras"])
def test_hdf5_is_refused_with_the_way_out(suffix, tmp_path):
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(CannotImport, match=r"HDF5, the old format.*model\.save\('model\.keras'\)"):
        draft_of_file(path, Told())


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(_archive(_model(DENSE)))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtra, match=r"mainstay\[tensorflow\]"):
        draft_of_file(path, Told())


def _link():
    entry = zipfile.ZipInfo("assets/words.txt")
    entry.external_attr = 0o120777 << 16
    return entry


def _bomb():
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(_model(DENSE)))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", bytes(20 << 20))
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04 nothing", "is no .keras file"),
        (b"", "is no .keras file"),
        (_archive(_model(), names=("metadata.json", "model.weights.h5")), "has no config.json"),
        (_archive(_model(), names=("config.json", "metadata.json")), "has no model.weights.h5"),
        (_archive([1, 2]), "describes no model"),
        (_archive(_model(DENSE), [("evil.py", b"print()")]), r"holds 'evil\.py'"),
        (_archive(_model(DENSE), [("assets/../../evil", b"")]), "belongs to no model"),
        (_archive(_model(DENSE), [("/etc/evil", b"")]), "belongs to no model"),
        (_archive(_model(DENSE), [("model.weights.npz", b"")]), "belongs to no model"),
        (_archive(_model(DENSE), [("assets\\evil", b"")]), "belongs to no model"),
        (_archive(_model(DENSE), [(_link(), b"/etc/passwd")]), "is a link"),
        (_bomb(), "grows to"),
        (_archive({"class_name": "Functional", "config": json.loads("[" * 300 + "]" * 300)}), "nested without end"),
    ],
)
def test_archives_that_are_none_of_keras_are_refused(data, said):
    with pytest.raises(UnsafeModel, match=said):
        checked(data, "model.keras")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_is_refused():
    with pytest.raises(UnsafeModel, match="twice"):
        checked(_archive(_model(DENSE), [("config.json", b"{}")]), "model.keras")


def test_what_is_loaded_is_what_was_judged():
    given = _model(DENSE, _layer("StringLookup", vocabulary=["../a", "/b", "http://c"]), compile_config={"loss": "mse"})
    written = checked(_archive(given, [("assets/layers/words/vocabulary.txt", b"a")]), "model.keras")
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        config = json.loads(archive.read("config.json"))
        names = archive.namelist()
    del given["compile_config"]
    assert config == given
    assert names == ["assets/layers/words/vocabulary.txt", "config.json", "metadata.json", "model.weights.h5"]
    assert checked(written, "model.keras") == written
