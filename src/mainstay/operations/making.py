"""How a model comes to be: by search, by fitting a recorded winner again, or by the user's own function."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.formats.objects import Given
from mainstay.models.package import Decision, Package
from mainstay.models.packaging import Built, build
from mainstay.models.registering import draft_of
from mainstay.models.runtime import Model
from mainstay.operations.champions import Registered
from mainstay.operations.contenders import Contender
from mainstay.operations.preparing import Prepared
from mainstay.operations.trust import trusted_types
from mainstay.operations.watching import Watcher
from mainstay.project import Search
from mainstay.registry.store import Registry
from mainstay.training.fitted import Fitted
from mainstay.training.fitting import BASELINE, Problem
from mainstay.training.own_function import OwnContext, OwnFunctionError, fit_own, frame_of, load
from mainstay.training.refit import refit, replay
from mainstay.training.search import Progress, search
from mainstay.training.splitting import SplitRule
from mainstay.training.trials import Plan, Trials


@dataclass(frozen=True)
class Made:
    """A model with its baseline, and how to package it."""

    contender: Contender
    baseline: Contender
    description: str
    trials: Trials | None
    package: Callable[[], Built]
    notes: tuple[str, ...] = ()
    score: float | None = None
    """On validation folds, by which a search chooses; more is better, a loss is negative."""


class NoTrials(MainstayError):
    """A version that no search made cannot be replayed."""


def by_search(
    prepared: Prepared,
    settings: Search,
    *,
    watch: Watcher,
    stop: threading.Event,
    on_improvement: Callable[[Made], None] | None = None,
) -> Made:
    """The best model of a search over the training rows; `on_improvement` gets each better one meanwhile.

    Raises:
        SearchFailed, UnknownMetric, ThresholdError.
    """
    watch.stage("Searching for a model")
    baseline: list[Fitted] = []

    def improved(fitted: Fitted, score: float) -> None:
        baseline[:] = baseline or [fitted]
        assert on_improvement is not None
        on_improvement(replace(_made(prepared, fitted, baseline[0], None), score=score))

    found = search(
        cells=prepared.cells.rows(prepared.train),
        y=prepared.target.y[prepared.train],
        signature=prepared.signature,
        folds=prepared.division.folds,
        settings=settings,
        cleaning=prepared.project.cleaning,
        seed=prepared.project.seed,
        threshold=prepared.project.threshold,
        positive=prepared.positive,
        on_trial=lambda progress: _tell(watch, progress, settings),
        on_improvement=None if on_improvement is None else improved,
        stop=stop,
    )
    if stop.is_set():
        watch.note("The search was ended early; the best so far is kept.")
    return _made(prepared, found.best, found.baseline, found.trials)


def by_replay(prepared: Prepared, registry: Registry, ref: str, *, watch: Watcher) -> Made:
    """The winner of a registered version's search, fitted again.

    Raises:
        NoTrials: no search made the version. CannotReplay: its trials are of another task.
        VersionNotFound and its like.
    """
    version = registry.version(ref)
    package = registry.package(version)
    if files.TRIALS not in package:
        raise NoTrials(f"{version.ref} has no recorded trials: only what mainstay train made can be replayed.")
    trials = package.document(files.TRIALS, Trials)
    watch.stage(f"Fitting the winner of {version.ref} again")
    cells, y = prepared.cells.rows(prepared.train), prepared.target.y[prepared.train]
    cleaning = prepared.project.cleaning
    best = replay(trials, cells=cells, y=y, signature=prepared.signature, cleaning=cleaning)
    problem = Problem(cells, y, prepared.signature, cleaning, trials.imbalance, trials.seed)
    baseline = refit(problem, trials.baseline.plan, best.decision)
    made = _made(prepared, best, baseline, trials)
    return replace(made, notes=_differences(package, prepared, version.ref))


def _differences(package: Package, prepared: Prepared, ref: str) -> tuple[str, ...]:
    """What is not as it was when a version was made, so that its winner fitted again may be another model."""
    origin = msgspec.json.decode(package.read(files.LINEAGE))
    same_data = origin.get("data", {}).get("files") == prepared.table.provenance.files
    changed = [] if same_data else ["The data"]
    if package.signature != prepared.signature or _rule(origin) != prepared.division.rule:
        changed += ["The project's columns or split"] if same_data else []
    return tuple(
        f"{what} is not that of {ref}: the same plan was fitted, and the model may differ." for what in changed
    )


def _rule(origin: dict[str, Any]) -> SplitRule | None:
    return msgspec.convert(origin["split"], SplitRule) if origin.get("split") else None


def by_own_function(prepared: Prepared, *, budget: float, watch: Watcher) -> Made:
    """The model that the project's own function returns.

    Args:
        budget: seconds that the function is told to hold itself to.

    Raises:
        OwnFunctionError: no such function, it failed, or it returned no fitted estimator of the task.
        UntrustedTypes: the model cannot become ONNX, and holds types that nobody trusts yet.
        MainstayError: a threshold that only a search can choose.
    """
    project = prepared.project
    assert project.train is not None
    if not isinstance(project.threshold, int | float):
        raise MainstayError(
            f"threshold = {project.threshold!r} is chosen on validation folds, "
            f"which train = {project.train!r} has not: write a number."
        )
    watch.stage(f"Running {project.train}")
    cells, y = prepared.cells.rows(prepared.train), prepared.target.y[prepared.train]
    context = OwnContext(
        task=project.task,
        labels=prepared.target.labels,
        folds=tuple(prepared.division.folds),
        seed=project.seed,
        budget=budget,
    )
    with _blamed(project.train, prepared.folder):
        model = fit_own(
            load(project.train, prepared.folder),
            prepared.folder,
            cells=cells,
            y=y,
            signature=prepared.signature,
            context=context,
        )
    given = Given(
        X=frame_of(cells, prepared.signature),
        X_test=frame_of(prepared.cells.rows(prepared.test), prepared.signature),
        target=project.target,
        trusted=trusted_types(prepared.folder),
        decision=_own_decision(prepared),
    )
    built = draft_of(model, given).built
    problem = Problem(cells, y, prepared.signature, project.cleaning, "none", project.seed)
    return Made(
        contender=Registered(Model.load(built.draft.package(), trusted=built.untrusted)),
        baseline=refit(problem, Plan(family=BASELINE), None),
        description=f"{type(model).__name__} of {project.train}",
        trials=None,
        package=lambda: built,
    )


@contextmanager
def _blamed(spec: str, folder: Path) -> Iterator[None]:
    """Whatever a person's own code raises becomes a sentence with the line of his that it came from."""
    try:
        yield
    except (MainstayError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit: his code runs here as a guest
        frames = [f for f in traceback.extract_tb(error.__traceback__) if _below(Path(f.filename), folder)]
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        if isinstance(error, SyntaxError) and error.filename and not frames:
            where = f" ({Path(error.filename).name}, line {error.lineno})"
        said = f": {' '.join(str(error).split())}" if str(error) else ""
        raise OwnFunctionError(f"train = {spec!r} failed{where} with {type(error).__name__}{said}.") from error


def _below(file: Path, folder: Path) -> bool:
    return file.resolve().is_relative_to(folder.resolve())


def _own_decision(prepared: Prepared) -> Decision | None:
    """The project's threshold; 0.5 leaves the label to the model."""
    threshold, positive = prepared.project.threshold, prepared.positive
    if positive is None or threshold == 0.5:
        return None
    assert isinstance(threshold, int | float)
    return Decision(positive=positive, threshold=float(threshold))


def _made(prepared: Prepared, best: Fitted, baseline: Fitted, trials: Trials | None) -> Made:
    return Made(
        contender=best,
        baseline=baseline,
        description=best.description,
        trials=trials,
        package=lambda: build(
            estimator=best.estimator,
            encoder=best.encoder,
            signature=best.signature,
            decision=best.decision,
            cells=prepared.cells.rows(prepared.test),
            reference=prepared.cells.rows(prepared.train),
            seed=prepared.project.seed,
        ),
    )


def _tell(watch: Watcher, progress: Progress, settings: Search) -> None:
    best = "" if progress.best is None else f", best {progress.best:.4g}"
    text = f"trial {progress.done}: {progress.family}, fold {progress.fold} of {progress.folds}{best}"
    share = progress.elapsed / settings.budget if progress.total is None else progress.done / progress.total
    watch.progress(min(share, 1.0), text)
