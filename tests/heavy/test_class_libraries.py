"""Python classes with libraries from the package index, in other versions than ours, and in another Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mainstay
from mainstay.models.classes import UntrustedCode
from mainstay.operations.importing import import_file
from python_classes import plain, trust

pytestmark = pytest.mark.skipif(
    os.environ.get("MAINSTAY_REQUIRE_FORMATS") != "1", reason="downloads libraries: make test-formats"
)
CODE = """\
import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression


class Model:
    def __init__(self, folder):
        assert np.__version__ == "1.26.4" and sklearn.__version__ == "1.5.2"
        x = np.linspace(-1, 1, 50).reshape(-1, 1)
        self.model = LogisticRegression().fit(x, x[:, 0] > 0)

    def predict(self, rows):
        return self.model.predict_proba(rows["x"].reshape(-1, 1))
"""


def _other_python() -> str | None:
    """The minor version of another Python that uv finds here."""
    for minor in (13, 12, 14):
        found = shutil.which(f"python3.{minor}")
        if minor != sys.version_info.minor and found:
            done = subprocess.run([found, "-c", ""], capture_output=True, check=False)
            if not done.returncode:
                return f"3.{minor}"
    return None


def _imported(project: Path, folder: Path):
    with pytest.raises(UntrustedCode) as refused:
        import_file(project, folder, name="model")
    trust(project, refused.value.code)
    import_file(project, folder, name="model")
    return mainstay.load("model:1", folder=project)


def test_older_libraries_than_ours_answer_beside_them(tmp_path: Path) -> None:
    folder = plain(tmp_path / "folder", CODE)
    (folder / "requirements.txt").write_text("numpy==1.26.4\nscikit-learn==1.5.2\n")
    if sys.version_info >= (3, 13):
        pytest.skip("numpy 1.26 has no wheel for this Python")
    model = _imported(tmp_path, folder)
    probabilities = model.predict_proba({"x": [-0.9, 0.9]})
    assert probabilities[0, 0] > 0.8
    assert probabilities[1, 1] > 0.8
    assert np.__version__ != "1.26.4"


def test_another_python_than_ours_answers_too(tmp_path: Path) -> None:
    python = _other_python()
    if python is None:
        pytest.skip("there is no other Python here")
    code = (
        "import sys\nclass Model:\n    def __init__(self, folder):\n"
        f"        assert '{python}' == f'{{sys.version_info.major}}.{{sys.version_info.minor}}'\n"
        "    def predict(self, rows): return ['good'] * len(rows['x'])\n"
    )
    folder = plain(tmp_path / "folder", code)
    text = (folder / "mainstay-model.toml").read_text()
    (folder / "mainstay-model.toml").write_text(f'python = "{python}"\n{text}')
    assert _imported(tmp_path, folder).predict([{"x": 0}]) == ["good"]
