"""The page of the commands, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import mainstay.cli.commands  # noqa: F401 - registers the commands
from mainstay.cli.app import app

WORDS = {int: "INTEGER", float: "NUMBER", Path: "PATH"}
"""What stands for an option's value; TEXT for all else."""


def commands() -> dict[str, Any]:
    """Every command by what is typed after `mainstay`, groups followed ("a b"), sorted."""
    return dict(sorted(_walk(typer.main.get_command(app), "")))


def page() -> str:
    root = typer.main.get_command(app)
    lines = ["# Commands", "", _text(root.help), "", _text(root.epilog), ""]
    found = commands()
    lines += [
        f"- [`mainstay {path}`](#mainstay-{path.replace(' ', '-')}): {_first(command)}"
        for path, command in found.items()
    ]
    for path, command in found.items():
        lines += ["", f"## mainstay {path}", "", *_command(path, command)]
    return "\n".join(lines)


def _walk(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        path = f"{before} {name}".strip()
        if getattr(command, "commands", None):
            yield from _walk(command, path)
        elif not command.hidden:
            yield path, command


def _command(path: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and not param.hidden]
    words = [_word(argument) for argument in arguments]
    yield from [
        "```",
        " ".join(["mainstay", path, *words, "[OPTIONS]"] if options else ["mainstay", path, *words]),
        "```",
        "",
    ]
    yield _text(command.help)
    if arguments:
        yield from ["", "| argument | |", "|---|---|"]
        yield from (f"| `{_name(argument)}` | {_cell(argument.help)} |" for argument in arguments)
    if options:
        yield from ["", "| option | default | |", "|---|---|---|"]
        for option in options:
            names = ", ".join([*option.opts, *option.secondary_opts])
            value = "" if option.is_flag else f" {WORDS.get(option.type_descriptor.annotation, 'TEXT')}"
            yield f"| `{names}{value}` | {_default(option)} | {_cell(option.help)} |"


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name).upper()


def _word(argument: Any) -> str:
    return _name(argument) if argument.required else f"[{_name(argument)}]"


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag or option.default is None or option.default == "":
        return ""
    return f"`{option.default}`"


def _first(command: Any) -> str:
    return _text(command.help).split("\n\n", 1)[0].replace("\n", " ")


def _text(text: str | None) -> str:
    """Help as Markdown: an example line becomes code."""
    lines = inspect.cleandoc(text or "").splitlines()
    return "\n".join(
        f"Example: `{line.removeprefix('Example: ')}`" if line.startswith("Example: ") else line for line in lines
    )


def _cell(text: str | None) -> str:
    return _text(text).replace("|", "\\|").replace("\n", " ")
