"""Runs of ONNX graphs that hold a loop, which need not come to an end: bounded in time.

ONNX Runtime looks at `RunOptions.terminate` before each node, in the body of a loop too. All other operators end: their
work is bounded by their inputs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mainstay.models.formats.quiet_onnx import onnxruntime
from mainstay.models.refusing import InputError

LONGEST = 30.0
"""Seconds that a graph with a loop may take for one call."""
_LOOP = b"\x22\x04Loop"
"""The field op_type of a NodeProto (onnx.proto: field 4) that says so."""

Run = Callable[[Sequence[str], Mapping[str, Any]], list[Any]]


def bounded_run(session: onnxruntime.InferenceSession, graph: bytes, *, longest: float = LONGEST) -> Run:
    """What runs a session: takes names of outputs and feeds; of a graph with a loop, it raises InputError where that
    does not end in time.

    Args:
        graph: the serialized model of the session.
        longest: seconds.
    """
    if _LOOP not in graph:
        return _plain_run(session)

    def run(outputs: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        options = onnxruntime.RunOptions()
        watch = threading.Timer(longest, setattr, (options, "terminate", True))
        watch.daemon = True
        watch.start()
        try:
            answered: list[Any] = session.run(outputs, feeds, options)
        except Exception as error:  # ONNX Runtime raises classes of its own, with no common root
            if options.terminate:
                raise InputError(
                    f"A loop of the model did not come to an end within {longest:g} s for these rows."
                ) from error
            raise
        finally:
            watch.cancel()
        return answered

    return run


def _plain_run(session: onnxruntime.InferenceSession) -> Run:
    """`session.run`, without what it does in Python before each call, which is one part in eight of a small model."""
    needed = frozenset(entry.name for entry in session.get_inputs() if not entry.type.startswith("optional"))
    core = session._sess.run  # noqa: SLF001 - there is no public way
    options = onnxruntime.RunOptions()  # else each run makes its own; runs only read them

    def run(outputs: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        # The core does not look whether anything is missing.
        answered: list[Any] = core(outputs, feeds, options) if feeds.keys() >= needed else session.run(outputs, feeds)
        return answered

    return run
