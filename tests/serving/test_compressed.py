"""Compressed bodies: answered as those that come as they are, and bounded by what comes out of them."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import dialects
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subjects import ROW

from mainstay.serving.batching import Late
from mainstay.serving.bounded import TooLarge
from mainstay.serving.compressed import AT_ONCE, Inflater, coding_of, inflated
from mainstay.serving.plane import LONG_BODY
from mainstay.serving.protocols.codec import Problem
from mainstay.serving.strict import BadBody

PACKED = {"gzip": gzip.compress, "deflate": zlib.compress}
BODY = json.dumps(ROW).encode()
LARGE = gzip.compress(bytes(100_000_000), 1)
"""A hundred million zeros in half a million bytes."""


def post(client: httpx.Client, content: bytes, coding: str, path: str = "/predict", **more: str) -> httpx.Response:
    return client.post(path, content=content, headers={"content-encoding": coding, **more})


@pytest.mark.parametrize("number", [1, 3000])
@pytest.mark.parametrize("how", ["plain", "plain csv", "tf rows", "mlflow split", "v2", "v2 in bytes"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "X-GZIP"])
def test_every_protocol_takes_them(client, how, coding, number):
    path, body, headers = dialects.BODIES[how]("loan", [ROW] * number)
    whole = body if isinstance(body, bytes) else json.dumps(body).encode()
    packed = PACKED["deflate" if coding == "deflate" else "gzip"](whole)
    headers = {"content-type": "application/json", **headers}
    plain = client.post(path, content=whole, headers=headers)
    reply = post(client, packed, coding, path, **headers)
    assert dialects.said(reply) == dialects.said(plain)
    assert len(dialects.said(reply)[0]) == number


REFUSED = {
    "cut off": (PACKED["gzip"](BODY)[:-4], "gzip", 400, "cut off"),
    "nothing": (b"", "deflate", 400, "cut off"),
    "not what it says": (BODY, "gzip", 400, "no gzip"),
    "of the other kind": (PACKED["gzip"](BODY), "deflate", 400, "no deflate"),
    "a wrong checksum": (PACKED["gzip"](BODY)[:-8] + bytes(8), "gzip", 400, "no gzip"),
    "more behind it": (PACKED["gzip"](BODY) + b"{}", "gzip", 400, "2 bytes stand behind"),
    "several members": (PACKED["gzip"](BODY[:9]) + PACKED["gzip"](BODY[9:]), "gzip", 400, "stand behind"),
    "compressed twice": (PACKED["gzip"](PACKED["gzip"](BODY)), "gzip, gzip", 415, "gzip or deflate"),
    "in another way": (BODY, "br", 415, "gzip or deflate"),
}


@pytest.mark.parametrize("path", ["/predict", "/v2/models/loan/infer", "/v1/models/loan:predict", "/invocations"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_inflated_is_refused_in_words(client, path, case):
    body, coding, status, words = REFUSED[case]
    reply = post(client, body, coding, path)
    assert (reply.status_code, words in reply.text) == (status, True), reply.text
    assert ("accept-encoding" in reply.headers) == (status == 415)


def test_a_coding_in_a_second_line_counts(client):
    lines = [("content-encoding", "gzip"), ("content-encoding", "gzip")]
    assert client.post("/predict", content=PACKED["gzip"](BODY), headers=lines).status_code == 415
    lines = [("content-encoding", "identity"), ("content-encoding", "gzip")]
    assert client.post("/predict", content=PACKED["gzip"](BODY), headers=lines).status_code == 200
    assert post(client, BODY, "identity").status_code == 200


def test_labels_are_inflated_too(client):
    told = json.dumps({"labels": [{"id": "1", "label": "good"}]}).encode()
    plain = client.post("/labels", content=told)
    packed = post(client, gzip.compress(told), "gzip", "/labels")
    assert (packed.status_code, packed.text) == (plain.status_code, plain.text)
    assert post(client, b"not", "gzip", "/labels").status_code == 400


def test_a_bomb_is_refused_and_takes_no_memory(server):
    workers = server.workers()
    before = max(worker.memory_info().rss for worker in workers)
    with server.client() as client, ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: post(client, LARGE, "gzip"), range(32)))
        assert {(reply.status_code, "20000000 bytes" in reply.text) for reply in replies} == {(413, True)}
        assert client.post("/predict", json=ROW).status_code == 200
    assert max(worker.memory_info().rss for worker in workers) - before < 150_000_000


def test_no_more_is_made_of_a_bomb_than_a_body_may_have():
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="1000000 bytes"):
            inflated(LARGE, "gzip", 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=3000), st.sampled_from(sorted(PACKED)), st.integers(-1, 1))
def test_what_was_compressed_comes_out_up_to_the_bound(data, coding, more):
    packed, at_most = PACKED[coding](data), max(0, len(data) + more)
    if len(data) > at_most:
        with pytest.raises(TooLarge):
            inflated(packed, coding, at_most)
    else:
        assert inflated(packed, coding, at_most) == data


@given(st.binary(max_size=200), st.sampled_from(sorted(PACKED)), st.binary(max_size=9), st.integers(0, 300))
def test_whatever_comes_is_inflated_or_refused(data, coding, changed, at):
    packed = PACKED[coding](data)
    for wrong in (changed, packed[:at], packed[:at] + changed + packed[at:]):
        with suppress(TooLarge, BadBody):
            assert len(inflated(wrong, coding, 100)) <= 100


@pytest.mark.parametrize(
    ("said", "coding"),
    [([], None), (["identity"], None), (["gzip"], "gzip"), (["x-gzip"], "gzip"), ([" Deflate ,, identity"], "deflate")],
)
def test_codings_are_read_as_the_standard_has_them(said, coding):
    assert coding_of(said) == coding


@pytest.mark.parametrize("said", [["gzip", "gzip"], ["gzip,deflate"], ["zstd"], ["\x00"]])
def test_other_codings_are_none(said):
    with pytest.raises(Problem, match="gzip or deflate"):
        coding_of(said)


def test_of_those_that_become_long_few_are_held_and_the_others_wait_as_they_came():
    long, short = gzip.compress(bytes(LONG_BODY + 1)), gzip.compress(bytes(LONG_BODY))

    async def ask(pool) -> tuple[int, int]:
        inflater, held, most, late = Inflater(pool, at_most=1_000_000), 0, 0, 0

        async def one(within: float) -> None:
            nonlocal held, most, late
            try:
                async with inflater.whole(long, "gzip", within=within) as whole:
                    assert whole == bytes(LONG_BODY + 1)
                    held += 1
                    most = max(most, held)
                    async with inflater.whole(short, "gzip", within=0) as another:  # needs no room
                        assert another == bytes(LONG_BODY)
                    await asyncio.sleep(0.05)
                    held -= 1
            except Late:
                late += 1

        await asyncio.gather(*(one(30) for _ in range(3 * AT_ONCE)))
        assert late == 0
        await asyncio.gather(*(one(30) for _ in range(AT_ONCE)), *(one(0) for _ in range(3)))
        return most, late

    with ThreadPoolExecutor(2) as pool:
        assert asyncio.run(ask(pool)) == (AT_ONCE, 3)
