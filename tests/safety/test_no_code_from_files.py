"""Nothing of a model's file is run without the operator's word: the published shapes, in every place a file goes."""

from __future__ import annotations

import json
from pathlib import Path

import exploits
import pytest

import mainstay
from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.formats import skops
from mainstay.models.formats.foreign.protocol import CannotImport, Told
from mainstay.models.importing import draft_of_file
from mainstay.models.package import Draft, ModelSpec, encoded
from mainstay.models.runtime import Model
from mainstay.models.signature import Column, Signature

EVERYWHERE = ("model.pkl", "model.joblib", "model.pt", "model.pth", "model.pt2", "model.sav", "model.pickle")
DISGUISED = ("model.onnx", "model.txt", "model.json", "model.ubj", "model.cbm", "model.pmml", "model.keras", "model")
CODE = {
    "a pickle": exploits.pickled,
    "a torch archive": exploits.torch_archive,
    "an exported program": exploits.exported_program,
    "a Keras file": exploits.keras_lambda,
}


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "ran"


def _refused(path: Path, marker: Path) -> None:
    with pytest.raises(MainstayError):
        draft_of_file(path, Told())
    assert not marker.exists()


def test_the_marker_is_written_by_what_is_run(marker):
    import pickle

    pickle.loads(exploits.pickled(marker))
    assert marker.exists()


@pytest.mark.parametrize("name", [*EVERYWHERE, *DISGUISED])
@pytest.mark.parametrize("kind", CODE)
def test_a_file_of_code_is_refused_under_any_name(kind, name, tmp_path, marker):
    path = tmp_path / name
    path.write_bytes(CODE[kind](marker))
    _refused(path, marker)


@pytest.mark.parametrize("name", DISGUISED)
@pytest.mark.parametrize("kind", ["a pickle", "a torch archive", "an exported program"])
def test_code_is_told_by_its_bytes(kind, name, tmp_path, marker):
    path = tmp_path / name
    path.write_bytes(CODE[kind](marker))
    with pytest.raises(CannotImport, match=r"runs code when it is loaded.*mainstay\.register"):
        draft_of_file(path, Told())
    assert not marker.exists()


def test_what_pytorch_writes_first_is_told_by_its_filling(tmp_path):
    """The first entry of a `.pt2` is a weight of any name: PyTorch fills up each header with an extra field."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"PK\x03\x04" + bytes(22) + (4).to_bytes(2, "little") + b"\x05\x00" + b"a/w0" + b"FB\x01\x00Z")
    with pytest.raises(CannotImport, match="runs code"):
        draft_of_file(path, Told())


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model", "model.ckpt"])
def test_weights_alone_are_no_model(name, tmp_path):
    header = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / name
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CannotImport, match="weights without the model"):
        draft_of_file(path, Told())


def test_catboosts_json_is_told_by_its_keys(tmp_path):
    path = tmp_path / "model.json"
    path.write_text('{"features_info":{"float_features":[]},"oblivious_trees":[]}')
    with pytest.raises(CannotImport, match=r"CatBoost's JSON.*save it as cbm"):
        draft_of_file(path, Told())


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "model.ubj"])
def test_nor_is_it_registered(name, tmp_path, marker):
    path = tmp_path / name
    path.write_bytes(exploits.pickled(marker))
    with pytest.raises(MainstayError):
        mainstay.register(path, name="evil", folder=tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("shape", exploits.skops_shapes(Path("x")))
@pytest.mark.parametrize("trusted", [(), ("numpy.dtype",), ("operator.call", "builtins.tuple", "builtins.int")])
def test_skops_restores_nothing_that_the_operator_does_not_name(shape, trusted, marker):
    data = exploits.skops_shapes(marker)[shape]
    with pytest.raises((skops.UntrustedTypes, skops.BadSkopsFile)):
        skops.restored(data, trusted)
    assert not marker.exists()


def _package(data: bytes, **more: bytes) -> Draft:
    spec = ModelSpec(format="skops", file=skops.FILE)
    signature = Signature(inputs=(Column(name="x", type="number"),), task="regression")
    content = {
        files.SPEC: encoded(spec),
        files.SIGNATURE: encoded(signature),
        files.GOLDEN: b'{"rows":[]}',
        skops.FILE: data,
        **more,
    }
    return Draft(content)


@pytest.mark.parametrize("shape", exploits.skops_shapes(Path("x")))
def test_a_package_cannot_bring_its_own_trust(shape, tmp_path, marker):
    """MLflow read skops' list of trusted types from the model's own folder (mlflow#25686)."""
    data = exploits.skops_shapes(marker)[shape]
    own = {"trust.txt": b"os.system\n", "trusted.json": b'["os.system"]', "operator.toml": b'trust = ["os.system"]'}
    draft = _package(data, **own)
    with pytest.raises(MainstayError):
        Model.load(draft.package())
    spec = json.loads(draft.content[files.SPEC])
    for key in ("trusted", "skops_trusted_types", "untrusted"):
        said = json.dumps({**spec, key: ["os.system", "builtins.tuple", "functools.partial"]}).encode()
        with pytest.raises(MainstayError):
            Model.load(Draft({**draft.content, files.SPEC: said}).package())
    assert not marker.exists()
    # And as a folder that somebody sends.
    folder = tmp_path / "sent"
    folder.mkdir()
    for name, content in draft.content.items():
        (folder / name).write_bytes(content)
    manifest = draft.manifest()
    (folder / "manifest.json").write_bytes(encoded(manifest))
    _refused(folder, marker)


@pytest.mark.parametrize("form", ["pickle", "joblib", "os", "../../os", "mainstay.cli.app", ""])
def test_a_format_is_one_of_a_short_list(form):
    draft = _package(b"")
    spec = {**json.loads(draft.content[files.SPEC]), "format": form}
    with pytest.raises(MainstayError):
        Model.load(Draft({**draft.content, files.SPEC: json.dumps(spec).encode()}).package())
