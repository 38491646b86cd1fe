"""gRPC's own client, with the messages of the server: what is called, in the words of the tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dialects
import grpc
import numpy as np

from mainstay.serving.grpc.messages import INFERENCE, Messages

MESSAGES = Messages()
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Client:
    """Calls one server."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def stub(self, name: str, service: str = INFERENCE, *, streams: bool = False):
        """What calls a method."""
        package = service.rpartition(".")[0]
        asked = {"ModelStreamInfer": "ModelInferRequest", "Check": "HealthCheckRequest"}.get(name, f"{name}Request")
        told = {"Check": "HealthCheckResponse"}.get(name, f"{name}Response")
        if name == "ServerReflectionInfo":
            asked, told = "ServerReflectionRequest", "ServerReflectionResponse"
        made = self.channel.stream_stream if streams else self.channel.unary_unary
        reads = MESSAGES[f"{package}.{told}"].FromString
        kind = MESSAGES[f"{package}.{asked}"]
        call = made(f"/{service}/{name}", request_serializer=kind.SerializeToString, response_deserializer=reads)
        return kind, call

    def call(self, name: str, /, *, of: str = INFERENCE, metadata=None, timeout=20, **fields: Any):
        kind, call = self.stub(name, of)
        return call(kind(**fields), metadata=metadata, timeout=timeout)

    def infer(self, request, **more: Any):
        return self.stub("ModelInfer")[1](request, timeout=more.pop("timeout", 20), **more)


@contextmanager
def calling(address: str, trust: bytes | None = None) -> Iterator[Client]:
    """A client of its own channel: channels to one address share a connection otherwise.

    Args:
        trust: the certificate of an authority, for TLS.
    """
    options = [("grpc.use_local_subchannel_pool", 1)]
    if trust is None:
        made = grpc.insecure_channel(address, options=options)
    else:
        made = grpc.secure_channel(address, grpc.ssl_channel_credentials(trust), options=options)
    with made as channel:
        yield Client(channel)


def request(model: str, inputs: list[Mapping[str, Any]], *, raw: bool, **fields: Any):
    """A `ModelInferRequest` of what JSON would send: inputs with name, datatype, shape and data."""
    made = MESSAGES["ModelInferRequest"](model_name=model, **fields)
    for each in inputs:
        kind, flat = each["datatype"], list(np.array(each["data"], dtype=object).reshape(-1))
        given = made.inputs.add(name=each["name"], datatype=kind, shape=each["shape"])
        if raw:
            made.raw_input_contents.append(packed(kind, flat))
        else:
            cells = [cell.encode() if isinstance(cell, str) else cell for cell in flat]
            getattr(given.contents, _FIELDS[kind]).extend(cells)
    return made


def packed(kind: str, flat: list[Any]) -> bytes:
    if kind == "BYTES":
        texts = [cell.encode() for cell in flat]
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    return np.array(flat, dtype=DTYPES[kind]).tobytes()


DTYPES = {
    "BOOL": "?",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    **{
        f"{sign}INT{bits}": f"<{letter}{bits // 8}"
        for sign, letter in (("", "i"), ("U", "u"))
        for bits in (8, 16, 32, 64)
    },
}


def answers(reply) -> dict[str, list[Any]]:
    """The outputs of an answer by name, flat, however they were sent."""
    found = {}
    for at, output in enumerate(reply.outputs):
        if not reply.raw_output_contents:
            found[output.name] = list(getattr(output.contents, _FIELDS[output.datatype]))
        elif output.datatype == "BYTES":
            found[output.name] = texts(reply.raw_output_contents[at])
        else:
            found[output.name] = np.frombuffer(reply.raw_output_contents[at], DTYPES[output.datatype]).tolist()
    return found


def rows_asked(client: Client, model: str, rows: dialects.Rows, *, raw: bool) -> tuple[list[Any], list[list[float]]]:
    """The predictions and the probabilities of rows by name."""
    inputs = dialects.v2(rows)["inputs"]
    for each in inputs:
        if not any(isinstance(value, str | bool) for value in each["data"]):  # a number that is missing is none here
            each |= {"datatype": "FP64", "data": [math.nan if value is None else value for value in each["data"]]}
    found = answers(client.infer(request(model, inputs, raw=raw)))
    predictions = [each.decode() if isinstance(each, bytes) else each for each in found["prediction"]]
    width = len(found["probabilities"]) // len(rows)
    shares = found["probabilities"]
    return predictions, [shares[at : at + width] for at in range(0, len(shares), width)]


def texts(raw: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        found.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    return found
