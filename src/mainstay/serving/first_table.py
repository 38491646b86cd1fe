"""The table that the workers of a new server begin with, before there is an agent to write it.

It is the one that the agent would write first, but for where callers have something changed: the agent writes it anew
as soon as it is there, and follows the registry from then on.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mainstay.registry.glance import Served, glance
from mainstay.serving.access import Grants, grants_of
from mainstay.serving.rates import take_slots
from mainstay.serving.routing import IN_WORKER, Placed, Route, Table


class First(NamedTuple):
    """What workers need to answer."""

    table: Table
    grants: Grants


def first_table(root: Path) -> First | None:
    """For the registry in a folder, where every version that is served runs in the workers, and nobody asks for
    signatures; None: it is the agent's to write."""
    seen = glance(root)
    if seen is None or any(each.format != IN_WORKER for each in (*seen.deployed, *seen.beside)):
        return None
    routes = {
        each.model: Route(
            stable=each.ref,
            beside=tuple(other.ref for other in seen.beside if other.model == each.model),
            aliases=seen.aliases[each.model],
        )
        for each in seen.deployed
    }
    table = Table(
        generation=seen.generation,
        blobs=str(seen.blobs),
        routes=routes,
        versions={each.ref: _placed(each) for each in (*seen.deployed, *seen.beside)},
        models=seen.models,
        edition=1,
    )
    slots: dict[str, int] = {}
    take_slots(seen.keys, slots)
    return First(table, grants_of(seen.keys, slots))


def _placed(served: Served) -> Placed:
    return Placed(version=served.ref, manifest=served.manifest)
