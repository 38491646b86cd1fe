"""How the state of deployments and rollouts looks: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from mainstay.cli.output import brief, console, number, show, table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from mainstay.operations.standing import ModelNow, RolloutNow, ServerNow, Status

EVERY = 0.5
"""Seconds between two looks."""
Said = Callable[[str], str]
"""How what was measured is told: briefly, or all of it."""
HEADERS = ("measure", "result", "evidence", "what was seen")


def sentences(status: Status, *, verbose: bool = False) -> list[str]:
    """What a status says, a line each, but for its tables."""
    lines: list[str] = []
    for model in status.models:
        lines += [*_of_model(model, str if verbose else brief), ""]
    if not status.models:
        lines += ["Nothing is deployed. Next: mainstay deploy MODEL:NUMBER", ""]
    if not status.servers:
        lines.append("No server is running. Next: mainstay up")
    elif any(model.rollout is not None and model.rollout.ended_at is None for model in status.models):
        lines.append(_mover(status) or f"Rollouts are moved by {status.leader}.")
    return lines


def measures(status: Status, *, verbose: bool = False) -> list[tuple[str, ...]]:
    """The rows of what was measured of the rollouts that run."""
    running = [model.rollout for model in status.models if model.rollout is not None]
    return [
        (
            f"{rollout.candidate} {each.name}",
            each.result,
            number(each.e_value),
            each.words if verbose else brief(each.words, 1),
        )
        for rollout in running
        if rollout.ended_at is None
        for each in rollout.measures
    ]


def servers(status: Status) -> list[tuple[str, ...]]:
    """The rows of the running servers."""
    return [(each.url, f"{each.pid} on {each.host}", _server(each)) for each in status.servers]


def draw(out: Console, status: Status, *, verbose: bool = False) -> None:
    """A status, once."""
    for line in sentences(status, verbose=verbose):
        out.print(line, markup=False)
    if rows := measures(status, verbose=verbose):
        table(out, HEADERS, rows)
    if status.servers:
        table(out, ("server", "process", "state"), servers(status))


def watch(
    read: Callable[[], Status], *, rollout: str | None = None, verbose: bool = False, as_json: bool = False
) -> RolloutNow | None:
    """Shows how things stand until Ctrl-C; of one rollout, by its id, until it has ended.

    A terminal has a picture that is drawn again; elsewhere there are lines, and JSON is one object a line, whenever
    something changed.

    Returns:
        The rollout that has ended.
    """
    out = console()
    try:
        if out.is_terminal and not as_json:
            return _live(out, read, rollout, verbose=verbose)
        return _told(out, read, rollout, verbose=verbose, as_json=as_json)
    except KeyboardInterrupt:
        return None


def _live(out: Console, read: Callable[[], Status], rollout: str | None, *, verbose: bool) -> RolloutNow | None:
    from rich.live import Live  # noqa: PLC0415

    with Live(picture(read(), verbose=verbose), console=out, auto_refresh=False) as live:
        while True:
            status = read()
            live.update(picture(status, verbose=verbose), refresh=True)
            if (ended := _ended(status, rollout)) is not None:
                return ended
            time.sleep(EVERY)


def _told(
    out: Console, read: Callable[[], Status], rollout: str | None, *, verbose: bool, as_json: bool
) -> RolloutNow | None:
    before: object = None
    while True:
        status = read()
        if (now := _changes(status)) != before:
            if as_json:
                show(status, as_json=True, human=lambda _: None)
            else:
                for line in _briefly(status, str if verbose else brief):
                    typer.echo(line)
            before = now
        if (ended := _ended(status, rollout)) is not None:
            return ended
        time.sleep(EVERY)


def _changes(status: Status) -> object:
    """What is worth a line: not the seconds and the counts that go by."""
    seen = [
        (
            model.model,
            model.version,
            model.rollout and (model.rollout.id, model.rollout.state, model.rollout.step, model.rollout.share),
            model.rollout and (model.rollout.result, model.rollout.approvals, model.rollout.ended_at),
        )
        for model in status.models
    ]
    return seen, status.leader, status.silent is None, [(server.url, server.errors) for server in status.servers]


def _briefly(status: Status, said: Said) -> Iterator[str]:
    """A line a model, and what is wrong."""
    for model in status.models:
        rollout = model.rollout
        if rollout is None:
            yield f"{model.version} takes the traffic."
        elif rollout.ended_at is not None:
            yield from _of_ended(rollout, said)
        else:
            news = rollout.result and rollout.words != rollout.why
            evidence = f"; evidence {rollout.result}: {said(rollout.words)}" if news else ""
            yield f"{rollout.candidate} {_named(rollout.state)}{_where(rollout)}: {said(rollout.why)}{evidence}"
            if (trouble := _mover(status)) is not None:
                yield trouble
    for server in status.servers:
        yield from (f"{server.url}: {name}: {why}" for name, why in server.errors.items())


def _mover(status: Status) -> str | None:
    """What is wrong with who moves rollouts; None: he does."""
    if status.leader is None:
        return "Nobody moves rollouts: run mainstay up."
    if status.silent is None:
        return None
    return (
        f"Rollouts stand still: {status.leader} has said nothing for {status.silent:.0f} s or longer, as it hangs or "
        "cannot write to the registry; candidates lose their traffic half a minute after its last word."
    )


def _ended(status: Status, rollout: str | None) -> RolloutNow | None:
    found = (model.rollout for model in status.models if model.rollout is not None and model.rollout.id == rollout)
    return next((each for each in found if each.ended_at is not None), None)


def picture(status: Status, *, verbose: bool = False) -> RenderableType:
    """A status as one picture."""
    from rich import box  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    parts: list[RenderableType] = [Text(line) for line in sentences(status, verbose=verbose)]
    for headers, rows in (
        (HEADERS, measures(status, verbose=verbose)),
        (("server", "process", "state"), servers(status)),
    ):
        if rows:
            drawn = Table(*headers, box=box.SIMPLE_HEAD)
            for row in rows:
                drawn.add_row(*(Text(cell, style=_style(cell)) for cell in row))
            parts.append(drawn)
    return Group(*parts)


def _style(cell: str) -> str:
    return {"failed": "bold red", "error": "bold red", "successful": "green", "inconclusive": "yellow"}.get(cell, "")


def _of_model(model: ModelNow, said: Said) -> Iterator[str]:
    why = f" ({model.reason})" if model.reason else ""
    yield f"{model.version} takes the traffic, since {model.since:%Y-%m-%d %H:%M:%S} UTC, by {model.actor}{why}."
    if model.beside:
        yield f"Beside it: {', '.join(model.beside)}."
    if model.rollout is not None:
        yield from (_of_rollout if model.rollout.ended_at is None else _of_ended)(model.rollout, said)


def _of_rollout(rollout: RolloutNow, said: Said) -> Iterator[str]:
    yield f"Rollout of {rollout.candidate} ({rollout.strategy}): {_named(rollout.state)}{_where(rollout)}."
    if len(rollout.steps) > 1:
        steps = (f"[{step:g}]" if at == rollout.step else f"{step:g}" for at, step in enumerate(rollout.steps, 1))
        yield f"  Steps (percent): {' '.join(steps)}"
    yield f"  Since {rollout.since:%H:%M:%S} UTC: {said(rollout.why)}"
    if rollout.waits_for:
        yield f"  Waits for: {said(rollout.waits_for)}"
    model = rollout.candidate.partition(":")[0]
    if rollout.state == "paused":
        yield f"  Next, by you: mainstay promote {model}, mainstay resume {model}, or mainstay rollback {model}"
    if rollout.approvals:
        yield f"  Approved by {', '.join(rollout.approvals)}"
    elif rollout.approvers:
        yield f"  To be approved by {' or '.join(rollout.approvers)}: mainstay approve {model} --key-file FILE"
    ours, theirs = rollout.counts["candidate"], rollout.counts["stable"]
    if ours.requests or theirs.requests:
        yield (
            f"  This step: {rollout.candidate} had {ours.requests:,} {rollout.counted_as} ({ours.errors:,} failed, "
            f"{ours.refused:,} refused), {rollout.stable} {theirs.requests:,} ({theirs.errors:,} failed, "
            f"{theirs.refused:,} refused)"
        )
    if rollout.verdict is not None:
        yield f"  Verdict: {said(rollout.verdict.words)}"
    if rollout.result:
        yield f"  Evidence, {rollout.result}: {said(rollout.words)}"


def _where(rollout: RolloutNow) -> str:
    """Step, share and time, as far as they mean something in this state."""
    if rollout.state not in ("progressing", "paused", "watching"):
        return ""
    share = {"shadow": "copies of {} % of the requests", "rolling": "{} % of the workers"}
    said = share.get(rollout.strategy, "{} % of the traffic").format(f"{rollout.share:g}")
    step = f"step {rollout.step} of {len(rollout.steps)}, " if len(rollout.steps) > 1 else ""
    return f", {step}{said}, held {clock(rollout.held)} of {clock(rollout.hold)}"


def _of_ended(rollout: RolloutNow, said: Said) -> Iterator[str]:
    verdict = "" if rollout.verdict is None else f" (verdict: {rollout.verdict.answer})"
    yield (
        f"The last rollout, of {rollout.candidate} ({rollout.strategy}), was {_named(rollout.state)} at "
        f"{rollout.ended_at:%Y-%m-%d %H:%M:%S} UTC{verdict}: {said(rollout.why)}"
    )


def _named(state: str) -> str:
    return state.replace("_", " ")


def clock(seconds: float) -> str:
    """Seconds as 45s, 3m 12s, 1h 05m."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.3g}s" if seconds < 10 and seconds != whole else f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"


def _server(server: ServerNow) -> str:
    state = "serves what the registry says" if server.current else "follows the registry"
    return "; ".join([state, *(f"{name}: {why}" for name, why in server.errors.items())])
