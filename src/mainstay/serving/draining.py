"""How long the requests in flight have when a server is told to end: as long as they may take."""

from __future__ import annotations

SHORTEST, LONGEST = 25.0, 300.0
"""Seconds that they have at least, and at most, however long a request may take: who stops a server waits for that."""
LAST_CALL = 5.0
"""Seconds in which connections that were open may still bring a request."""
BEYOND = 5.0
"""Seconds after which a worker that has not ended is killed."""


def drain_within(timeout: float) -> float:
    """Seconds that a worker waits for its last answers, where a request may take `timeout` seconds."""
    return min(max(SHORTEST, timeout + LAST_CALL), LONGEST)


def end_within(timeout: float) -> float:
    """Seconds that workers have to end."""
    return drain_within(timeout) + BEYOND
