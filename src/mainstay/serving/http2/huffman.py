"""The Huffman code of header strings (RFC 7541, appendix B): decoded four bits at a step."""

from __future__ import annotations

from functools import cache

from mainstay.serving.http2.frames import COMPRESSION_ERROR, Broken

_LENGTHS = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c060a0a0c0d06080b0a0a080b080606060505050606060606"
    "060607080f060c0a0d06070707070707070707070707070707070707070707070807080d130d0e060f050605060506060605070706060605"
    "06070605050607070707070f0b0e0d1c14161414161616171617171717171817181816171817171717151617161717181615141616171715"
    "1716161815161717151516151716171714161616171616171a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a1e"
)
"""Bits of the code of each octet, and of the end of a string. The code is canonical: the lengths say all of it."""
_END = 256
_FAILED = -1
Step = tuple[int, bytes]
"""The next state, and what was decoded on the way there."""


def decoded(data: bytes) -> bytes:
    """A decoded string.

    Raises:
        Broken: it holds the code of the end, or ends in what is no padding.
    """
    steps, may_end = _machine()
    state, found = 0, bytearray()
    for octet in data:
        for four in (octet >> 4, octet & 15):
            state, octets = steps[state][four]
            found += octets
            if state == _FAILED:
                raise Broken(COMPRESSION_ERROR, "a header holds the code of the end of a string")
    if state not in may_end:
        raise Broken(COMPRESSION_ERROR, "a header ends in what is no padding")
    return bytes(found)


@cache
def _machine() -> tuple[list[list[Step]], frozenset[int]]:
    """By state and four bits, the step; and the states that a string may end in. States are inner nodes of the tree."""
    children: list[list[int]] = [[0, 0]]  # a negative child is a leaf: -1 - symbol
    ones = [0]  # the nodes that only 1s lead to
    code = before = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(_LENGTHS)):
        code <<= length - before
        before = length
        _insert(children, code, length, symbol)
        code += 1
    for _ in range(7):
        node = children[ones[-1]][1]
        assert node > 0
        ones.append(node)
    return [[_step(children, node, four) for four in range(16)] for node in range(len(children))], frozenset(ones)


def _insert(children: list[list[int]], code: int, length: int, symbol: int) -> None:
    node = 0
    for at in range(length - 1, 0, -1):
        bit = code >> at & 1
        if children[node][bit] == 0:
            children.append([0, 0])
            children[node][bit] = len(children) - 1
        node = children[node][bit]
    children[node][code & 1] = -1 - symbol


def _step(children: list[list[int]], node: int, four: int) -> Step:
    found = bytearray()
    for at in (3, 2, 1, 0):
        node = children[node][four >> at & 1]
        if node < 0:
            symbol = -1 - node
            if symbol == _END:
                return _FAILED, b""
            found.append(symbol)
            node = 0
    return node, bytes(found)
