"""What a native file may hold without the operator's word, and how the word is given."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import exploits
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.neighbors import KNeighborsClassifier

import mainstay
from mainstay.models.formats import skops
from mainstay.models.formats.plain_types import PLAIN

X = np.random.default_rng(0).normal(size=(60, 2))
Y = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_plain_type_is_a_class_of_python_that_restores_nothing_by_itself(name):
    """A new version of scikit-learn in which one becomes compiled, a function, or busy when restored, fails here."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert inspect.isclass(found)
    if name == "numpy.dtype":
        with pytest.raises(TypeError):
            found.__new__(found)  # as an object it is not made, so that its __setstate__ is not reached
        return
    assert inspect.getsourcefile(found)
    assert found.__new__ in (object.__new__, dict.__new__)
    own = vars(found).get("__setstate__")
    assert own is None or name == "sklearn.utils._bunch.Bunch"


@pytest.mark.parametrize("shape", exploits.skops_shapes(Path("x")))
def test_plain_types_open_no_other(shape, tmp_path):
    data = exploits.skops_shapes(tmp_path / "ran")[shape]
    with pytest.raises((skops.UntrustedTypes, skops.BadSkopsFile)):
        skops.restored(data, sorted(PLAIN))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    ["sklearn.tree._tree.Tree", "sklearn.neighbors._kd_tree.KDTree", "sklearn.gaussian_process.kernels.clone"],
)
def test_what_follows_a_files_positions_or_is_a_function_is_not_plain(name):
    assert name not in PLAIN


def test_a_gaussian_process_needs_nobodys_word(tmp_path):
    model = GaussianProcessRegressor().fit(X, X[:, 0])
    version = mainstay.register(model, name="gauss", X=X, folder=tmp_path)
    served = mainstay.load(version.ref, folder=tmp_path)
    np.testing.assert_allclose(served.predict(X[:5]), model.predict(X[:5]))


def test_the_error_says_what_to_write_and_where_and_that_is_enough(tmp_path):
    model = KNeighborsClassifier(3).fit(X, Y)
    with pytest.raises(skops.UntrustedTypes, match=r"on a line of its own in trust\.txt") as refused:
        mainstay.register(model, name="near", X=X, folder=tmp_path)
    for name in refused.value.types:
        assert name in str(refused.value)
    (tmp_path / "trust.txt").write_text("\n".join(refused.value.types))
    version = mainstay.register(model, name="near", X=X, folder=tmp_path)
    assert mainstay.load(version.ref, folder=tmp_path).predict(X[:5]) == model.predict(X[:5]).tolist()
    (tmp_path / "trust.txt").write_text("# nothing any more\n")
    with pytest.raises(skops.UntrustedTypes, match=r"sklearn\.neighbors\._kd_tree\.KDTree"):
        mainstay.load(version.ref, folder=tmp_path)


def test_a_name_that_would_draw_on_the_terminal_is_shown_as_it_is_written(tmp_path):
    node = exploits.skops_node("os", "x\x1b[2Jy\n", "ObjectNode", content=None)
    with pytest.raises(skops.UntrustedTypes) as refused:
        skops.restored(exploits.skops_file(node), ())
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)
