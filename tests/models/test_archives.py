"""Folders as one file of a package: the same bytes for the same tree, and nothing else is taken apart."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models import archives
from mainstay.models.archives import BadArchive, archive_of, files_in, packed, unpack

TREE = {"model.py": b"class Model: pass\n", "weights/a.bin": bytes(range(256)), "weights/empty": b"", "größe.txt": b"x"}


def written(files: dict[str, bytes], folder: Path) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def read_back(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


names = st.text(st.sampled_from("aAbé._- ß\u0301\n"), min_size=1, max_size=4)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=64), min_size=1, max_size=4
)
BAD_PATHS = [
    *("/etc/passwd", "../up", "a/../../up", "a//b", "./a", "a/", "", "..", "C:\\x", "a\\b", "a:b", "a\0b", "a\nb"),
    *("a\u202eb", "e\u0301", "x" * 256, "/".join("d" * 40), "/".join(["y" * 200] * 6)),
]


class TestPacking:
    def test_a_folder_comes_back_as_it_was(self, tmp_path: Path) -> None:
        unpack(packed(written(TREE, tmp_path / "in")), tmp_path / "out")
        assert read_back(tmp_path / "out") == TREE

    def test_the_same_tree_has_the_same_bytes_whatever_its_dates_modes_and_order(self, tmp_path: Path) -> None:
        one = written(TREE, tmp_path / "one")
        other = written(dict(reversed(TREE.items())), tmp_path / "other")
        (other / "model.py").chmod(0o755)
        os.utime(other / "model.py", (1, 1))
        (other / "nothing-in-it").mkdir()
        assert packed(one) == packed(other)

    def test_other_programs_read_it(self) -> None:
        with zipfile.ZipFile(io.BytesIO(archive_of(TREE))) as file:
            assert file.testzip() is None
            assert {name: file.read(name) for name in file.namelist()} == TREE

    def test_what_is_left_out_is_not_looked_into(self, tmp_path: Path) -> None:
        folder = written(TREE, tmp_path / "in")
        (folder / ".venv").mkdir()
        (folder / ".venv" / "python").symlink_to("/usr/bin/python3")
        assert packed(folder, lambda path: path == ".venv") == archive_of(TREE)

    @given(trees)
    def test_every_tree_comes_back_or_is_refused_both_ways(self, files: dict[str, bytes]) -> None:
        try:
            archive = archive_of(files)
        except BadArchive:
            with pytest.raises(BadArchive):
                files_in(_raw(files))
        else:
            assert {path: bytes(data) for path, data in files_in(archive).items()} == files

    def test_links_and_pipes_are_refused(self, tmp_path: Path) -> None:
        for make in (
            lambda path: path.symlink_to("/etc/passwd"),
            lambda path: path.symlink_to(tmp_path, target_is_directory=True),
            os.mkfifo,
        ):
            folder = written(TREE, tmp_path / "in")
            make(folder / "odd")
            with pytest.raises(BadArchive, match="odd is"):
                packed(folder)
            (folder / "odd").unlink()

    def test_an_empty_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadArchive, match="no file"):
            packed(tmp_path)

    def test_too_many_and_too_large_are_refused_before_they_are_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = written(TREE, tmp_path / "in")
        with (folder / "large").open("wb") as file:
            file.truncate(archives.MOST_BYTES + 1)  # a hole: it takes no room on the disk
        with pytest.raises(BadArchive, match="bytes"):
            packed(folder)
        (folder / "large").unlink()
        monkeypatch.setattr(archives, "MOST_FILES", 3)
        with pytest.raises(BadArchive, match="more than 3 files"):
            packed(folder)
        with pytest.raises(BadArchive, match="more than 3 files"):
            files_in(_raw({f"{n}": b"" for n in range(4)}))

    @pytest.mark.parametrize("path", BAD_PATHS)
    def test_paths_that_leave_the_folder_or_cannot_be_everywhere_are_refused(self, path: str, tmp_path: Path) -> None:
        with pytest.raises(BadArchive):
            archive_of({path: b"x"})
        with pytest.raises(BadArchive):
            unpack(_raw({path: b"x"}), tmp_path / "deep" / "out")
        assert list((tmp_path).rglob("*")) in ([], [tmp_path / "deep"])

    @pytest.mark.parametrize(
        "files", [("a.py", "A.py"), ("a", "a/b"), ("a/x", "A/y"), ("straße", "STRASSE")], ids=lambda files: files[0]
    )
    def test_names_that_clash_on_some_machines_are_refused(self, files: tuple[str, ...]) -> None:
        tree = dict.fromkeys(files, b"x")
        with pytest.raises(BadArchive, match="rename one"):
            archive_of(tree)
        with pytest.raises(BadArchive, match="rename one"):
            files_in(_raw(tree))


class TestHostileArchives:
    def test_only_the_very_bytes_that_packing_writes_are_read(self, tmp_path: Path) -> None:
        good = archive_of(TREE)
        end = len(good) - 22
        shapes = {
            "empty": b"",
            "no zip": b"GIF89a" + good,
            "before it": b"#!/bin/sh\n" + good,
            "after it": good + b"x",
            "cut": good[:-1],
            "cut in a header": good[:20],
            "cut in a file": good[:60],
            "a comment": good[:-2] + struct.pack("<H", 2) + b"hi",
            "another count": good[: end + 10] + b"\xff\xff" + good[end + 12 :],
            "another place": good[: end + 16] + b"\0\0\0\0" + good[end + 20 :],
            "twice over": good + good,
            "a directory alone": good[good.index(b"PK\x01\x02") :],
        }
        for name, data in shapes.items():
            with pytest.raises(BadArchive):
                unpack(data, tmp_path / "out")
            assert not list(tmp_path.iterdir()), name

    @given(st.data())
    def test_no_changed_byte_goes_unseen(self, data: st.DataObject) -> None:
        good = archive_of(TREE)
        at = data.draw(st.integers(0, len(good) - 1))
        other = data.draw(st.integers(1, 255))
        with pytest.raises(BadArchive):
            files_in(good[:at] + bytes([good[at] ^ other]) + good[at + 1 :])

    @given(st.binary(max_size=200))
    def test_whatever_comes_is_refused_in_a_sentence(self, noise: bytes) -> None:
        with pytest.raises(BadArchive):
            files_in(b"PK\x03\x04" + noise)

    def test_links_devices_and_set_user_bits_are_refused(self) -> None:
        for mode in (stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666, stat.S_IFIFO | 0o644, stat.S_IFREG | 0o4755):
            with pytest.raises(BadArchive):
                files_in(_zipped({"a": b"/etc/passwd"}, mode=mode))

    def test_what_grows_when_it_is_unpacked_is_refused(self) -> None:
        bomb = _zipped({"a": bytes(50_000_000)}, method=zipfile.ZIP_DEFLATED)
        assert len(bomb) < 100_000
        with pytest.raises(BadArchive):
            files_in(bomb)

    def test_files_that_share_their_bytes_are_refused(self) -> None:
        """Many entries of the directory name one stored file: small in the archive, large when it is unpacked."""
        one = archive_of({"a": b"x" * 1000})
        start = one.index(b"PK\x01\x02")
        entry = one[start:-22]
        many = b"".join(entry[:-1] + bytes([97 + n]) for n in range(20))
        end = archives._END.pack(b"PK\x05\x06", 0, 0, 20, 20, len(many), start, 0)
        with pytest.raises(BadArchive):
            files_in(one[:start] + many + end)

    def test_the_same_name_twice_is_refused(self) -> None:
        header = archives._local("a", b"x") + b"x"
        with pytest.raises(BadArchive, match="twice"):
            files_in(header + header)

    def test_nothing_that_is_there_is_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("kept")
        with pytest.raises(OSError, match="not empty"):
            unpack(archive_of(TREE), tmp_path / "out")
        assert read_back(tmp_path) == {"out/mine": b"kept"}


def _raw(files: dict[str, bytes]) -> bytes:
    """An archive as `archive_of` writes it, of whatever paths."""
    parts, places, at = [], [], 0
    for path, data in sorted(files.items()):
        header = archives._local(path, data)
        places.append(at)
        parts += [header, data]
        at += len(header) + len(data)
    return b"".join(parts) + archives._directory(files, places, at)


def _zipped(files: dict[str, bytes], *, mode: int = 0o644, method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, method
            file.writestr(entry, data)
    return made.getvalue()
