"""What callers notice of another version's signature."""

from __future__ import annotations

from mainstay.models.signature import Column, Signature
from mainstay.operations.interfaces import differences


def signature(*names: str, kind: str = "number", **more) -> Signature:
    return Signature(inputs=tuple(Column(name=name, type=kind) for name in names), task="binary", target="y", **more)


def test_what_callers_notice_is_told_and_nothing_else() -> None:
    stable = signature("age", "job", labels=("good", "bad"))
    assert list(differences(signature("job", "age", labels=("bad", "good")), stable, "credit:1")) == []
    kept = signature("job", labels=("good", "bad"), set_aside=("age",))
    assert list(differences(kept, stable, "credit:1")) == []  # it is still taken, and ignored
    other = signature("age", "income", kind="text", labels=("good", "bad", "open"))
    assert list(differences(other, stable, "credit:1")) == [
        "it takes 'income', which credit:1 does not: callers who leave that out are refused.",
        "it does not take 'job', which callers of credit:1 send: they are refused.",
        "'age' is of the type text for it, and number for credit:1.",
        "its labels are 'good', 'bad', 'open', those of credit:1 'good', 'bad'.",
    ]
    number = Signature(inputs=stable.inputs, task="regression", target="y")
    assert list(differences(number, stable, "credit:1")) == ["its task is regression, that of credit:1 binary."]
