"""Data that cannot be used: an exit code and a sentence, never a traceback, and nothing half made."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from loan_projects import changed, loans, project_in, write_loans

from mainstay.operations import publishing

Run = Callable[..., tuple[int, str, str]]

HEADER = "age,income,purpose,class\n"
ROWS = "".join(",".join(map(str, row)) + "\n" for row in loans(200))
INITS = {
    "an empty file": ("", "class", "empty"),
    "only a header": (HEADER, "class", "no row"),
    "one column": ("class\n" + "good\nbad\n" * 50, "class", "only the column 'class'"),
    "a target that is not there": (HEADER + ROWS, "clas", "Did you mean 'class'"),
    "a target without a value": (HEADER + "".join(f"{i},{i * 7},car,\n" for i in range(50)), "class", "missing"),
    "ragged rows": (HEADER + ROWS + "1,2\n", "class", "202"),
    "a wrong encoding": ((HEADER + "30,10,caf\xe9,good\n" * 50).encode("latin-1"), "class", "UTF-8"),
    "zeros": (b"\x00" * 5000, "class", ""),
}


@pytest.mark.parametrize("case", INITS)
def test_init_refuses(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    content, target, said = INITS[case]
    (tmp_path / "data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.chdir(tmp_path)
    code, out, err = run("init", "data.csv", "--target", target, "--json")
    told = json.loads(out)
    assert code == told["exit_code"]
    assert code in (1, 2)
    assert said.lower() in told["error"].lower()
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_init_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    write_loans(tmp_path / "loans.csv")
    monkeypatch.chdir(tmp_path)
    code, _, err = run("init", "loan.csv", "--target", "class")
    assert code == 2
    assert "Did you mean 'loans.csv'" in err
    (tmp_path / "loans.csv").chmod(0)
    code, _, err = run("init", "loans.csv", "--target", "class")
    assert code in (0, 2, 3)  # root reads everything
    assert "Traceback" not in err


TRAINS = {
    "one class": (HEADER + "".join(f"{i % 60 + 18},{i * 7 % 911},car,good\n" for i in range(100)), "class"),
    "three rows": (HEADER + ROWS.splitlines(keepends=True)[0] * 3, "class"),
}


@pytest.mark.parametrize("case", TRAINS)
def test_train_refuses(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    content, _ = TRAINS[case]
    folder = project_in(tmp_path / "p")
    (folder / "loans.csv").write_text(content)
    monkeypatch.chdir(folder)
    code, out, err = run("train", "--json")
    told = json.loads(out)
    assert code == told["exit_code"]
    assert code in (1, 2)
    assert "Traceback" not in err
    _, listed, _ = run("list", "--json")
    assert json.loads(listed)["versions"] == []


@pytest.mark.parametrize("rows", [3, 12])
def test_very_few_rows_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, rows: int) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ROWS.splitlines(keepends=True)
    (tmp_path / "data.csv").write_text(HEADER + "".join(lines[:rows]))
    code, out, err = run("init", "data.csv", "--target", "class", "--json")
    assert "Traceback" not in err
    if code == 0:
        changed(tmp_path, search={"candidates": ("linear",), "trials": 1})
        code, out, err = run("train", "--json")
        assert "Traceback" not in err
    assert json.loads(out)
    assert code in (0, 1, 2)
    assert rows > 3 or code in (1, 2)


def test_two_thousand_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    lines = [",".join([*(f"c{i}" for i in range(2000)), "y"])]
    for _ in range(120):
        values = [round(draw.gauss(0, 1), 3) for _ in range(2000)]
        lines.append(",".join([*map(str, values), "up" if values[3] + values[7] > 0 else "down"]))
    (tmp_path / "wide.csv").write_text("\n".join(lines))
    code, out, _ = run("init", "wide.csv", "--target", "y", "--json")
    assert code == 0
    assert len(json.loads(out)["columns"]) == 2000
    changed(tmp_path, search={"candidates": ("decision_tree",), "folds": 2})
    monkeypatch.setattr(publishing, "IMPORTANCE_SECONDS", 1.0)  # it would take its ten for so many columns
    code, out, err = run("train", "--trials", "1", "--json")
    assert code in (0, 1)
    assert json.loads(out)["format"] == "onnx"
    assert "Traceback" not in err


def test_a_project_file_with_a_slip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    folder = project_in(tmp_path / "p")
    monkeypatch.chdir(folder)
    text = (folder / "mainstay.toml").read_text()
    (folder / "mainstay.toml").write_text(text.replace("trials = 2", 'trials = "two"'))
    assert run("train")[0] == 2
    (folder / "mainstay.toml").write_text(text.replace("trials = 2", "trails = 2"))
    code, _, err = run("train")
    assert code == 2
    assert "Did you mean 'trials'" in err
    (folder / "mainstay.toml").write_text("= broken")
    code, _, err = run("train")
    assert code == 2
    assert "not valid TOML" in err
