"""`mainstay try`: everything in one go; a baseline answers within seconds, better versions replace it live."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.package import encoded
from mainstay.operations.background import Running, background
from mainstay.operations.deploying import deploy
from mainstay.operations.home import actor, state_of
from mainstay.operations.initialising import initialise
from mainstay.operations.making import Made, by_search
from mainstay.operations.preparing import Prepared, prepare
from mainstay.operations.publishing import Trained, publish
from mainstay.operations.training import command_line, settings_of
from mainstay.operations.waiting import until_interrupted
from mainstay.operations.watching import Watcher
from mainstay.project import FILE, Data, load
from mainstay.registry.locks import train_lock
from mainstay.registry.store import Registry


def try_out(
    folder: Path,
    source: Data,
    *,
    target: str,
    name: str | None,
    positive: str | None,
    budget: float | None,
    trials: int | None,
    host: str | None,
    port: int | None,
    once: bool,
    watch: Watcher,
    stop: threading.Event,
) -> Trained:
    """Writes a project file where there is none, then trains, deploys and serves; the last version it made.

    Args:
        once: end with the search in place of serving on until Ctrl-C.

    Raises:
        As `initialise`, `train`, `deploy` and `serve` do.
    """
    path = folder / FILE
    if not path.exists():
        done = initialise(folder, source, target=target, name=name, positive=positive)
        watch.note(f"Wrote {done.path}: a {done.task} task with {len(done.columns)} inputs.")
        for column, reason in done.left_out.items():
            watch.note(f"- {column} is left out: {reason}")
    elif load(folder).target != target:
        raise MainstayError(
            f"{path} is there already and predicts {load(folder).target!r}, not {target!r}: "
            "use another folder, or mainstay init --force."
        )
    root = state_of(folder)
    with Registry.open(root) as registry, train_lock(root), ExitStack() as running:
        prepared = prepare(folder, watch=watch)
        attempt = _Attempt(prepared, registry, running, host=host, port=port, watch=watch)
        settings = settings_of(prepared.project.search, budget=budget, trials=trials)
        made = by_search(prepared, settings, watch=watch, stop=stop, on_improvement=attempt.improved)
        final = attempt.finished(made)
        if not once:
            watch.note(f"Serving {final.version} at {attempt.url} until Ctrl-C.")
            until_interrupted()
        return final


class _Attempt:
    """What happens each time the search finds a better model."""

    def __init__(
        self,
        prepared: Prepared,
        registry: Registry,
        running: ExitStack,
        *,
        host: str | None,
        port: int | None,
        watch: Watcher,
    ) -> None:
        self.prepared, self.registry, self.running = prepared, registry, running
        serve = prepared.project.serve
        self.host, self.port = host or serve.host, serve.port if port is None else port
        self.watch = watch
        self.server: Running | None = None
        self.last: Trained | None = None

    @property
    def url(self) -> str:
        return "" if self.server is None else self.server.url

    def improved(self, made: Made) -> None:
        """Registers a better model; deploys it where it passes, and the baseline in any case, to begin with."""
        trained = publish(self.registry, self.prepared, made, command=command_line(), watch=self.watch, explain=False)
        self.last = trained
        first = self.registry.deployment(self.prepared.project.name) is None
        if not trained.passed and not first:
            self.watch.note(f"{trained.version} ({trained.description}) failed a gate and is not deployed.")
            return
        deploy(
            self.prepared.folder,
            trained.version,
            reason="mainstay try: the best so far" if trained.passed else "mainstay try: a baseline, to begin with",
            override=not trained.passed,
        )
        if self.server is None:
            self.server = self.running.enter_context(background(self.prepared.folder, host=self.host, port=self.port))
            self.watch.note(
                f"Serving at {self.server.url} (a page for people, /docs, /metrics); log: {self.server.log}"
            )
        self.watch.note(f"{trained.version} answers now: {trained.description}, {_headline(trained)}")

    def finished(self, made: Made) -> Trained:
        """The last version, with the trials that led to it."""
        assert self.last is not None
        assert made.trials is not None
        version = self.registry.version(self.last.version)
        self.registry.attest(version, files.TRIALS, encoded(made.trials), actor=actor())
        return self.last


def _headline(trained: Trained) -> str:
    name = "roc_auc" if "roc_auc" in trained.metrics else "rmse" if "rmse" in trained.metrics else "accuracy"
    found = trained.metrics.get(name)
    return "" if found is None else f"{name} {found['value']:.4g} on held-out rows"
