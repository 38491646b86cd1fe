"""What the documents promise is there: commands, options, links, the reference; and they name no one place."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from tools import lock, reference
from tools.references import command_line, project_file

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changes/*.md")])
KINDS = ("feature", "change", "fix", "removal")
TYPED = re.compile(r"(?:^|`|\bdo\s|\$ )\s*(?:\S*/)?mainstay (?P<rest>[a-z][^\n`#]*)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TEXT = {".md", ".py", ".toml", ".lock", ".js", ".css", ".html", ".svg", ".txt", ".json", ".mako", ".in", ""}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def typed(text: str) -> list[list[str]]:
    """The words after each `mainstay` that a document tells its reader to type."""
    return [shlex.split(found["rest"].split("  ")[0], comments=True) for found in TYPED.finditer(text)]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def files() -> list[Path]:
    """Every text file that belongs to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git repository")
    paths = [ROOT / line for line in listed.stdout.split("\0") if line]
    return [path for path in paths if path.suffix in TEXT and path.is_file()]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_document_names_exists_with_its_options(page: Path) -> None:
    commands = command_line.commands()
    for words in typed(page.read_text(encoding="utf-8")):
        # "registry copy" is a command of a group.
        command = commands.get(words[0]) or commands.get(" ".join(words[:2]))
        assert command is not None, f"{name(page)} names mainstay {words[0]}, which is no command"
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        for word in words[1:]:
            if word.startswith("--"):
                assert word in known, f"{name(page)}: mainstay {words[0]} has no option {word}"


def test_the_search_for_commands_finds_them() -> None:
    found = typed(
        "    mainstay train --budget 60   # a note\n"
        "Run `mainstay diff credit:1 b.csv` now.\n"
        "Mainstay trains; mainstay is."
    )
    assert found[:2] == [["train", "--budget", "60"], ["diff", "credit:1", "b.csv"]]
    assert len(found) == 2
    assert {words[0] for words in typed((ROOT / "README.md").read_text(encoding="utf-8"))} >= {
        "try",
        "init",
        "train",
        "diff",
    }


@pytest.mark.parametrize("path, command", [*command_line.commands().items()], ids=str)
def test_each_command_is_explained(path: str, command) -> None:
    assert command.help, f"mainstay {path} has no help"
    assert f"Example: mainstay {path}" in command.help, f"the help of mainstay {path} has no example"
    for param in command.params:
        assert param.help, f"{param.name} of mainstay {path} has no help"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target), f"{name(page)} links to {link}, which has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_code_of_a_page_can_be_read_by_what_reads_it(page: Path) -> None:
    for language, code in re.findall(r"```(python|toml|json)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        {"python": ast.parse, "toml": tomllib.loads, "json": json.loads}[language](code)


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        path = str(page.relative_to(ROOT / "docs"))
        assert path == "README.md" or path in index, f"docs/README.md does not lead to {path}"


def test_the_reference_is_current() -> None:
    assert not reference.outdated(), "run make docs"


def test_a_change_of_the_reference_is_noticed(tmp_path: Path) -> None:
    for page, text in reference.written().items():
        (tmp_path / page).write_text(text, encoding="utf-8")
    assert reference.outdated(tmp_path) == []
    path = tmp_path / "cli.md"
    path.write_text(path.read_text(encoding="utf-8").replace("mainstay serve", "mainstay server"), encoding="utf-8")
    assert any("mainstay server" in line for line in reference.outdated(tmp_path))


@pytest.mark.parametrize("title, kind", [*project_file.tables()], ids=str)
def test_every_key_of_the_project_file_has_a_meaning(title: str, kind: type) -> None:
    for key, of, _, meaning in project_file.keys(kind):
        assert meaning, f"{key} in {title} has no docstring"
        assert "[" not in of, f"the type of {key} in {title} is told in Python's words: {of}"


def test_a_note_of_a_change_has_a_known_kind() -> None:
    for note in (ROOT / "changes").glob("*.md"):
        if note.name == "README.md":
            continue
        parts = note.name.split(".")
        assert len(parts) == 3 and parts[1] in KINDS, f"changes/{note.name} should be NAME.KIND.md, KIND of {KINDS}"
        assert 1 <= len(note.read_text(encoding="utf-8").strip().splitlines()) <= 4


def test_the_lock_answers_the_project() -> None:
    pyproject, locked = ((ROOT / file).read_text(encoding="utf-8") for file in ("pyproject.toml", "requirements.lock"))
    assert lock.differences(pyproject, locked) == []
    more = pyproject.replace('"rich>=14"', '"rich>=9999", "left-pad"')
    assert [line.split()[0] for line in lock.differences(more, locked)] == ["left-pad", "rich>=9999"]
    less = re.sub(r'^\s*"optuna.*\n', "", pyproject, flags=re.MULTILINE)
    assert any(line.startswith("optuna is locked") for line in lock.differences(less, locked))


def test_the_heavy_libraries_answer_their_group_and_lie_over_the_lock() -> None:
    names = ("pyproject.toml", "requirements.lock", "requirements-formats.txt")
    pyproject, locked, formats = ((ROOT / file).read_text(encoding="utf-8") for file in names)
    assert lock.differences_of_formats(pyproject, locked, formats) == []
    more = pyproject.replace('"tf2onnx>=', '"left-pad", "tf2onnx>=9999.')
    found = lock.differences_of_formats(more, locked, formats.replace("\nnumpy==", "\nnumpy==9"))
    assert [line.split()[0] for line in found] == ["left-pad", "numpy", found[2].split()[0]]
    assert found[2].startswith("tf2onnx>=9999")


def test_no_file_names_a_package_registry_or_a_place_on_one_machine() -> None:
    hosts = re.compile(r"pypi\.org|pythonhosted|--(?:extra-)?index-url|--find-links|artifactory", re.IGNORECASE)
    own = "|".join(re.escape(str(path)) for path in (ROOT, Path.home()))
    places = re.compile(rf"(?<![\w.~:/-])(?:{own})/")
    for path in files():
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for what, pattern in (("a package registry", hosts), ("a place on one machine", places)):
            found = pattern.search(text)
            assert found is None, f"{name(path)} names {what}: {found[0]!r}"
