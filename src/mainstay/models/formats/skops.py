"""Native scikit-learn models, kept with skops: no pickle, and no type restored that the operator does not trust.

Beside skops' own list of what it restores and `plain_types`, the trusted types come from whoever runs the process,
never from the package: a file that brings its own trust has none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from skops import io

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.formats.frames import FRAME, FrameSpec, frame_of, native
from mainstay.models.formats.native import native_answers
from mainstay.models.formats.plain_types import PLAIN
from mainstay.models.formats.skops_bytes import canonical, forget_counts
from mainstay.models.package import Package
from mainstay.models.signature import Cells, InputError, Signature

FILE = "model.skops"


class UntrustedTypes(MainstayError):
    """A file would restore types that the operator does not trust."""

    def __init__(self, types: Sequence[str], *, why: str = "") -> None:
        self.types = tuple(types)
        listed = ", ".join(name if name.isprintable() else repr(name) for name in self.types)
        native = f" (it is kept as it is, since {why[:1].lower()}{why[1:]})" if why else ""
        super().__init__(
            f"The model's file holds types that are not trusted{native}: {listed}; "
            "if you know who made the file, write each of these names on a line of its own in trust.txt beside "
            "mainstay.toml (or in the file that --trust or MAINSTAY_TRUST names)."
        )


class BadSkopsFile(MainstayError):
    """A file that skops cannot read; nothing of it was restored."""


class SkopsRunner:
    """A native estimator: behind an encoder, or a whole pipeline that takes its own table."""

    def __init__(self, estimator: Any, signature: Signature, frame: FrameSpec | None) -> None:
        self._estimator, self._signature, self._frame = estimator, signature, frame

    def run(self, cells: Cells, features: Any | None) -> Answers:
        """Scores of n rows.

        Raises:
            InputError: the model refuses the rows, for an unseen category for example.
        """
        if features is not None:
            return self._asked(features)
        if self._frame is None:
            raise MainstayError("The package has neither an encoder nor a table for its native model.")
        table = native(frame_of(cells, self._signature, self._frame), self._frame)
        return self._asked(table)

    def _asked(self, rows: Any) -> Answers:
        try:
            return native_answers(self._estimator, rows, self._signature)
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
            # What a fitted estimator, and a person's own step in it, raise for values that they do not take.
            said = (str(error).splitlines() or [""])[0] or type(error).__name__
            raise InputError(f"The model itself refuses these rows: {said}") from error


def save(estimator: Any) -> bytes:
    """The file of a fitted estimator.

    Raises:
        MainstayError: skops cannot write it, or what it wrote cannot be read.
    """
    forget_counts(estimator)
    with _said_plainly():
        data = canonical(io.dumps(estimator))
    types = untrusted(data)
    if local := [name for name in types if name.startswith("__main__.")]:
        raise MainstayError(
            f"The model holds {local[0].removeprefix('__main__.')!r}, defined in a notebook or script, which no "
            "server can import: move it to a module of its own, import it from there and fit the model again."
        )
    with _said_plainly():
        io.loads(data, trusted=[*types, *PLAIN])  # our own object, a moment ago: nothing to fear
    return data


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # skops raises whatever the object's own parts raise
        raise MainstayError(
            f"skops cannot keep this model ({error}): give its own classes and functions a name in a module that can "
            "be imported."
        ) from error


def untrusted(data: bytes) -> tuple[str, ...]:
    """The types in a file that need somebody's trust, sorted: those that neither skops nor `plain_types` names.

    Raises:
        BadSkopsFile: it is no file of skops, or one that was made to mislead.
    """
    with _read_soundly():
        return tuple(sorted({*io.get_untrusted_types(data=data)} - PLAIN))


def restored(data: bytes, trusted: Sequence[str]) -> Any:
    """The estimator of a file.

    Raises:
        UntrustedTypes: it holds types that are not in `trusted`.
        BadSkopsFile: as `untrusted`.
    """
    if refused := [name for name in untrusted(data) if name not in set(trusted)]:
        raise UntrustedTypes(refused)
    with _read_soundly():
        return io.loads(data, trusted=[*trusted, *PLAIN])


@contextlib.contextmanager
def _read_soundly() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # skops raises whatever a malformed document leads it to
        said = " ".join(str(error).split())[:200]
        raise BadSkopsFile(
            f"This file of skops cannot be read ({type(error).__name__}: {said}): it is damaged, was made to mislead, "
            "or needs other versions of its libraries."
        ) from error


def load(package: Package, *, trusted: tuple[str, ...] = ()) -> SkopsRunner:
    """The runner of a package whose model is kept with skops.

    Raises:
        UntrustedTypes: it holds types that are not in `trusted`.
        PackageCorrupt: a file is missing or was changed.
    """
    estimator = restored(package.read(package.spec.file), trusted)
    frame = package.document(FRAME, FrameSpec) if FRAME in package else None
    return SkopsRunner(estimator, package.signature, frame)
