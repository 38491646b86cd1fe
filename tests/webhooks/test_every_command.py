"""Whatever writes events makes the webhooks of the project file count first: none is forgotten by a new command."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mainstay.operations

WRITES = {"add", "attest", "point", "deploy", "undeploy", "record"}
ELSEWHERE = {
    "recording.py",  # is given a registry by those that call it
    "notebook.py",  # in a temporary folder without a project file
    "lineage.py",
}
MODULES = sorted(path for path in Path(mainstay.operations.__file__).parent.glob("*.py") if path.name not in ELSEWHERE)


def calls(path: Path) -> tuple[set[str], set[str]]:
    """The functions that a module calls by name, and the methods that it calls of a registry."""
    functions, methods = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                functions.add(node.func.id)
            elif isinstance(node.func, ast.Attribute) and "registry" in ast.unparse(node.func.value):
                methods.add(node.func.attr)
    return functions, methods


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_that_opens_a_registry_and_writes_subscribes_the_webhooks(path: Path) -> None:
    functions, methods = calls(path)
    if "opened" in functions and (methods & WRITES or functions & {"record", "switch"}):
        assert "subscribe" in functions, f"{path.name} writes events: call telling.subscribe when the registry is open"
