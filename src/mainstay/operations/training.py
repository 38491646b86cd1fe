"""`mainstay train`: from the project's data to a registered version."""

from __future__ import annotations

import shlex
import sys
import threading
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.home import state_of
from mainstay.operations.making import Made, by_own_function, by_replay, by_search
from mainstay.operations.preparing import Prepared, prepare
from mainstay.operations.publishing import Trained, publish
from mainstay.operations.watching import Silent, Watcher
from mainstay.project import Search
from mainstay.registry.locks import train_lock
from mainstay.registry.store import Registry

__all__ = ["Trained", "settings_of", "train"]


def train(
    folder: Path,
    *,
    budget: float | None = None,
    trials: int | None = None,
    replay: str | None = None,
    watch: Watcher | None = None,
    stop: threading.Event | None = None,
) -> Trained:
    """Data checks, search, evaluation, gates, package, registry.

    Args:
        folder: of the project.
        budget: seconds of search, in place of the project's.
        trials: a fixed number of trials, in place of a budget.
        replay: a version whose winner is fitted again, in place of a search.
        watch: told of progress.
        stop: set it to end the search and keep the best so far.

    Raises:
        TrainingRuns: another training runs in this project.
        ProjectError, DataError, CheckFailed, SearchFailed, ParityFailed, MachineError, and as `prepare` and `publish`.
    """
    if budget is not None and trials is not None:
        raise MainstayError("--budget and --trials both say when the search ends: give one of them.")
    watch, stop = watch or Silent(), stop or threading.Event()
    root = state_of(folder)
    with Registry.open(root) as registry, train_lock(root):
        prepared = prepare(folder, watch=watch)
        made = _made(prepared, registry, budget=budget, trials=trials, replay=replay, watch=watch, stop=stop)
        return publish(registry, prepared, made, command=command_line(), watch=watch)


def settings_of(search: Search, *, budget: float | None, trials: int | None) -> Search:
    """The project's search, ended as the command says."""
    if budget is not None:
        return msgspec.structs.replace(search, budget=budget, trials=None)
    if trials is not None:
        return msgspec.structs.replace(search, trials=trials)
    return search


def command_line() -> str:
    """The command as it was typed, for the lineage."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _made(
    prepared: Prepared,
    registry: Registry,
    *,
    budget: float | None,
    trials: int | None,
    replay: str | None,
    watch: Watcher,
    stop: threading.Event,
) -> Made:
    if replay is not None:
        return by_replay(prepared, registry, replay, watch=watch)
    if prepared.project.train is not None:
        return by_own_function(prepared, watch=watch)
    settings = settings_of(prepared.project.search, budget=budget, trials=trials)
    return by_search(prepared, settings, watch=watch, stop=stop)
