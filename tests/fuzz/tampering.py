"""A case with one thing of its message, or of one frame, changed: most of what is changed blindly ends at the first
length that does not fit."""

from __future__ import annotations

import random
from typing import Any

from calling_in import MESSAGE
from google.protobuf.message import DecodeError

from mainstay.serving.grpc.messages import Messages
from mainstay.serving.http2 import frames
from mainstay.serving.http2.frames import frame

MESSAGES = Messages()
KINDS = ("BOOL", "INT8", "INT64", "UINT8", "UINT64", "FP16", "FP32", "FP64", "BYTES", "BF16", "")
NAMES = ("x", "alone", "three", "whole", "age", "purpose", "sum", "", "x\0", "a" * 300)
SIZES = (-(2**63), -1, 0, 1, 2, 3, 2**31, 2**62)
CONTENTS = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")
PARAMETERS = ("timeout", "binary_data_output", "binary_data_size", "content_type", "priority", "")


def changed(case: bytes, seed: int) -> bytes | None:
    """None where the case cannot be read."""
    if len(case) < 3:
        return None
    draw = random.Random(seed)
    if case[0] % 2 != MESSAGE:
        return case[:2] + _frames(case[2:], draw)
    message = MESSAGES["ModelInferRequest"]()
    try:
        message.ParseFromString(case[2:])
    except DecodeError:
        return None
    for _ in range(draw.choice((1, 1, 2, 3))):
        _change(message, draw)
    return case[:2] + bytes(message.SerializeToString())


def _change(message: Any, draw: random.Random) -> None:
    inputs = list(message.inputs)
    one = draw.choice(inputs) if inputs else message.inputs.add(name="x", datatype="FP64", shape=[1])
    draw.choice((_tensor, _tensor, _contents, _raw, _parameter, _more))(message, one, draw)


def _tensor(message: Any, one: Any, draw: random.Random) -> None:
    del message
    match draw.randrange(3):
        case 0:
            one.datatype = draw.choice(KINDS)
        case 1:
            one.name = draw.choice(NAMES)
        case _:
            one.shape[:] = [draw.choice(SIZES) for _ in range(draw.randrange(4))]


def _contents(message: Any, one: Any, draw: random.Random) -> None:
    del message
    field = draw.choice(CONTENTS)
    value: Any = draw.choice((0, 1)) if field != "bytes" else draw.randbytes(3)
    if draw.random() < 0.3:
        one.ClearField("contents")
    getattr(one.contents, f"{field}_contents").extend([value] * draw.randrange(4))


def _raw(message: Any, one: Any, draw: random.Random) -> None:
    del one
    raw = message.raw_input_contents
    if raw and draw.random() < 0.7:
        at = draw.randrange(len(raw))
        raw[at] = raw[at][: draw.randrange(20)]
    else:
        raw.append(draw.randbytes(draw.randrange(20)))


def _parameter(message: Any, one: Any, draw: random.Random) -> None:
    asked = draw.choice((message, one)).parameters[draw.choice(PARAMETERS)]
    kind = draw.choice(("int64", "bool", "double", "string"))
    values: dict[str, tuple[Any, ...]] = {
        "int64": SIZES,
        "bool": (True, False),
        "double": (1.5, float("nan"), 1e308),
        "string": NAMES,
    }
    setattr(asked, f"{kind}_param", draw.choice(values[kind]))


def _more(message: Any, one: Any, draw: random.Random) -> None:
    if draw.random() < 0.5:
        message.outputs.add(name=draw.choice(NAMES))
    else:
        message.inputs.add().CopyFrom(one)


def _frames(sent: bytes, draw: random.Random) -> bytes:
    """Frames of which one was changed, removed, repeated or moved; its length is right again."""
    found, at = [], 0
    while at + frames.HEAD <= len(sent):
        length = int.from_bytes(sent[at : at + 3], "big")
        stream = int.from_bytes(sent[at + 5 : at + 9], "big")
        found.append((sent[at + 3], sent[at + 4], stream, sent[at + frames.HEAD : at + frames.HEAD + length]))
        at += frames.HEAD + length
    if not found:
        return sent
    place = draw.randrange(len(found))
    kind, flags, stream, payload = found[place]
    match draw.randrange(7):
        case 0:
            kind = draw.randrange(11)
        case 1:
            flags ^= 1 << draw.randrange(8)
        case 2:
            stream = draw.choice((0, 1, 2, 3, 5, 2**31 - 1))
        case 3:
            cut = draw.randrange(len(payload) + 1)
            payload = payload[:cut] + draw.randbytes(draw.randrange(4)) + payload[cut + draw.randrange(4) :]
        case 4:
            found.insert(place, found[place])
        case 5:
            found.append(found.pop(draw.randrange(len(found))))
            place = -1
            kind, flags, stream, payload = found[place]
        case _:
            extra = draw.choice((frames.settings(initial_window_size=0), frames.window_update(stream, 2**31 - 1)))
            return (
                b"".join(frame(*each) for each in found[:place])
                + extra
                + b"".join(frame(*each) for each in found[place:])
            )
    found[place] = kind, flags, stream, payload
    return b"".join(frame(*each) for each in found)
