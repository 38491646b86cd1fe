"""What documents are read as, worked out before there are threads."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


def work_out_kinds() -> None:
    """Has msgspec work out every type that a document of ours may be read as.

    It does so when a type is used for the first time, and meanwhile shows other threads what it has so far: one that
    reads such a document in that moment ends the process with a segmentation fault (seen with msgspec 0.22). So this is
    done once, before there is a second thread. It takes some milliseconds, most of which would be spent in any case.
    """
    for kind in _below(msgspec.Struct):
        if kind.__module__.startswith("mainstay."):
            msgspec.json.Decoder(kind)


def _below(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
