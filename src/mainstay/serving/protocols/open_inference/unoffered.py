"""What Triton's clients can ask for beyond this server, and why it is not there."""

from __future__ import annotations

import re

_SHARED = (
    "Shared memory is not offered: a server reads no memory that a caller names. Send tensors in the request, as bytes "
    "where they are large."
)
_TRACES = "Traces are not set over this protocol: give otlp and trace_share in [serve] of mainstay.toml."
_LOGS = "The log is not set over this protocol: it goes to standard error, where whoever runs the server takes it."
_PATHS = (
    (re.compile(r"/(?:system|cuda)sharedmemory(?:/.*)?"), _SHARED),
    (re.compile(r"(?:/models/[^/]+)?/trace/setting"), _TRACES),
    (re.compile(r"/logging"), _LOGS),
)
_CALLS = {
    **{
        f"{kind}SharedMemory{verb}": _SHARED
        for kind in ("System", "Cuda")
        for verb in ("Status", "Register", "Unregister")
    },
    "TraceSetting": _TRACES,
    "LogSettings": _LOGS,
}


def unoffered(path: str) -> str | None:
    """Why nothing is at a path of Triton's, which begins after the /v2; None for any other path."""
    return next((why for pattern, why in _PATHS if pattern.fullmatch(path)), None)


def unoffered_call(name: str) -> str | None:
    """The same of a call of Triton's over gRPC, such as "TraceSetting"."""
    return _CALLS.get(name)
