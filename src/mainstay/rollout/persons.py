"""What a person may ask of a rollout: the same moves, by the same table."""

from __future__ import annotations

from mainstay.registry.records import Rollout, RolloutState
from mainstay.rollout.decide import Decision, World, held_up, moved, validation
from mainstay.rollout.errors import NotToBePromoted
from mainstay.rollout.states import held_to_table
from mainstay.rollout.strategies import expected, switched


def pause(rollout: Rollout, reason: str) -> Decision:
    """Leaves everything as it is until somebody resumes it. Raises IllegalMove."""
    return moved(rollout, "paused", "paused", reason, held=rollout.held)


def resume(rollout: Rollout, reason: str) -> Decision:
    """Goes on where it was paused. Raises IllegalMove."""
    target: RolloutState = "progressing"
    if rollout.mode == "probe":
        target = "validating"
    elif switched(rollout):
        target = "watching"
    # What was held stays held; patience that was lost begins anew.
    least = rollout.plan.warm if target == "watching" else rollout.plan.hold
    return moved(rollout, "resumed", target, reason, held=min(rollout.held, least))


def roll_back(rollout: Rollout, reason: str) -> Decision:
    """Back to the stable version at once. Raises IllegalMove."""
    return moved(rollout, "withdrawn", "rolling_back", reason)


def promote(rollout: Rollout, world: World, reason: str) -> Decision:
    """Makes the candidate the stable version, whatever steps are left; after a blue-green switch, ends the watch.

    Raises:
        IllegalMove: there is nothing to promote.
        NotToBePromoted: it is not validated, not approved or not ready everywhere, or a freeze window is open.
    """
    ref = rollout.candidate.ref
    target: RolloutState = "completed" if switched(rollout) else "promoting"
    held_to_table(ref, rollout.state, "promoted", target)
    one = expected(rollout)
    if world.stable_is is None or world.stable_is.id != one.id:
        raise NotToBePromoted(ref, f"{one.ref} does not take the traffic any more", "see mainstay status")
    if world.errors:
        server, error = min(world.errors.items())
        raise NotToBePromoted(ref, f"{server} cannot serve it: {error}", "see mainstay status")
    if rollout.mode == "probe" and (lacking := validation(world.evidence, world.servers)):
        raise NotToBePromoted(ref, lacking, "wait until every server has")
    if lacking := held_up(rollout, world.frozen):
        raise NotToBePromoted(ref, lacking, "see mainstay status")
    if (
        target == "promoting"
        and rollout.plan.strategy == "blue-green"
        and not (rollout.mode == "warm" and world.acknowledged)
    ):
        raise NotToBePromoted(ref, "it is not ready on every server", "wait until it is")
    return moved(rollout, "promoted", target, reason)
