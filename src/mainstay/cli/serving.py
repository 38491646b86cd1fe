"""The options of the commands that serve, and a short way to these commands.

A server is started by another program more often than by a person, and is waited for. What parses and explains all
commands takes as long to load as a small server does to start; so plain words of `serve` and `up` are understood here,
without it. Whatever is not plain (help, a wrong word, an option twice) goes the long way, which has the messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.cli.showing import show

if TYPE_CHECKING:
    from mainstay.operations.serving import Serving

COMMANDS = {"serve": False, "up": True}
"""The commands, and whether each has a controller of rollouts beside."""
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of these commands: a flag where `kind` is bool, else one that takes a value."""

    name: str
    """As a parameter; `flag` is how it is typed."""
    kind: type[bool | int | Path | str]
    help: str
    flag: str
    least: int | None = None
    most: int | None = None

    def meant(self, word: str) -> int | Path | str | None:
        """The value that a word says; None where that is for the long way to tell."""
        if self.kind is not int:
            return None if not word or word.startswith("-") else Path(word) if self.kind is Path else word
        if not _NUMBER.fullmatch(word):
            return None
        number = int(word)
        high = self.most is not None and number > self.most
        return None if high or (self.least is not None and number < self.least) else number


OPTIONS = (
    Option(name="host", kind=str, flag="--host", help="Address to listen on; by default, the project's."),
    Option(name="port", kind=int, flag="--port", help="Port to listen on; 0 takes a free one.", least=0, most=65535),
    Option(
        name="grpc_port",
        kind=int,
        flag="--grpc-port",
        help="Port for gRPC (Open Inference Protocol), 0 takes a free one; without it, gRPC is not spoken.",
        least=0,
        most=65535,
    ),
    Option(name="workers", kind=int, flag="--workers", help="Processes that answer.", least=1),
    Option(
        name="trust",
        kind=Path,
        flag="--trust",
        help="File of type names, one a line, that models in native formats may hold.",
    ),
    Option(
        name="tls_cert",
        kind=Path,
        flag="--tls-cert",
        help="Certificate (PEM file) to speak https with; takes --tls-key.",
    ),
    Option(
        name="tls_key", kind=Path, flag="--tls-key", help="Its private key (PEM file), readable by its owner alone."
    ),
    Option(
        name="with_parent",
        kind=bool,
        flag="--with-parent",
        help="End when standard input is closed, as it is when the program that started the server ends.",
    ),
    Option(
        name="as_json",
        kind=bool,
        flag="--json",
        help="Print one JSON object on standard output once requests are taken.",
    ),
)
_BY_FLAG = {option.flag: option for option in OPTIONS}


def understood(words: Sequence[str]) -> dict[str, Any] | None:
    """The command and the options that plain words say, as `serve` takes them; None: they go the long way."""
    if not words or words[0] not in COMMANDS:
        return None
    said: dict[str, Any] = {"controller": COMMANDS[words[0]]}
    rest = iter(words[1:])
    for word in rest:
        option = _BY_FLAG.get(word)
        if option is None or option.name in said:
            return None
        value = True if option.kind is bool else option.meant(next(rest, ""))
        if value is None:
            return None
        said[option.name] = value
    return said


def serve(said: dict[str, Any]) -> int:
    """Serves as such words say, until it is told to end."""
    from mainstay.operations.serving import serve as run  # noqa: PLC0415 - as in every command

    options: dict[str, Any] = {option.name: False if option.kind is bool else None for option in OPTIONS} | said
    as_json = options.pop("as_json")

    def told(serving: Serving) -> None:
        if as_json:
            show(serving, as_json=True, human=lambda out: None)

    run(Path.cwd(), told=told, **options)
    return 0
