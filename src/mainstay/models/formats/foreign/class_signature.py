"""The signature of a Python class as a person writes it in TOML: every key is known, or an error."""

from __future__ import annotations

from datetime import datetime

import msgspec

from mainstay.models.signature import (
    Column,
    ColumnType,
    Label,
    ModelTask,
    Signature,
    SignatureError,
    epoch_seconds,
)
from mainstay.models.tensors import Dtype, Image, Tensor


class ColumnTold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column; its range is where golden rows are drawn from."""

    name: str
    type: ColumnType
    nullable: bool = False
    categories: tuple[str, ...] = ()
    """All of them: others are refused."""
    format: str = "iso"
    minimum: float | datetime | None = None
    maximum: float | datetime | None = None
    typical: float | str | None = None

    def column(self) -> Column:
        """The column. Raises SignatureError for a category without categories, or categories of something else."""
        if (self.type == "category") != bool(self.categories):
            raise SignatureError(
                f"Column {self.name!r} is a {self.type}: a category, and nothing else, has `categories` (of any text "
                'there may be, the type is "text").'
            )
        return Column(
            name=self.name,
            type=self.type,
            nullable=self.nullable,
            categories=self.categories,
            closed=self.type == "category",
            format=self.format,
            minimum=_number(self.minimum),
            maximum=_number(self.maximum),
            typical=self.typical,
        )


class TensorTold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tensor, among the inputs or the outputs."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...] = ()
    image: Image | None = None
    minimum: float | None = None
    maximum: float | None = None

    def tensor(self) -> Tensor:
        """The tensor."""
        return Tensor(
            name=self.name,
            dtype=self.dtype,
            shape=self.shape,
            image=self.image,
            minimum=self.minimum,
            maximum=self.maximum,
        )


class SignatureTold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[signature]`."""

    task: ModelTask
    target: str = "prediction"
    labels: tuple[Label, ...] = ()
    inputs: tuple[ColumnTold, ...] = ()
    tensors: tuple[TensorTold, ...] = ()
    outputs: tuple[TensorTold, ...] = ()
    missing_tokens: tuple[str, ...] = ()

    def signature(self) -> Signature:
        """The signature. Raises SignatureError where it contradicts itself."""
        return Signature(
            inputs=tuple(column.column() for column in self.inputs),
            tensors=tuple(tensor.tensor() for tensor in self.tensors),
            outputs=tuple(tensor.tensor() for tensor in self.outputs),
            task=self.task,
            target=self.target,
            labels=self.labels,
            missing_tokens=self.missing_tokens,
        ).checked()


def _number(value: float | datetime | None) -> float | None:
    return epoch_seconds(value) if isinstance(value, datetime) else value
