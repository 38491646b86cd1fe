"""Files of every format, cut and changed at random places: a model that is proven, or one sentence; nothing else.

Libraries that read such a file may end their process (XGBoost and CatBoost are C++): each is asked in one of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier

import mainstay
from mainstay.models.formats import skops
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.formats.objects import Given
from mainstay.models.formats.pmml.writing import pmml_of
from mainstay.models.registering import draft_of
from mainstay.operations.importing import import_file

CHANGES = int(os.environ.get("MAINSTAY_TEST_CHANGES", "12"))
"""Of each format."""
FEWER = {"model.txt": 6, "model.ubj": 6}
"""Times fewer of those whose library ends its process more often than not: it has to be started again."""
ASKS = """
import json, sys
from pathlib import Path
from mainstay.errors import MainstayError
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file

for line in sys.stdin:
    path = Path(json.loads(line))
    try:
        draft_of_file(path, Told(labels=("no", "yes")))
        said = "taken"
    except MainstayError as error:
        said = f"refused: {error}"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    print(json.dumps(said), flush=True)
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small sound file of each format."""
    import pandas as pd

    folder = tmp_path_factory.mktemp("sound")
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(120, 3)), columns=["a", "b", "c"])
    y = (X["a"] > X["b"]).astype(int)
    linear = LogisticRegression().fit(X.to_numpy(), y)
    (folder / "model.onnx").write_bytes(
        to_onnx(linear, X.to_numpy()[:1], options={"zipmap": False}).SerializeToString()
    )
    boosted = XGBClassifier(n_estimators=3, max_depth=2).fit(X, y)
    boosted.save_model(folder / "model.ubj")
    boosted.save_model(folder / "model.json")
    light = LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1).fit(X, y)
    light.booster_.save_model(folder / "model.txt")
    named = LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1).fit(X, np.where(y, "yes", "no"))
    package = draft_of(named, Given(X=X)).built.draft.package()
    (folder / "model.pmml").write_bytes(pmml_of(package))
    return folder


class Asker:
    """A process that is asked file by file, and started again where a file ended it."""

    def __init__(self):
        self._start()

    def _start(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self._process = subprocess.Popen([sys.executable, "-c", ASKS], **pipes)

    def ask(self, path):
        self._process.stdin.write(json.dumps(str(path)) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue  # what a library prints
            if isinstance(said, str):
                return said
        self.close()
        self._start()
        return "ended its process"

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def asker():
    found = Asker()
    yield found
    found.close()


def _changed(data, draw):
    """The file cut short, with some bytes changed, or with a part repeated."""
    kind = draw.integers(0, 4)
    at = int(draw.integers(0, len(data)))
    if kind == 0:
        return data[:at]
    if kind == 1:
        more = bytearray(data)
        for _ in range(int(draw.integers(1, 8))):
            more[int(draw.integers(0, len(data)))] = int(draw.integers(0, 256))
        return bytes(more)
    if kind == 2:
        return data[:at] + data[at // 2 :]
    return data[:at] + draw.bytes(16) + data[at:]


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["model.onnx", "model.pmml", "model.txt", "model.json", "model.ubj"])
def test_a_damaged_file_is_proven_or_refused(name, sound, asker, tmp_path):
    data = (sound / name).read_bytes()
    draw = np.random.default_rng(0)
    assert asker.ask(sound / name) == "taken"
    path = tmp_path / name
    said = []
    for _ in range(CHANGES // FEWER.get(name, 1)):
        path.write_bytes(_changed(data, draw))
        said.append(asker.ask(path))
    other = [each for each in said if each != "taken" and not each.startswith("refused: ")]
    assert not [each for each in other if each != "ended its process"], other
    assert said.count("taken") < len(said)


def test_a_file_that_ends_its_librarys_process_is_refused_in_a_sentence(sound, asker, tmp_path):
    data = (sound / "model.txt").read_bytes()
    draw = np.random.default_rng(0)
    path = tmp_path / "model.txt"
    for _ in range(100):
        path.write_bytes(_changed(data, draw))
        if asker.ask(path) == "ended its process":
            break
    else:
        pytest.skip("LightGBM no longer ends its process at any of 100 damaged files")
    with pytest.raises(CannotImport, match="it is damaged"):
        import_file(tmp_path, path, name="damaged")
    with pytest.raises(CannotImport, match="it is damaged"):
        mainstay.register(path, name="damaged", folder=tmp_path)


@pytest.mark.sweep
def test_a_damaged_file_of_skops_is_refused():
    data = skops.save(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))
    draw = np.random.default_rng(0)
    for _ in range(CHANGES):
        try:
            skops.restored(_changed(data, draw), ())
        except (skops.BadSkopsFile, skops.UntrustedTypes):
            continue
