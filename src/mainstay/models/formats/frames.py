"""Between a person's own tables (DataFrame, array, series of texts) and cells.

`take` reads what a signature must know of a table; `frame_of` builds from cells the very table that a native model
was trained on, with its types, so that the model can be asked. Nothing may be lost on the way: `same` proves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd

from mainstay.models.signature import MAX_EXACT_INTEGER, Cells, Column, Reader, Signature, SignatureError

FRAME = "frame.json"
"""In a package whose model takes the raw columns: how its table is built."""
NEVER_SEEN = "(never seen)"
"""What stands for an unseen category in a native table; a longer one where this is a category."""


class FrameColumn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of a native table."""

    name: str
    dtype: str
    """As pandas spells it; "category" has its own list."""
    categories: tuple[str | int, ...] = ()
    ordered: bool = False
    missing: Literal["nan", "none", "na"] = "nan"
    """What stands for a missing text."""


class FrameSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The native table: a DataFrame, an array of `dtype`, or one series of texts."""

    columns: tuple[FrameColumn, ...]
    container: Literal["frame", "array", "series"] = "frame"
    dtype: str = ""


@dataclass(frozen=True)
class Taken:
    """What was read of a person's table. `inputs` has texts for strings, as a model without an encoder takes them."""

    frame: pd.DataFrame
    spec: FrameSpec
    inputs: tuple[Column, ...]


def take(X: Any, names: Sequence[str] = ()) -> Taken:
    """Reads a table: names, types, categories, ranges, missing values.

    Args:
        X: a pandas DataFrame; a two-dimensional array or list, whose columns are named x0 to xN; or a series, array or
            list of texts, one column.
        names: of the columns, where X has none; where it has some, the same.

    Raises:
        SignatureError: names that are no text or stand twice, or contradict those of X; types that a signature cannot
            hold; or no rows.
    """
    frame, container, dtype = _framed(X)
    if names:
        frame = _named(frame, tuple(names), own=isinstance(X, pd.DataFrame))
    for name in frame.columns:
        if not isinstance(name, str):
            raise SignatureError(
                f"Column names must be texts, and {name!r} is not: rename it, for example with "
                "X.columns = X.columns.astype(str), and fit the model again."
            )
        if not name.strip():
            raise SignatureError("A column of X has an empty name: name it, and fit the model again.")
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise SignatureError(f"Column {name!r} stands more than once in X: rename one of them and fit the model again.")
    if not len(frame) or not len(frame.columns):
        raise SignatureError("X has no rows or no columns: give the rows that the model was trained on.")
    columns = [_taken(frame[name]) for name in frame.columns]
    return Taken(
        frame,
        FrameSpec(columns=tuple(native for native, _ in columns), container=container, dtype=dtype),
        tuple(column for _, column in columns),
    )


def _named(frame: pd.DataFrame, names: tuple[str, ...], *, own: bool) -> pd.DataFrame:
    if own and tuple(frame.columns) != names:
        listed = ", ".join(map(repr, frame.columns))
        raise SignatureError(f"X names its columns itself, {listed}: leave columns out, or give these, in their order.")
    if len(names) != len(frame.columns):
        raise SignatureError(f"X has {len(frame.columns)} columns, and columns names {len(names)}: name each of them.")
    return frame.set_axis(list(names), axis=1)


def as_categories(taken: Taken, positions: Sequence[int]) -> Taken:
    """The table with the columns at these places as categories, in the order of their texts: those of texts and of
    whole numbers, which a model takes as names of things."""
    inputs = list(taken.inputs)
    for position in positions:
        series, column = taken.frame.iloc[:, position], inputs[position]
        whole = column.type == "number" and pd.api.types.is_integer_dtype(series.dtype)
        if column.type == "text" or whole:
            counts = series.value_counts()
            inputs[position] = Column(
                name=column.name,
                type="category",
                nullable=column.nullable,
                categories=tuple(sorted(str(value) for value in counts.index)),
                typical=str(counts.index[0]) if len(counts) else None,
            )
    return replace(taken, inputs=tuple(inputs))


