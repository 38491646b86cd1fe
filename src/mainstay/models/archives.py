"""A folder as one file of a package: a zip in which there is one way only to write down a given tree.

The tree decides every byte (sorted names, no compression, one date, one mode), so that the same files have the same
hash wherever they are packed. For the same reason nothing else is ever read: an archive is taken apart only if
packing what is in it gives the same bytes again, header for header. So there are no links, devices, hidden entries,
second directories or overlapping files in it, and nothing that grows when it is unpacked.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mainstay.errors import MainstayError

MOST_FILES = 10_000
MOST_BYTES = 2 << 30
"""Of an archive: it is read into memory as a whole, as every file of a package is."""
LONGEST_NAME, LONGEST_PATH, DEEPEST = 255, 1024, 32
"""Bytes of one name and of a whole path, and how many names a path has: what every file system takes."""

# APPNOTE.TXT 6.3.10 of the zip format, sections 4.3.7, 4.3.12 and 4.3.16.
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_NEEDED, _MADE_BY = 10, 3 << 8 | 10  # version 1.0; made on Unix
_UTF8, _STORED = 1 << 11, 0
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01, the first day that a zip knows
_MODE = (stat.S_IFREG | 0o644) << 16


class BadArchive(MainstayError):
    """A folder that cannot be packed, or an archive that `packed` did not write."""


def packed(folder: Path, leave_out: Callable[[str], bool] = lambda path: False) -> bytes:
    """The archive of a folder's files; empty folders, owners, dates and modes are not kept.

    Args:
        folder: a folder of regular files and folders.
        leave_out: whether a file or a whole folder, by its path in `folder` ("a/b"), stays out.

    Raises:
        BadArchive: it holds a link or a device, a name that not every machine can have, too much, or nothing.
        OSError: as reading does.
    """
    return archive_of(dict(_read(folder, leave_out)))


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """The archive of files, by path. Raises BadArchive for paths that cannot be, too much, or nothing."""
    _check(files)
    parts: list[bytes] = []
    places: list[int] = []
    at = 0
    for path, data in sorted(files.items()):
        header = _local(path, data)
        places.append(at)
        parts += (header, data)
        at += len(header) + len(data)
    return b"".join((*parts, _directory(files, places, at)))


def files_in(archive: bytes) -> dict[str, memoryview]:
    """The files of an archive, by path, each a view of its bytes.

    Raises:
        BadArchive: it is not, byte for byte, what `packed` writes.
    """
    found: dict[str, memoryview] = {}
    places: list[int] = []
    view, at = memoryview(archive), 0
    while archive[at : at + 4] == b"PK\x03\x04":
        path, start, end = _entry_at(archive, at)
        if path in found:
            raise BadArchive(f"The archive holds {path!r} twice.")
        if len(found) == MOST_FILES:
            raise BadArchive(f"The archive holds more than {MOST_FILES:,} files.")
        data = view[start:end]
        if archive[at:start] != _local(path, data):
            raise BadArchive(f"{path!r} of the archive is not stored as Mainstay stores files: pack it again.")
        found[path] = data
        places.append(at)
        at = end
    _check(found)
    if list(found) != sorted(found) or view[at:] != _directory(found, places, at):
        raise BadArchive("The archive's directory is not that of its files: it is damaged, or another program's.")
    return found


def unpack(archive: bytes, into: Path) -> None:
    """Writes the files of an archive into a new folder, which appears whole or not at all.

    Raises:
        BadArchive: as `files_in`.
        OSError: as writing does; something is at `into` already (an empty folder is replaced).
    """
    files = files_in(archive)
    into.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    try:
        for path, data in files.items():
            target = draft / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write(data)
        draft.chmod(0o755)
        draft.rename(into)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _read(folder: Path, leave_out: Callable[[str], bool], inside: str = "") -> Iterator[tuple[str, bytes]]:
    """Every file below a folder with its path, bounded as it is read."""
    count = size = 0
    for path, place in _walk(folder, leave_out, inside):
        count, size = count + 1, size + place.lstat().st_size
        if count > MOST_FILES or size > MOST_BYTES:
            raise _too_much(str(folder))
        yield path, _bytes_of(place)


def _walk(folder: Path, leave_out: Callable[[str], bool], inside: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = inside + entry.name
            if leave_out(path):
                continue
            if entry.is_symlink():
                raise BadArchive(f"{entry.path} is a link, which is not packed: put a copy of the file in its place.")
            if entry.is_dir():
                yield from _walk(Path(entry.path), leave_out, f"{path}/")
            elif entry.is_file():
                yield path, Path(entry.path)
            else:
                raise BadArchive(f"{entry.path} is neither a file nor a folder, and cannot be packed: remove it.")


def _bytes_of(path: Path) -> bytes:
    # What was a file a moment ago may be a link by now: then it is not followed.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as file:  # noqa: PTH123 - of a handle, not of a path
        return file.read()


def _entry_at(archive: bytes, at: int) -> tuple[str, int, int]:
    """The path of the file whose header stands at `at`, and where its bytes start and end."""
    if at + _LOCAL.size > len(archive):
        raise BadArchive("The archive ends in the middle of a file: it is damaged.")
    fields = _LOCAL.unpack_from(archive, at)
    size, name_length, extra = fields[7], fields[9], fields[10]
    start = at + _LOCAL.size + name_length
    if extra or start + size > len(archive):
        raise BadArchive("The archive ends in the middle of a file, or holds more than files: it is damaged.")
    try:
        return archive[at + _LOCAL.size : start].decode("utf-8"), start, start + size
    except UnicodeDecodeError:
        raise BadArchive("The archive holds a file whose name is no text: it is damaged.") from None


def _local(path: str, data: bytes | memoryview) -> bytes:
    name = path.encode("utf-8")
    said = (_NEEDED, _UTF8, _STORED, _TIME, _DATE, zlib.crc32(data), len(data), len(data), len(name), 0)
    return _LOCAL.pack(b"PK\x03\x04", *said) + name


def _directory(files: Mapping[str, bytes | memoryview], places: list[int], at: int) -> bytes:
    """The central directory of files that begin at `places`, to stand at `at`."""
    entries: list[bytes] = []
    for (path, data), place in zip(sorted(files.items()), places, strict=True):
        name = path.encode("utf-8")
        said = (_MADE_BY, _NEEDED, _UTF8, _STORED, _TIME, _DATE, zlib.crc32(data), len(data), len(data), len(name))
        entries.append(_CENTRAL.pack(b"PK\x01\x02", *said, 0, 0, 0, 0, _MODE, place) + name)
    listed = b"".join(entries)
    return listed + _END.pack(b"PK\x05\x06", 0, 0, len(files), len(files), len(listed), at, 0)


def _check(files: Mapping[str, bytes | memoryview]) -> None:
    """Raises BadArchive for a tree that not every machine can hold, or that is none."""
    if not files:
        raise BadArchive("There is no file to pack, or in the archive.")
    if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
        raise _too_much("The archive")
    folders: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for path in files:
        _check_path(path)
        parents = path.split("/")[:-1]
        for depth in range(len(parents)):
            parent = "/".join(parents[: depth + 1])
            if folders.setdefault(_same(parent), parent) != parent:
                raise BadArchive(
                    f"{parent!r} and {folders[_same(parent)]!r} are one folder on some machines: rename one."
                )
        if spelled.setdefault(_same(path), path) != path:
            raise BadArchive(f"{path!r} and {spelled[_same(path)]!r} are one file on some machines: rename one.")
    if both := spelled.keys() & folders.keys():
        raise BadArchive(f"{folders[min(both)]!r} is both a file and a folder: rename one.")


def _check_path(path: str) -> None:
    """Raises BadArchive unless a path stays where it is unpacked, under a name that every machine takes."""
    names = path.split("/")
    plain = path.isprintable() and not any(sign in path for sign in "\\:")
    # A name in another normal form is another file here, and the same one elsewhere.
    if not plain or unicodedata.normalize("NFC", path) != path or any(name in ("", ".", "..") for name in names):
        raise BadArchive(
            f"{path!r} cannot be the path of a packed file: use plain names, joined by '/', without '\\', ':', '.' "
            "or '..' as a name, or signs that cannot be seen."
        )
    longest = max(len(name.encode()) for name in names)
    if len(names) > DEEPEST or longest > LONGEST_NAME or len(path.encode()) > LONGEST_PATH:
        raise BadArchive(
            f"{path[:80]!r} is too long or too deep a path: at most {DEEPEST} names of {LONGEST_NAME} bytes, and "
            f"{LONGEST_PATH} bytes in all."
        )


def _same(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def _too_much(what: str) -> BadArchive:
    return BadArchive(f"{what} holds more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes: leave some out.")
