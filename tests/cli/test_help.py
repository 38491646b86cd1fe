"""Every word that a person can type is explained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

import mainstay.cli.commands  # noqa: F401 - registers the commands
from mainstay.cli.app import app


def every_command(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words; a group of commands only holds them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    assert command.help, f"the group {path or 'mainstay'} has no help"
    for name, below in inner.items():
        yield from every_command(below, f"{path} {name}".strip())


COMMANDS = dict(every_command(typer.main.get_command(app)))


def test_the_commands_of_the_straight_path_are_there() -> None:
    expected = {"try", "init", "train", "deploy", "serve", "list", "show", "compare", "alias", "events", "diff", "demo"}
    assert expected <= set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_each_command_is_explained_with_an_example(path: str) -> None:
    help_text = COMMANDS[path].help
    assert help_text, f"{path} has no help"
    first = help_text.strip().splitlines()[0]
    assert first.endswith("."), f"{path}: its first line is no sentence"
    assert f"Example: mainstay {path}" in help_text, f"{path} has no example"


@pytest.mark.parametrize("path", COMMANDS)
def test_each_option_and_argument_is_explained(path: str) -> None:
    for parameter in COMMANDS[path].params:
        assert parameter.help, f"{path} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("path", COMMANDS)
def test_each_command_speaks_to_programs(path: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[path].params)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_is_printed(path: str, run: Any) -> None:
    code, out, err = run(*path.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: mainstay {path}")


def test_without_a_word_the_help_is_shown(run: Any) -> None:
    code, out, err = run()
    assert code == 2
    assert "Start with: mainstay try" in out + err
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "mainstay")
