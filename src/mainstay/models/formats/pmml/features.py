"""An encoder as PMML: input fields, and a derived field for each step of each feature."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from mainstay.models.encoder import (
    Affine,
    Block,
    Clip,
    Encoder,
    Function,
    Impute,
    Lookup,
    MissingFlag,
    OneHot,
    Scale,
    Select,
    Step,
)
from mainstay.models.formats.graph import CannotExport
from mainstay.models.signature import Column, Signature

_FUNCTIONS = {
    "log": "ln",
    "log10": "log10",
    "sqrt": "sqrt",
    "abs": "abs",
    "exp": "exp",
    "log1p": "ln1p",
    "expm1": "expm1",
}


class Fields:
    """The fields of a file: `features` names the field of each feature, `derived` defines those that are made."""

    def __init__(self, signature: Signature, encoder: Encoder) -> None:
        """Raises CannotExport for a column or a step that PMML has no equal for."""
        self.signature = signature
        self.derived: list[str] = []
        names: list[str] = []
        for block in encoder.blocks:
            if not isinstance(block, Block):
                raise CannotExport("The encoder counts terms of a text column, which is not written as PMML.")
            names += self._block(block)
        for step in encoder.steps:
            names = self._step(names, step)
        self.features = names

    def dictionary(self, target: str) -> str:
        """The DataDictionary, with the target's entry."""
        entries = "".join(_data_field(column, self.signature.tokens(column)) for column in self.signature.inputs)
        count = len(self.signature.inputs) + 1
        return f'<DataDictionary numberOfFields="{count}">{entries}{target}</DataDictionary>'

    def schema(self, target: str | None) -> str:
        """A MiningSchema of the input fields."""
        fields = "" if target is None else f'<MiningField name={quoteattr(target)} usageType="target"/>'
        for column in self.signature.inputs:
            how = "returnInvalid" if column.type == "boolean" or column.closed else "asIs"
            missing = "" if column.nullable else ' missingValueTreatment="returnInvalid"'
            fields += f'<MiningField name={quoteattr(column.name)} invalidValueTreatment="{how}"{missing}/>'
        return f"<MiningSchema>{fields}</MiningSchema>"

    def _block(self, block: Block) -> list[str]:
        columns = [self.signature.inputs[index] for index in block.columns]
        steps = list(block.steps)
        if not any(column.type == "category" for column in columns):
            names = [self._plain(column) for column in columns]
        elif not steps or not all(column.type == "category" for column in columns):
            raise CannotExport("The encoder hands the codes of categories to the model, which is not written as PMML.")
        else:
            names = self._categories(columns, steps.pop(0))
        for step in steps:
            names = self._step(names, step)
        return names

    def _plain(self, column: Column) -> str:
        if column.type == "number":
            return column.name
        if column.type == "boolean":
            return self._define(f'<NormDiscrete field={quoteattr(column.name)} value="true"/>')
        raise CannotExport(f"The column {column.name!r} is a {column.type}, which is not written as PMML.")

    def _categories(self, columns: list[Column], step: Step) -> list[str]:
        if isinstance(step, OneHot):
            return [
                self._define(
                    f'<NormDiscrete field={quoteattr(column.name)} value={quoteattr(value)} mapMissingTo="0"/>'
                )
                for column, size in zip(columns, step.sizes, strict=True)
                for value in column.categories[:size]
            ]
        if isinstance(step, Lookup):
            return [self._lookup(column, step, index) for index, column in enumerate(columns)]
        raise CannotExport(f"The encoder's step {type(step).__name__} on categories is not written as PMML.")

    def _lookup(self, column: Column, step: Lookup, index: int) -> str:
        rows = "".join(
            f"<row><in>{_text(value)}</in><out>{_number(found)}</out></row>"
            for value, found in zip(column.categories, step.tables[index], strict=False)
            if found is not None
        )
        unseen, missing = step.unseen[index], step.missing[index]
        if any(found is None for found in step.tables[index]) and unseen is not None:
            raise CannotExport("The encoder takes a known category for missing, which is not written as PMML.")
        other = "" if unseen is None else f' defaultValue="{_number(unseen)}"'
        other += "" if missing is None else f' mapMissingTo="{_number(missing)}"'
        return self._define(
            f'<MapValues outputColumn="out" dataType="double"{other}><FieldColumnPair '
            f'field={quoteattr(column.name)} column="in"/><InlineTable>{rows}</InlineTable></MapValues>'
        )

    def _step(self, names: list[str], step: Step) -> list[str]:  # noqa: PLR0911 - one answer a step
        refs = [f"<FieldRef field={quoteattr(name)}/>" for name in names]
        match step:
            case Impute(values=values):
                return [
                    self._define(_apply("if", _apply("isMissing", ref), _constant(value), ref))
                    for ref, value in zip(refs, values, strict=True)
                ]
            case MissingFlag():
                return [
                    self._define(_apply("if", _apply("isMissing", ref), _constant(1), _constant(0))) for ref in refs
                ]
            case Clip(low=low, high=high):
                return [self._clipped(*each) for each in zip(refs, low, high, strict=True)]
            case Scale(center=center, divisor=divisor):
                return [
                    self._define(_apply("/", _apply("-", ref, _constant(c)), _constant(d)))
                    for ref, c, d in zip(refs, center, divisor, strict=True)
                ]
            case Affine(factor=factor, offset=offset):
                return [
                    self._define(_apply("+", _apply("*", ref, _constant(f)), _constant(o)))
                    for ref, f, o in zip(refs, factor, offset, strict=True)
                ]
            case Select(kept=kept):
                return [names[index] for index in kept]
            case Function(name=name) if name in _FUNCTIONS:
                return [self._define(_apply(_FUNCTIONS[name], ref)) for ref in refs]
        raise CannotExport(f"The encoder's step {type(step).__name__} is not written as PMML.")

    def _clipped(self, ref: str, low: float | None, high: float | None) -> str:
        found = ref
        if low is not None:
            found = _apply("max", found, _constant(low))
        if high is not None:
            found = _apply("min", found, _constant(high))
        return self._define(_apply("if", _apply("isNotMissing", ref), found))

    def _define(self, expression: str) -> str:
        name = f"feature {len(self.derived)}"
        if name in self.signature.names:
            raise CannotExport(f"A column called {name!r} has the name of a derived field: rename it.")
        self.derived.append(
            f'<DerivedField name="{name}" optype="continuous" dataType="double">{expression}</DerivedField>'
        )
        return name


def _data_field(column: Column, missing_tokens: tuple[str, ...]) -> str:
    name = quoteattr(column.name)
    if column.type == "number":
        return f'<DataField name={name} optype="continuous" dataType="double"/>'
    if column.type == "boolean":
        values = '<Value value="false"/><Value value="true"/>'
        return f'<DataField name={name} optype="categorical" dataType="boolean">{values}</DataField>'
    values = "".join(f"<Value value={quoteattr(value)}/>" for value in column.categories)
    values += "".join(
        f'<Value value={quoteattr(token)} property="missing"/>'
        for token in missing_tokens
        if token not in column.categories
    )
    return f'<DataField name={name} optype="categorical" dataType="string">{values}</DataField>'


def _apply(function: str, *inner: str) -> str:
    return f'<Apply function="{function}">{"".join(inner)}</Apply>'


def _constant(value: float) -> str:
    return f'<Constant dataType="double">{_number(value)}</Constant>'


def _number(value: float) -> str:
    return repr(float(value))


def _text(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
