"""`mainstay train`: from the project's data to a registered version."""

from __future__ import annotations

import shlex
import sys
import threading
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.home import state_of
from mainstay.operations.making import by_own_function, by_replay, by_search
from mainstay.operations.preparing import Prepared, prepare
from mainstay.operations.publishing import Trained, publish
from mainstay.operations.registries import opened
from mainstay.operations.telling import subscribe
from mainstay.operations.waiting import Interrupted, first_interrupt_sets
from mainstay.operations.watching import Silent, Watcher
from mainstay.project import Project, Search, load
from mainstay.registry.locks import train_lock
from mainstay.registry.store import Registry

__all__ = ["Trained", "settings_of", "train"]

ENDING = "ending the search; Ctrl-C once more ends at once"


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
        stop: set it to end the search and keep the best so far; a first SIGINT during a search does that too.

    Raises:
        TrainingRuns: another training runs in this project.
        Interrupted: the search was ended before it had found a model.
        ProjectError, DataError, CheckFailed, SearchFailed, ParityFailed, MachineError, and as `prepare` and `publish`.
    """
    watch, stop = watch or Silent(), stop or threading.Event()
    project = load(folder)  # first, so that no registry is made where there is no project
    _check_words(project, budget=budget, trials=trials, replay=replay)
    settings = settings_of(project.search, budget=budget, trials=trials)
    root = state_of(folder)
    with opened(folder) as registry, train_lock(root):
        subscribe(folder, registry)
        prepared = prepare(folder, watch=watch)
        if replay is not None:
            replay = registry.version(replay).ref
            made = by_replay(prepared, registry, replay, watch=watch)
        elif project.train is not None:
            made = by_own_function(prepared, budget=settings.budget, watch=watch)
        else:
            return _searched(registry, prepared, settings, watch=watch, stop=stop)
        return publish(registry, prepared, made, command=command_line(), watch=watch, replayed=replay)


def _searched(
    registry: Registry, prepared: Prepared, settings: Search, *, watch: Watcher, stop: threading.Event
) -> Trained:
    with first_interrupt_sets(stop, lambda: watch.progress(None, ENDING)):
        made = by_search(prepared, settings, watch=watch, stop=stop)
        if made.contender is made.baseline:
            raise Interrupted("Interrupted before a first model was found: nothing is registered.")
        return publish(registry, prepared, made, command=command_line(), watch=watch)


def _check_words(project: Project, *, budget: float | None, trials: int | None, replay: str | None) -> None:
    if budget is not None and trials is not None:
        raise MainstayError("--budget and --trials both say when the search ends: give one of them.")
    if replay is not None and (budget is not None or trials is not None):
        raise MainstayError("--replay fits one model again and searches for none: leave --budget and --trials out.")
    if replay is None and project.train is not None and trials is not None:
        raise MainstayError(f"--trials belongs to a search, but this project has train = {project.train!r}.")


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