def retaken(X: Any, taken: Taken) -> pd.DataFrame:
    """Further rows, as a DataFrame with the names of `taken`.

    Raises:
        SignatureError: columns are missing, or there are further ones.
    """
    frame, _, _ = _framed(X)
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise SignatureError(f"Column {name!r} stands more than once in the test rows: leave one of them out.")
    names = [column.name for column in taken.spec.columns]
    if taken.spec.container != "frame":
        if len(frame.columns) != len(names):
            raise SignatureError(f"The test rows have {len(frame.columns)} columns, but X has {len(names)}.")
        return frame.set_axis(names, axis=1)
    for name in names:
        if name not in frame.columns:
            raise SignatureError(f"The test rows have no column {name!r}, but X has.")
    if further := [name for name in frame.columns if name not in names]:
        raise SignatureError(f"The test rows have a column {further[0]!r}, which X has not: leave it out.")
    return frame[names]


def native(frame: pd.DataFrame, spec: FrameSpec) -> Any:
    """The table as its model was given it."""
    if spec.container == "series":
        return frame.iloc[:, 0]
    if spec.container == "frame":
        return frame
    # An array of integers takes no half: such a row is asked as its sender would send it, in doubles.
    whole = np.dtype(spec.dtype).kind not in "iu" or all(kind.kind in "iub" for kind in frame.dtypes)
    return frame.to_numpy(dtype=spec.dtype if whole else np.float64)


def cells_of(frame: pd.DataFrame, signature: Signature) -> Cells:
    """The cells of a DataFrame, read as any client's are.

    Raises:
        InputError: a value does not fit the signature.
    """
    return Reader(signature).columns({name: frame[name].tolist() for name in signature.names})


def frame_of(cells: Cells, signature: Signature, spec: FrameSpec) -> pd.DataFrame:
    """The table that a native model takes, from cells; columns that the signature does not have hold nothing."""
    place = {name: index for index, name in enumerate(signature.names)}
    built: dict[str, Any] = {}
    for column in spec.columns:
        index = place.get(column.name)
        if index is None:
            built[column.name] = _blank(len(cells), column)
            continue
        values = cells.texts[index] if index in cells.texts else cells.numbers[:, index]
        built[column.name] = _built(values, signature.inputs[index], column)
    return pd.DataFrame(built, copy=False)


