"""Candidates that answer rightly while they are tried, and then do something else to their callers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from load import LEAST

from mainstay.models.classes import UntrustedCode
from mainstay.models.formats.foreign.protocol import Told
from mainstay.models.importing import draft_of_file
from mainstay.models.package import Draft
from mainstay.operations.loading import loaded
from mainstay.serving.uv import resolve
from python_classes import plain, trust

DOES = ("crashes", "hangs", "leaks", "answers wrongly", "answers slowly", "raises")
CODE = f"""\
import json, os, signal, time

class Model:
    def __init__(self, folder):
        told = json.loads((folder / "does.json").read_text())
        self.does, self.after = told["does"], told["after"]
        self.asked, self.kept = 0, []

    def predict(self, rows):
        x = rows["x"]
        self.asked += int((x >= {LEAST}).sum())
        if self.asked <= self.after or (x < {LEAST}).any():
            return x
        match self.does:
            case "crashes":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hangs":
                time.sleep(3600)
            case "leaks":
                self.kept.append(bytearray(b"1") * (64 << 20))
            case "answers wrongly":
                return x + 1
            case "answers slowly":
                time.sleep(0.05)
            case "raises":
                raise RuntimeError("no")
        return x
"""
TOML = """\
class = "model:Model"

[signature]
task = "regression"
target = "y"

[[signature.inputs]]
name = "x"
type = "number"
minimum = 0
maximum = 900
"""
LIMITS = {"class_memory_mb": 1024, "class_seconds": 2.0}


def bad_candidates(project: Path, cases: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Draft]:
    """What a candidate does, and after how many requests, to its files; the project's operator trusts them all."""
    told = Told(
        opened=lambda package: loaded(project, package), locked=lambda text, python: resolve(text, python=python)
    )
    codes: list[str] = []
    made: dict[tuple[str, int], Draft] = {}
    for does, after in cases:
        folder = plain(project / "classes" / f"{does}-{after}", CODE, TOML)
        (folder / "does.json").write_text(json.dumps({"does": does, "after": after}))
        trust(project, *codes, **LIMITS)
        with pytest.raises(UntrustedCode) as refused:
            draft_of_file(folder, told)
        codes.append(refused.value.code)
        trust(project, *codes, **LIMITS)
        made[does, after] = draft_of_file(folder, told).draft
    return made
