"""The short way to the commands that serve means what the long way means, or leaves words to it."""

from __future__ import annotations

import subprocess
import sys
from itertools import chain

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstay.cli import app, entry, serving

VALUES = ("0", "1", "8080", "65536", "-1", "007", "1_0", "٣", "1.5", "", "x y", "-h", "--json", "a/b", "::1")
WORDS = st.sampled_from((*(option.flag for option in serving.OPTIONS), "--port=1", "--help", "more", *VALUES))
PLAIN = st.one_of(
    *(
        st.just([option.flag])
        if option.kind is bool
        else st.sampled_from(VALUES).map(lambda value, flag=option.flag: [flag, value])
        for option in serving.OPTIONS
    )
)
LINES = st.one_of(st.lists(PLAIN, max_size=4).map(lambda pairs: list(chain(*pairs))), st.lists(WORDS, max_size=5))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["serve", "up"]), LINES)
def test_both_ways_mean_the_same(monkeypatch, command, words):
    meant = []
    monkeypatch.setattr(serving, "serve", lambda said: meant.append(said) or 0)
    short = serving.understood([command, *words])
    if short is None:
        return
    assert app.run([command, *words]) == 0
    nothing_said = {option.name: False if option.kind is bool else None for option in serving.OPTIONS}
    assert meant == [nothing_said | short]


def test_plain_words_are_understood_and_others_left():
    words = ["up", "--host", "0.0.0.0", "--port", "0", "--workers", "2", "--trust", "types.txt", "--json"]
    said = serving.understood(words)
    assert said is not None
    assert said["controller"] is True
    assert (said["host"], said["port"], said["workers"], str(said["trust"])) == ("0.0.0.0", 0, 2, "types.txt")
    for other in (
        ["deploy", "x"],
        [],
        ["serve", "--help"],
        ["serve", "--port"],
        ["serve", "--port", "1", "--port", "2"],
    ):
        assert serving.understood(other) is None


def test_an_error_of_the_short_way_is_told_as_any_other(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    short, long = ["serve", "--port", "0"], ["serve", "--port=0"]
    assert serving.understood(long) is None
    assert entry.run(short) == entry.run(long) == 2
    first, second = capfd.readouterr().err.splitlines()
    assert first == second
    assert first.startswith("Error: ")


def test_serving_loads_nothing_that_explains_commands(tmp_path):
    code = "import sys; from mainstay.cli import entry; entry.run(['serve', '--port', '0']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True
    )
    assert "mainstay.operations.serving" in done.stdout
    assert not {"typer", "pydantic", "mainstay.cli.commands"} & set(done.stdout.split())
