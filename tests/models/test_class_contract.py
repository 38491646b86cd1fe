"""What a Python class is given and may answer, what an operator trusts of it, and which lists of requirements are
locked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.classes import CLASS, CODE, REQUIREMENTS, BadClass, ClassSpec, UntrustedCode, code_id
from mainstay.models.classes import require_trusted as require
from mainstay.models.formats.python_class import ClassFault, answers_of, columns_of
from mainstay.models.package import Draft, PackageCorrupt
from mainstay.models.requirements import BadRequirements, locked
from mainstay.models.signature import Column, Reader, Signature
from mainstay.models.tensors import Tensor

X = (Column(name="x", type="number"),)
VALUE = Signature(inputs=X, task="regression")
TWO = Signature(inputs=X, task="binary", labels=("bad", "good"))
BOOLEAN = Signature(inputs=X, task="binary", labels=(False, True))
INTEGER = Signature(inputs=X, task="multiclass", labels=(0, 1, 7))
OUTPUTS = Signature(
    inputs=X,
    task="general",
    outputs=(Tensor(name="mean", dtype="float32"), Tensor(name="words", dtype="text", shape=(2,))),
)
HASH = " --hash=sha256:" + "ab" * 32


class TestWhatAClassIsGiven:
    def test_every_type_of_column_and_a_tensor(self) -> None:
        signature = Signature(
            inputs=(
                Column(name="number", type="number", nullable=True),
                Column(name="boolean", type="boolean"),
                Column(name="maybe", type="boolean", nullable=True),
                Column(name="category", type="category", categories=("a", "b"), nullable=True),
                Column(name="open", type="category", categories=("a",)),
                Column(name="since", type="datetime", nullable=True),
                Column(name="text", type="text", nullable=True),
            ),
            tensors=(Tensor(name="image", dtype="uint8", shape=(2,)),),
            task="regression",
        )
        row = {
            "number": 1.5,
            "boolean": True,
            "maybe": False,
            "category": "b",
            "open": "a",
            "text": "é",
            "image": [1, 2],
        }
        missing = {"number": None, "boolean": False, "maybe": None, "category": None, "open": "z", "text": None}
        rows = [{**row, "since": "1969-12-31T23:59:59.000001Z"}, {**missing, "since": None, "image": [3, 4]}]
        cells = Reader(signature).rows(rows)
        found = columns_of(cells, signature)
        assert list(found) == [*signature.names]
        assert found["number"].tolist()[0] == 1.5
        assert np.isnan(found["number"][1])
        assert found["boolean"].tolist() == [True, False]
        assert found["boolean"].dtype == np.bool_
        assert found["maybe"].tolist() == [False, None]
        assert found["category"].tolist() == ["b", None]
        assert found["open"].tolist() == ["a", None]
        assert found["text"].tolist() == ["é", None]
        assert found["since"][0] == np.datetime64("1969-12-31T23:59:59.000001")
        assert np.isnat(found["since"][1])
        assert found["image"].dtype == np.uint8
        assert all(len(array) == 2 for array in found.values())
        found["image"][0, 0] = 9
        found["number"][0] = 9
        assert cells.tensors["image"][0, 0] == 1
        assert cells.numbers[0, 0] == 1.5

    @given(st.lists(st.datetimes().map(lambda moment: moment.isoformat()), min_size=1, max_size=5))
    def test_moments_of_the_last_century_and_this_keep_their_microseconds(self, moments: list[str]) -> None:
        moments = [f"{1900 + int(moment[:4]) % 200}{moment[4:]}".replace("-02-29", "-02-28") for moment in moments]
        signature = Signature(inputs=(Column(name="at", type="datetime"),), task="regression")
        found = columns_of(Reader(signature).rows([{"at": moment} for moment in moments]), signature)["at"]
        assert found.tolist() == np.array(moments, dtype="datetime64[us]").tolist()


class TestWhatAClassMayAnswer:
    def test_values_probabilities_labels_and_outputs(self) -> None:
        assert answers_of([1, 2], 2, VALUE, "m:C").values.tolist() == [1.0, 2.0]
        assert answers_of(np.array([1, 2], dtype=np.float32), 2, VALUE, "m:C").values.dtype == np.float64
        assert answers_of([[0.25, 0.75]], 1, TWO, "m:C").probabilities.tolist() == [[0.25, 0.75]]
        assert answers_of(["good", "bad"], 2, TWO, "m:C").labels.tolist() == [1, 0]
        assert answers_of(np.array(["good"]), 1, TWO, "m:C").labels.tolist() == [1]
        assert answers_of(np.array([True]), 1, BOOLEAN, "m:C").labels.tolist() == [1]
        assert answers_of(np.array([7, 0]), 2, INTEGER, "m:C").labels.tolist() == [2, 0]
        single = np.array([[1 / 3, 2 / 3]], dtype=np.float32)
        assert answers_of(single, 1, TWO, "m:C").probabilities.shape == (1, 2)
        outputs = answers_of({"mean": [1, 2], "words": [["a", "b"], ["c", "d"]]}, 2, OUTPUTS, "m:C").outputs
        assert outputs["mean"].dtype == np.float32
        assert outputs["words"].tolist() == [["a", "b"], ["c", "d"]]

    @pytest.mark.parametrize(
        ("signature", "given", "said"),
        [
            (VALUE, None, "gave NoneType"),
            (VALUE, "12", "gave str"),
            (VALUE, {"x": 1}, "gave dict"),
            (VALUE, [1.0], r"shape \(1,\) for 2 rows: it gives one value a row, of shape \(2,\)"),
            (VALUE, [[1.0], [2.0]], r"shape \(2, 1\)"),
            (VALUE, 3.0, r"shape \(\)"),
            (VALUE, [1.0, float("nan")], "NaN or infinity for row 1"),
            (VALUE, [float("inf"), 1.0], "NaN or infinity for row 0"),
            (VALUE, ["1", "2"], "where `predict` gives one number a row"),
            (VALUE, [True, False], "gave bool where"),
            (VALUE, [1 + 2j, 1], "gave complex128 where"),
            (VALUE, [[1], [1, 2]], "rows differ in size"),
            (TWO, [[0.5, 0.5]], r"shape \(1, 2\) for 2 rows"),
            (TWO, [[0.2, 0.3, 0.5]] * 2, "a label a column"),
            (TWO, [[0.5, 0.5], [0.5, 0.6]], "row 1 numbers that are no probabilities"),
            (TWO, [[-0.5, 1.5]] * 2, "row 0 numbers that are no probabilities"),
            (TWO, ["good", "god"], "row 1 a str that is none of the labels: 'bad', 'good'"),
            (TWO, [1, 0], "row 0 a int that is none of the labels"),
            (BOOLEAN, [1, 0], "row 0 a int that is none"),
            (INTEGER, [True, False], "row 0 a bool that is none"),
            (INTEGER, [1.0, 7.0], "row 0 a float that is none"),
            (OUTPUTS, [1.0, 2.0], r"gave list where `predict` gives a dictionary of \['mean', 'words'\]"),
            (OUTPUTS, {"mean": [1, 2]}, r"gave \['mean'\] where"),
            (OUTPUTS, {"mean": [1], "words": [["a", "b"]] * 2}, r"'mean', gave an array of shape \(1,\) for 2 rows"),
            (OUTPUTS, {"mean": [1, 2], "words": [["a"]] * 2}, r"'words', gave an array of shape \(2, 1\)"),
            (OUTPUTS, {"mean": [1, 2], "words": [["a", 1]] * 2}, "something else than text"),
            (OUTPUTS, {"mean": ["a", "b"], "words": [["a", "b"]] * 2}, "where it is to give float32"),
            (OUTPUTS, {"mean": [1e300, 1], "words": [["a", "b"]] * 2}, "NaN or infinity for row 0"),
        ],
    )
    def test_all_else_is_an_error_that_names_the_class(self, signature: Signature, given: Any, said: str) -> None:
        with pytest.raises(ClassFault, match=said) as refused:
            answers_of(given, 2, signature, "m:C")
        assert "m:C" in str(refused.value)


class TestTrust:
    FILES = {CODE: b"zip", REQUIREMENTS: b"lock", CLASS: b"{}"}  # noqa: RUF012 - never changed

    def test_the_code_id_follows_what_holds_code_and_nothing_else(self) -> None:
        code = code_id(Draft(self.FILES).manifest())
        assert code_id(Draft({**self.FILES, "golden.json": b"1"}, {"report.html": b"2"}).manifest()) == code
        for name in self.FILES:
            assert code_id(Draft({**self.FILES, name: b"other"}).manifest()) != code

    def test_an_attestation_does_not_stand_in_for_a_file_of_the_content(self) -> None:
        content = {name: data for name, data in self.FILES.items() if name != CODE}
        with pytest.raises(PackageCorrupt, match=CODE):
            code_id(Draft(content, {CODE: b"zip"}).manifest())

    def test_only_the_very_id_is_trusted(self) -> None:
        manifest = Draft(self.FILES).manifest()
        code = code_id(manifest)
        require(manifest, [code])
        for trusted in ([], ["pricing"], [code.upper()], [code[:-1]], [f"{code} "]):
            with pytest.raises(UntrustedCode, match=r"operator\.toml"):
                require(manifest, trusted)

    @pytest.mark.parametrize("name", ["m:C", "a.b_c:D.E", "_m1:C2"])
    def test_names_of_classes(self, name: str) -> None:
        assert ClassSpec(name=name, python="3.11").checked().name == name

    @pytest.mark.parametrize(
        "name", ["", "m", "m:", ":C", "a/b:C", "a..b:C", "m:C()", "os;x:C", "m:C\n", "mainstay.m:C"]
    )
    def test_what_names_no_class_is_refused(self, name: str) -> None:
        with pytest.raises(BadClass):
            ClassSpec(name=name, python="3.11").checked()

    @pytest.mark.parametrize("python", ["", "3", "2.7", "3.10", "3.9", ">=3.11", "3.11.7", "3.11 -c"])
    def test_what_is_no_python_is_refused(self, python: str) -> None:
        with pytest.raises(BadClass):
            ClassSpec(name="m:C", python=python).checked()


class TestLockedRequirements:
    def test_what_uv_and_pip_compile_write_is_read(self) -> None:
        text = (
            "# a note\n\n"
            f"Foo_Bar==1.0 \\\n   {HASH} \\\n   {HASH}\n    # via x\n"
            f"b[all]==2!1.0+cpu ; sys_platform == 'linux' and python_version >= '3.11' {HASH}\r\n"
        )
        found = locked(text, needed=("foo-bar",))
        assert [(p.name, p.version, p.hashes) for p in found] == [("foo-bar", "1.0", 2), ("b", "2!1.0+cpu", 1)]
        assert found[1].marker.startswith("sys_platform")

    @pytest.mark.parametrize(
        "line",
        [
            "a",
            "a==1.0",
            f"a>=1.0{HASH}",
            f"a==1.*{HASH}",
            f"a @ https://example.com/a.whl{HASH}",
            f"./a.whl{HASH}",
            "-e .",
            "-r more.txt",
            "--no-binary tariff",
            f"a==1.0 --no-binary tariff{HASH}",
            f"a==1.0{HASH} --no-binary tariff",
            "a==1.0 --hash=md5:" + "a" * 32,
            "a==1.0 --hash=sha256:" + "a" * 63,
            f"a==1.0{HASH} b==2.0",
        ],
    )
    def test_what_is_not_locked_or_says_more_is_refused(self, line: str) -> None:
        with pytest.raises(BadRequirements):
            locked(f"numpy==1.0{HASH}\n{line}\n")

    def test_what_has_to_be_there_is_asked_for(self) -> None:
        with pytest.raises(BadRequirements, match="do not hold 'msgspec'"):
            locked(f"numpy==1.0{HASH}\n", needed=("msgspec", "numpy"))
