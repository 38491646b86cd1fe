"""How a version's signature differs from that of the one in place, for who calls them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mainstay.models.signature import Signature


def differences(candidate: Signature, stable: Signature, ref: str) -> Iterator[str]:
    """What callers will notice, a sentence each; `ref` is the version in place."""
    theirs, ours = set(stable.names), set(candidate.names)
    if new := [name for name in candidate.names if name not in theirs]:
        yield f"it takes {_listed(new)}, which {ref} does not: callers who leave that out are refused."
    if gone := [name for name in stable.names if name not in ours and name not in candidate.set_aside]:
        yield f"it does not take {_listed(gone)}, which callers of {ref} send: they are refused."
    before = {column.name: column.type for column in stable.inputs}
    for column in candidate.inputs:
        if (was := before.get(column.name, column.type)) != column.type:
            yield f"{column.name!r} is of the type {column.type} for it, and {was} for {ref}."
    if candidate.task != stable.task:
        yield f"its task is {candidate.task}, that of {ref} {stable.task}."
    elif set(candidate.labels) != set(stable.labels):
        yield f"its labels are {_listed(candidate.labels)}, those of {ref} {_listed(stable.labels)}."


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(repr, names))