def same(given: pd.DataFrame, rebuilt: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The first of the named columns whose values are not all the same in both, or None."""
    for name in names:
        a, b = given[name].reset_index(drop=True), rebuilt[name]
        missing = a.isna()
        if not missing.equals(b.isna()):
            return str(name)
        left, right = a[~missing].astype(object).tolist(), b[~missing].astype(object).tolist()
        if left != right:
            return str(name)
    return None


def _framed(X: Any) -> tuple[pd.DataFrame, Literal["frame", "array", "series"], str]:
    if isinstance(X, pd.DataFrame):
        return X, "frame", ""
    if isinstance(X, pd.Series):
        return X.rename(X.name if isinstance(X.name, str) else "text").to_frame(), "series", ""
    if hasattr(X, "tocsr"):
        raise SignatureError("X is a sparse matrix: register the pipeline that made it, with the table it was made of.")
    array = np.asarray(X)
    if array.ndim == 1 and array.dtype.kind in "OUT":
        return pd.DataFrame({"text": pd.Series(list(array), dtype=object)}), "series", ""
    if array.ndim != 2:
        raise SignatureError(f"X has the shape {array.shape}; a model's table has rows and columns.")
    frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
    if array.dtype.kind in "OUT":
        return frame.astype(object).infer_objects(), "array", "object"
    return frame, "array", str(array.dtype)


def _taken(series: pd.Series[Any]) -> tuple[FrameColumn, Column]:
    name, dtype = str(series.name), series.dtype
    missing = bool(series.isna().any())
    spec = FrameColumn(name=name, dtype=str(dtype))
    if isinstance(dtype, pd.CategoricalDtype):
        return _taken_category(series, dtype, missing)
    if isinstance(dtype, pd.SparseDtype):
        raise SignatureError(f"Column {name!r} is sparse: make it dense, for example with X.sparse.to_dense().")
    if pd.api.types.is_bool_dtype(dtype):
        return spec, Column(name=name, type="boolean", nullable=missing)
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        present = series[~series.isna()]
        if _plain(dtype).itemsize > 8:
            raise SignatureError(f"Column {name!r} is of type {dtype}, more than a double holds: use float64.")
        numbers = present.to_numpy(dtype=np.float64)
        return spec, _ranged(Column(name=name, type="number", nullable=missing), numbers[np.isfinite(numbers)])
    if pd.api.types.is_datetime64_any_dtype(dtype):
        stamps = series[~series.isna()]
        moments = (stamps.dt.tz_convert("UTC").dt.tz_localize(None) if stamps.dt.tz is not None else stamps).to_numpy()
        seconds = moments.astype("datetime64[us]").astype(np.int64) / 1e6
        return spec, _ranged(Column(name=name, type="datetime", nullable=missing), seconds, typical=False)
    if pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype):
        return _taken_text(series, missing)
    raise SignatureError(
        f"Column {name!r} is of type {dtype}, which a signature cannot hold: make it numbers, booleans, dates or texts."
    )


def _taken_text(series: pd.Series[Any], missing: bool) -> tuple[FrameColumn, Column]:
    name = str(series.name)
    absent = series[series.isna()].tolist()
    kinds = {type(value) for value in series[~series.isna()]}
    marker: Literal["nan", "none", "na"] = "nan"
    if absent:
        marker = "none" if absent[0] is None else "na" if absent[0] is pd.NA else "nan"
    spec = FrameColumn(name=name, dtype=str(series.dtype), missing=marker)
    if all(issubclass(kind, str) for kind in kinds):
        _refuse_broken_texts(series, name)
        return spec, Column(name=name, type="text", nullable=missing)
    if kinds <= {bool, np.bool_}:
        return spec, Column(name=name, type="boolean", nullable=missing)
    found = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise SignatureError(
        f"Column {name!r} is of type object and holds {found}: make it of one type, for example with pd.to_numeric, "
        "pd.to_datetime or astype(str), and fit the model again."
    )


def _refuse_broken_texts(series: pd.Series[Any], name: str) -> None:
    """Texts must have a spelling in UTF-8, or no client could send them."""
    for value in series[~series.isna()].unique():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SignatureError(
                f"Column {name!r} holds a text that is no Unicode (a lone surrogate, from bytes that were not decoded "
                "as what they are): read the data with its true encoding, and fit the model again."
            ) from None


def _taken_category(series: pd.Series[Any], dtype: pd.CategoricalDtype, missing: bool) -> tuple[FrameColumn, Column]:
    name, categories = str(series.name), dtype.categories.tolist()
    if not all(type(category) in (str, int) for category in categories) or len({type(c) for c in categories}) > 1:
        raise SignatureError(
            f"The categories of column {name!r} are neither all texts nor all integers: "
            "make them texts, and fit the model again."
        )
    texts = tuple(str(category) for category in categories)
    counts = series.value_counts()
    typical = str(counts.index[0]) if len(counts) else None
    spec = FrameColumn(name=name, dtype="category", categories=tuple(categories), ordered=bool(dtype.ordered))
    return spec, Column(name=name, type="category", nullable=missing, categories=texts, typical=typical)


def _ranged(column: Column, values: Any, *, typical: bool = True) -> Column:
    if not len(values):
        return column
    return msgspec.structs.replace(
        column,
        minimum=float(np.min(values)),
        maximum=float(np.max(values)),
        typical=float(np.median(values)) if typical else None,
    )


def _built(values: Any, column: Column, spec: FrameColumn) -> Any:
    match column.type:
        case "category":
            return _categorical(values, column, spec) if spec.dtype == "category" else _coded(values, column, spec)
        case "text":
            return _texts(list(values), spec)
        case "datetime":
            return _moments(values, spec)
        case "boolean":
            return _booleans(values, np.isnan(values), spec)
    return _numbers(values, np.isnan(values), spec)


def _booleans(values: Any, missing: Any, spec: FrameColumn) -> Any:
    if spec.dtype == "boolean":
        return pd.arrays.BooleanArray(np.where(missing, 0.0, values).astype(bool), missing)
    if spec.dtype != "object" and not missing.any():
        return values.astype(bool)
    marker = _MARKERS[spec.missing]
    return np.array([marker if m else bool(v) for v, m in zip(values.tolist(), missing.tolist(), strict=True)], object)


def _categorical(values: Any, column: Column, spec: FrameColumn) -> Any:
    """A pandas category; what its own list does not have joins it at the end, as in a table read anew."""
    integers = bool(spec.categories) and isinstance(spec.categories[0], int)
    listed: list[str | int] = [int(category) if integers else category for category in column.categories]
    codes = np.where(np.isnan(values), -1, np.where(values < 0, len(listed), values)).astype(np.int64)
    own = list(spec.categories)
    further = [category for category in listed if category not in set(own)]
    if bool(np.any(codes == len(listed))):
        further.append(max((c for c in listed if isinstance(c, int)), default=0) + 1 if integers else _unseen(column))
    everything = [*own, *further]
    place = {category: code for code, category in enumerate(everything)}
    table = np.array([place[category] for category in listed] + [len(everything) - 1, -1], dtype=np.int64)
    used = everything if bool(np.any(table[codes] >= len(own))) else own
    return pd.Categorical.from_codes(table[codes], dtype=pd.CategoricalDtype(used, ordered=spec.ordered))


def _unseen(column: Column) -> str:
    unseen = NEVER_SEEN
    while unseen in column.categories:
        unseen += "!"
    return unseen


def _blank(rows: int, spec: FrameColumn) -> Any:
    """A column that the model takes and leaves out."""
    dtype = pd.api.types.pandas_dtype(spec.dtype) if spec.dtype != "category" else None
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return np.zeros(rows, dtype=dtype)
    if dtype is None:
        return pd.Categorical([None] * rows, categories=list(spec.categories), ordered=spec.ordered)
    return pd.Series([_MARKERS[spec.missing]] * rows, dtype=spec.dtype)


def _plain(dtype: Any) -> np.dtype[Any]:
    """The NumPy type behind a pandas one."""
    plain: np.dtype[Any] = np.dtype(getattr(dtype, "numpy_dtype", dtype))
    return plain


def _numbers(values: Any, missing: Any, spec: FrameColumn) -> Any:
    dtype = pd.api.types.pandas_dtype(spec.dtype)
    if pd.api.types.is_integer_dtype(dtype):
        present = values[~missing]
        fits = bool(np.all((present == np.floor(present)) & (np.abs(present) <= MAX_EXACT_INTEGER)))
        plain = _plain(dtype)
        limits = np.iinfo(plain)
        fits = fits and bool(np.all((present >= limits.min) & (present <= limits.max)))
        if not fits or (missing.any() and isinstance(dtype, np.dtype)):
            return values  # as pandas has it, a number that is no integer makes the column one of doubles
        whole: Any = np.where(missing, 0.0, values).astype(plain)
        return whole if isinstance(dtype, np.dtype) else pd.arrays.IntegerArray(whole, missing)
    if isinstance(dtype, np.dtype):
        return values.astype(dtype) if dtype.kind == "f" else values
    return pd.Series(np.where(missing, None, values), dtype="Float64").astype(dtype)


_MARKERS: dict[str, Any] = {"nan": np.nan, "none": None, "na": pd.NA}


def _texts(values: list[str | None], spec: FrameColumn) -> Any:
    marker = _MARKERS[spec.missing]
    texts = [marker if value is None else value for value in values]
    return pd.Series(texts, dtype=spec.dtype)


def _coded(values: Any, column: Column, spec: FrameColumn) -> Any:
    """A category of the signature in a native table of texts or integers."""
    integers = pd.api.types.is_integer_dtype(pd.api.types.pandas_dtype(spec.dtype))
    unseen = _unseen(column)
    known = [*column.categories, unseen]
    texts = [None if np.isnan(code) else known[int(code)] for code in values.tolist()]  # -1 is the last one, the unseen
    if not integers:
        return _texts(texts, spec)
    other = max(map(int, column.categories), default=0) + 1
    return pd.Series([other if text == unseen else int(text or 0) for text in texts], dtype=spec.dtype)


def _moments(values: Any, spec: FrameColumn) -> Any:
    missing = np.isnan(values)
    # A double holds seconds since 1970 to a microsecond, and no finer, for the next thousand years.
    micros = np.round(np.where(missing, 0.0, values) * 1e6).astype(np.int64).astype("datetime64[us]")
    moments: pd.Series[Any] = pd.Series(np.where(missing, np.datetime64("NaT", "us"), micros))
    dtype = pd.api.types.pandas_dtype(spec.dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return moments.dt.tz_localize("UTC").astype(dtype)
    return moments.astype(dtype)
