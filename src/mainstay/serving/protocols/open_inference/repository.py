"""The model repository: what is there, and what callers ask to have loaded and unloaded.

The shapes are Triton's: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
There the index tells of every model that is available, loaded or not. Here that is the registry: each version that is
deployed, and, of a model of which none is, the name alone.
"""

from __future__ import annotations

from typing import Any

from mainstay.serving.protocols.codec import Wish
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.strict import BadBody, decoded, kind

Json = dict[str, Any]

_REASON = "over the Open Inference Protocol"
_NOT_DEPLOYED = "It is not deployed: load it, or run mainstay deploy {}:NUMBER."


def index(body: bytes, desk: Desk) -> list[Json]:
    """The models of the registry; with `{"ready": true}` in the body, the versions that answer alone.

    Raises:
        BadBody: it asks for something else.
    """
    asked = decoded(body, forms="") if body.strip() else {}
    if not isinstance(asked, dict) or not isinstance(ready := asked.get("ready", False), bool):
        raise BadBody('The body is no {"ready": true}.', field="ready")
    listed: list[Json] = []
    for name in sorted({*desk.registered, *desk.names}):
        answering, failing = desk.versions(name), {} if ready else desk.failing(name)
        for number in sorted({*answering, *failing}):
            state, why = ("READY", "") if number in answering else ("UNAVAILABLE", failing[number])
            listed.append({"name": name, "version": str(number), "state": state, "reason": why})
        if not (answering or failing or ready):
            why = desk.why(name) if desk.fails(name) else _NOT_DEPLOYED.format(name)
            listed.append({"name": name, "version": "", "state": "UNAVAILABLE", "reason": why})
    return listed


def wish(verb: str, model: str, body: bytes) -> Wish:
    """What a caller asks to have changed.

    Raises:
        BadBody: with parameters that cannot be obeyed.
    """
    asked = decoded(body, forms="") if body.strip() else {}
    if not isinstance(asked, dict):
        raise BadBody(f"The body is {kind(asked)}, not an object.")
    parameters = asked.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadBody(f"'parameters' is {kind(parameters)}, not an object.", field="parameters")
    for name, value in parameters.items():
        if verb == "unload" and name == "unload_dependents" and isinstance(value, bool):
            continue  # no model here depends on another
        if verb == "load":
            raise BadBody(
                f"Parameter {name[:100]!r} is not taken: a version never changes; register another one.", field=name
            )
        raise BadBody(f"Parameter {name[:100]!r} is none of this: it takes unload_dependents.", field=name)
    return Wish("load" if verb == "load" else "unload", model, f"{verb} {_REASON}")
