"""What the fuzzer found once, and a few thousand changes of right requests, in each run of the suite."""

from __future__ import annotations

from pathlib import Path

import asking
import changing
import pytest

FOUND = sorted(path for path in (Path(__file__).parent / "found").iterdir() if path.name != "README.md")
CHANGES = 15
"""Of each right request."""


@pytest.fixture(scope="module")
def server():
    made = asking.Server()
    yield made
    made.close()


def test_right_requests_are_answered(server):
    said = [server.ask(seed)[0] for seed in asking.seeds(server)]
    assert len(said) > 50
    assert sum(status == 200 for status in said) > 0.9 * len(said)


def test_changed_requests_are_answered_or_refused_in_words(server):
    said = set()
    for number, seed in enumerate(asking.seeds(server)):
        for change in range(CHANGES):
            made = changing.changed(seed, 1000 * number + change)
            if made is not None:
                said.add(server.ask(made)[0])
    assert {200, 400} <= said
    assert max(said) < 500


def test_what_failed_once_does_not_fail_again(server):
    for path in FOUND:
        server.ask(path.read_bytes())


def test_a_fault_would_be_seen(server, monkeypatch):
    def broken(body, headers):
        raise RuntimeError("broken")

    seed = next(asking.seeds(server))
    target = server._app._targets[server.paths[seed[0]]]
    monkeypatch.setattr(target.codec, "read", broken)
    with pytest.raises(asking.Failed, match="RuntimeError"):
        server.ask(seed)
    server.faults.clear()


@pytest.mark.parametrize("depth", [900, 20_000, 200_000])
def test_what_is_nested_too_deeply_is_refused_in_words(server, depth):
    """By each protocol, wherever it stands, in the event loop and beside it."""
    kinds = b"[" * depth + b"]" * depth, b"[" * depth, b'{"a":' * depth + b"1" + b"}" * depth, b'{"a":' * depth
    places = b"%s", b'{"inputs":%s}', b'{"instances":%s}', b'{"inputs":[],"parameters":%s}', b'{"inputs":[],"id":%s}'
    for path in range(len(server.paths)):
        for place in places:
            for kind in kinds:
                status, said = server.ask(bytes([path, 1, 0, 0]) + place % kind)
                assert status in (400, 413), said


NUMBERS = (b"NaN", b"-Infinity", b"1e999", b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 400)
NUMBERS += (b"1" + b"0" * 5000, b"1e400000000", b"[[]]", b"{}", b"true")


def test_numbers_that_are_none_are_refused_in_words_by_each_protocol(server):
    forms = {
        "/models/double/predict": (b'{"x":%s}', b'{"inputs":[{"x":%s}]}', b'{"features":[[%s]]}'),
        "/v1/models/double:predict": (b'{"instances":[{"x":%s}]}', b'{"inputs":{"x":[%s]}}'),
        "/models/double/invocations": (b'{"dataframe_split":{"columns":["x"],"data":[[%s]]}}',),
        "/v2/models/double/infer": (
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[%s]}]}',
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"INT64","data":[%s]}]}',
            b'{"inputs":[{"name":"x","shape":[%s],"datatype":"FP64","data":[1]}]}',
            b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]}],"parameters":{"timeout":%s}}',
        ),
    }
    for path, bodies in forms.items():
        for body in bodies:
            for number in NUMBERS:
                status, said = server.ask(bytes([server.paths.index(path), 1, 0, 0]) + body % number)
                assert status == 400, (path, body, number, said)
