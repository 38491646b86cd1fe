"""What is generated for the API tests, but for what no JSON schema can say.

A number is refused beyond 2^53 where it is written as an integer, for a double may not hold it; as a fraction or with
an exponent it is a double by itself. To a JSON schema 10000000000000000 and 1e16 are the same number.
"""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    return not _large(body)


def _large(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_large(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_large(inner) for inner in value)
    return isinstance(value, float) and abs(value) >= 2.0**53
