"""What a caller prefers to get, by the header Accept (RFC 9110, 12.5.1)."""

from __future__ import annotations


def preferred(accept: str) -> list[str]:
    """The parts of Accept, the most wanted first, as they stand where they are wanted alike; without the unwanted."""
    return [part for part in sorted(accept.split(","), key=_quality, reverse=True) if _quality(part) > 0]


def parameter(part: str, name: str) -> str | None:
    """What a parameter of a part says; None where it is not there."""
    for each in part.split(";")[1:]:
        called, _, value = each.partition("=")
        if called.strip().lower() == name:
            return value.strip().strip('"')
    return None


def _quality(part: str) -> float:
    """The q of a part (RFC 9110, 12.4.2); 0 where it is none."""
    said = parameter(part, "q")
    if said is None:
        return 1.0
    try:
        return float(said) if 0.0 <= float(said) <= 1.0 else 0.0
    except ValueError:
        return 0.0
