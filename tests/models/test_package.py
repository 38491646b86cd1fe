"""A package is its bytes: what changes is noticed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.errors import MainstayError
from mainstay.models.golden import TOLERANCE, close, largest_difference
from mainstay.models.package import Draft, Manifest, Package, PackageCorrupt, encoded

FILES = st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,9}", fullmatch=True), st.binary(), max_size=4)


@given(FILES)
def test_files_come_back_as_they_were(files):
    package = Draft(content=files).package()
    assert {name: package.read(name) for name in files} == files


@given(FILES, FILES)
def test_only_content_decides_the_content_id(content, notes):
    notes = {f"z{name}": data for name, data in notes.items() if f"z{name}" not in content}
    assert Draft(content, notes).manifest().content_id == Draft(content).manifest().content_id


def test_another_byte_is_another_content_id():
    one, two = (Draft({"model.onnx": data}).manifest().content_id for data in (b"a", b"b"))
    assert one != two


def test_a_changed_file_is_refused():
    draft = Draft({"model.onnx": b"right"})
    package = Package(draft.manifest(), lambda sha: b"wrong")
    with pytest.raises(PackageCorrupt, match="was changed after it was registered"):
        package.read("model.onnx")


def test_a_lost_file_is_refused():
    def lost(sha: str) -> bytes:
        raise FileNotFoundError(sha)

    with pytest.raises(PackageCorrupt, match="cannot be read"):
        Package(Draft({"model.onnx": b"x"}).manifest(), lost).read("model.onnx")


def test_a_document_that_is_none_is_refused():
    package = Draft({"model.json": b'{"format": "pickle", "file": "x"}'}).package()
    with pytest.raises(PackageCorrupt, match="cannot be understood"):
        _ = package.spec


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b", "", "UPPER", ".hidden"])
def test_a_file_name_is_plain(name):
    with pytest.raises(MainstayError, match="cannot be a file name"):
        Draft({name: b""}).manifest()


def test_a_file_has_one_place():
    with pytest.raises(MainstayError, match="choose one"):
        Draft({"a": b""}, {"a": b""}).manifest()


@given(FILES)
def test_a_manifest_survives_a_round_trip(files):
    import msgspec

    manifest = Draft(files).manifest()
    assert msgspec.json.decode(encoded(manifest), type=Manifest) == manifest


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_closeness_is_relative_above_one_and_absolute_below(numbers):
    assert largest_difference(numbers, numbers) == 0.0
    moved = [number + 10 * TOLERANCE * max(1.0, abs(number)) for number in numbers]
    assert not close(moved, numbers)


def test_missing_values_are_equal_to_missing_values_only():
    assert close([math.nan], [math.nan])
    assert not close([math.nan], [1.0])
    assert not close([1.0], [math.nan])
    assert not close([1.0, 2.0], [1.0])
    assert close([math.inf], [math.inf])
    assert not close([math.inf], [1.0])
