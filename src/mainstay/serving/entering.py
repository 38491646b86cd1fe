"""When a worker that was just started begins to accept.

What it cannot load it would refuse, while the worker beside it, which has loaded it long ago, would have answered: so
it leaves the callers to that one for as long as that lives, and tries again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from mainstay.serving.routing import Acknowledgement


def left_to_others(
    errors: Mapping[str, str],
    serving: Iterable[str],
    said: Iterable[Acknowledgement],
    *,
    own: int,
    lives: Callable[[int], bool],
) -> list[str]:
    """The models that only other workers can answer for now; none where nobody else can either.

    Args:
        errors: of this worker, by model.
        serving: models that answer in this worker.
        said: what workers acknowledged last.
        own: the process id of this one.
        lives: whether a process lives.
    """
    lacking = set(errors) - set(serving)
    if not lacking:
        return []
    others = [each for each in said if each.pid != own and lives(each.pid)]
    return sorted(name for name in lacking if any(name in each.serving for each in others))


def lives(pid: int) -> bool:
    """Whether a process lives, and is of this user."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
